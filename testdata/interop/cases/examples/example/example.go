// Package example holds what the hosts and the plugins that take the places of
// go-plugin's examples have in common. Their arguments, variables and output
// are those of the originals.
package example

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
)

// Handshake is that of all examples.
var Handshake = plugin.Handshake{
	ProtocolVersion:  1,
	MagicCookieKey:   "BASIC_PLUGIN",
	MagicCookieValue: "hello",
}

// ModeEnv is the variable with the mode that a host here is to use, by its
// name. The originals know the plain one only, which an empty variable is too.
const ModeEnv = "EXAMPLE_MODE"

// timeout bounds all that a host does.
const timeout = 30 * time.Second

// Host is the main function of a host: it starts the plugin, has run use it,
// and ends it.
func Host(config *host.Config, run func(ctx context.Context, client *host.Client, args []string) error) {
	if err := hostRun(config, run); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func hostRun(config *host.Config, run func(ctx context.Context, client *host.Client, args []string) error) error {
	mode, err := modeNamed(os.Getenv(ModeEnv))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	config.Handshake = Handshake
	config.InsecurePlaintext = !mode.AutoMTLS
	config.Multiplex = mode.Multiplex
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	client, err := host.Start(ctx, config)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := run(ctx, client, os.Args[1:]); err != nil {
		return err
	}
	return client.Shutdown(ctx)
}

func modeNamed(name string) (cases.Mode, error) {
	for _, m := range []cases.Mode{{}, {AutoMTLS: true}, {Multiplex: true}, {AutoMTLS: true, Multiplex: true}} {
		if name == m.String() || name == "" {
			return m, nil
		}
	}
	return cases.Mode{}, fmt.Errorf("there is no mode %q", name)
}

// Shell runs what a variable holds, as the originals do.
func Shell(variable string) *exec.Cmd {
	return exec.Command("sh", "-c", os.Getenv(variable))
}

// Serve is the main function of a plugin for all that a set is needed for.
func Serve(versions map[int]plugin.Set) {
	plugin.Serve(&plugin.ServeConfig{Handshake: Handshake, Versions: versions})
}

// File is the file that the value of a key is kept in.
func File(key string) string { return "kv_" + key }
