package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
)

// languages are all languages, in the table's order.
func languages(b *bench) []*language {
	return []*language{pythonPlugin(b), pyvider(b), grpcio(b), grpcioDebian(b), node(b), rust(b), java(b), cpp(b)}
}

// A launcher returns the command that runs a language's plugin with arguments.
type launcher func(arguments ...string) *exec.Cmd

// pluginCases are the cases that our host has for every plugin. What a plugin is
// known not to do replaces some of them.
func pluginCases(launch launcher) map[string]*trial {
	under := func(h hosting, arguments ...string) *trial {
		return works(func(ctx context.Context) error { return h.run(ctx, launch(arguments...)) })
	}
	return map[string]*trial{
		"plain": under(hosting{plain: true, use: useStore}),
		"P-521": under(hosting{curve: host.P521, use: useStore}),
		"P-256": under(hosting{curve: host.P256, use: useStore}),
		"TCP": works(both(
			under(hosting{plain: true, network: "tcp", use: useStore}, "--tcp").try,
			under(hosting{curve: host.P256, network: "tcp", use: useStore}, "--tcp").try)),
		"broker":      under(hosting{curve: host.P256, use: useBroker}),
		"multiplexed": under(hosting{curve: host.P256, multiplex: true, use: useBroker}),
		"stdio":       under(hosting{curve: host.P256, use: useStdio}),
	}
}

// both tries the same in plaintext and with AutoMTLS.
func both(plain, secure func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := plain(ctx); err != nil {
			return fmt.Errorf("in plaintext: %w", err)
		}
		if err := secure(ctx); err != nil {
			return fmt.Errorf("with AutoMTLS: %w", err)
		}
		return nil
	}
}

// foreign runs a host of another language and returns an error unless it
// succeeds and prints these lines among others.
func foreign(cmd func() *exec.Cmd, want ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		made := cmd()
		run := exec.CommandContext(ctx, made.Path, made.Args[1:]...)
		run.Env = append(os.Environ(), made.Env...)
		run.WaitDelay = time.Second
		out, err := run.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return wantLines(string(out), want...)
	}
}
