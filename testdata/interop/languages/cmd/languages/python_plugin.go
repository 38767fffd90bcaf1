package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/cmd/internal/kvshared"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// pythonPlugin is python-plugin, a port of go-plugin to grpclib.
func pythonPlugin(b *bench) *language {
	const name = "python-plugin"
	python := func(program string, arguments ...string) *exec.Cmd {
		return exec.Command(b.path(name, "bin", "python"), append([]string{b.source(name, program)}, arguments...)...)
	}
	launch := func(arguments ...string) *exec.Cmd { return python("plugin.py", arguments...) }
	uses := func(arguments ...string) func() *exec.Cmd {
		return func() *exec.Cmd { return python("host.py", arguments...) }
	}
	kvplugin, ours := b.path("kvplugin"), b.path("tenon-plugin")

	plugins := pluginCases(launch)
	multiplexed := plugins["multiplexed"]
	plugins["multiplexed"] = lacks("python-plugin has no multiplexing: its plugins say so in their handshake, its hosts cannot ask for it.",
		host.ErrMuxUnsupported.Error(), multiplexed.try)
	return &language{
		name:    name,
		version: "0.1.0",
		cases: map[string]map[string]*trial{
			"plugin": plugins,
			"host": {
				"plain": works(foreign(uses("--plaintext", kvplugin), "put and get: ok", "streams: ok", "log: ok", "exit status: 0")),
				"P-521": works(foreign(uses(kvplugin), "put and get: ok", "streams: ok", "log: ok", "exit status: 0")),
				"P-256": cannot("python-plugin's hosts always have a P-521 key."),
				"TCP": works(both(
					foreign(uses("--plaintext", "--broker", ours, "-network", "tcp"), "put and get: ok", "broker: ok", "exit status: 0"),
					foreign(uses("--broker", ours, "-network", "tcp"), "put and get: ok", "broker: ok", "exit status: 0"))),
				"broker":      works(foreign(uses("--broker", ours), "put and get: ok", "broker: ok", "exit status: 0")),
				"multiplexed": cannot(plugins["multiplexed"].limit),
				"stdio":       cannot("python-plugin's hosts do not ask for what a plugin prints. It is dropped beyond 1 MiB, and the plugin goes on; log lines arrive."),
			},
		},
		further: []*trial{
			{name: "host, a plugin that prints more than is read", try: foreign(uses("--noise", kvplugin), "log: ok", "exit status: 0")},
			{name: "host, reattach in plaintext", try: foreign(uses("--plaintext", "--reattach", kvplugin), "reattach: ok", "exit status: 0")},
			{name: "host, reattach under AutoMTLS", try: foreign(uses("--reattach", kvplugin), "reattach: ok", "exit status: 0")},
			{name: "host, version 2 of 1 and 2", try: foreign(uses("--broker", "--versions", "1,2", ours), "version: 2, 2", "exit status: 0")},
			{name: "host, version 1 of 1 and 7", try: foreign(uses("--broker", "--versions", "1,7", ours), "version: 1, 1", "exit status: 0")},
			{name: "host, no common version", try: failing(foreign(uses("--versions", "7,9", ours)), "AppProtocolMismatch")},
			{name: "plugin, version 2 of 1 and 2", try: versions(launch, 2, 1, 2, 3)},
			{name: "plugin, version 1 of 1 and 2", try: versions(launch, 1, 1, 7)},
			{name: "plugin, no common version", try: mismatch(launch)},
			{name: "plugin, reattach in plaintext", try: reattach(launch, true)},
			{name: "plugin, reattach under AutoMTLS", try: reattach(launch, false)},
			{name: "plugin, that does not end", try: stubborn(launch)},
			{name: "plugin, with a child that keeps its pipes", try: grandchild(launch)},
		},
	}
}

// failing checks that try fails with an error that has a text.
func failing(try func(context.Context) error, text string) func(context.Context) error {
	l := lacks("", text, try)
	l.limit = "it is to fail"
	return l.run
}

// versions checks which version of the application's protocol is chosen.
func versions(launch launcher, want int, offered ...int) func(context.Context) error {
	return func(ctx context.Context) error {
		sets := make(map[int]plugin.Set)
		for _, v := range offered {
			sets[v] = kvshared.Plugins(nil)
		}
		c, err := host.Start(ctx, &host.Config{Handshake: kvshared.Handshake, Versions: sets, Cmd: launch()})
		if err != nil {
			return err
		}
		defer c.Kill()
		store, err := host.Dispense[kv.KVClient](ctx, c, kvshared.Name)
		if err != nil {
			return err
		}
		got, err := store.Get(ctx, &kv.GetRequest{Key: "version"})
		if err != nil {
			return err
		}
		if c.Version() != want || string(got.Value) != strconv.Itoa(want) {
			return fmt.Errorf("the host has version %d, the plugin %s, and %d is the highest of both", c.Version(), got.Value, want)
		}
		return c.Close()
	}
}

// mismatch checks that a plugin of other versions is refused, with an error that
// says which.
func mismatch(launch launcher) func(context.Context) error {
	return failing(func(ctx context.Context) error {
		c, err := host.Start(ctx, &host.Config{Handshake: kvshared.Handshake, Cmd: launch("--only", "7")})
		if err == nil {
			c.Kill()
		}
		return err
	}, `version 7`)
}

// reattach lets a plugin go and attaches to it again.
func reattach(launch launcher, plain bool) func(context.Context) error {
	return func(ctx context.Context) error {
		config := &host.Config{Handshake: kvshared.Handshake, Cmd: launch(), InsecurePlaintext: plain, Detach: true}
		first, err := host.Start(ctx, config)
		if err != nil {
			return err
		}
		defer first.Kill()
		if _, err := kv.NewKVClient(first.Conn()).Put(ctx, &kv.PutRequest{Key: "kept", Value: []byte("by the plugin")}); err != nil {
			return err
		}
		var record *host.Reattach
		if plain {
			record, err = first.Reattach()
		} else {
			record, err = first.ReattachWithKey()
		}
		if err != nil {
			return err
		}
		if err := first.Detach(); err != nil {
			return err
		}
		config.Cmd, config.Reattach, config.Detach = nil, record, false
		second, err := host.Start(ctx, config)
		if err != nil {
			return err
		}
		defer second.Kill()
		got, err := kv.NewKVClient(second.Conn()).Get(ctx, &kv.GetRequest{Key: "kept"})
		if err != nil || string(got.Value) != "by the plugin" {
			return fmt.Errorf("the plugin has %q: %w", got.GetValue(), err)
		}
		return second.Close()
	}
}

// stubborn checks that a plugin which does not end is killed in time.
func stubborn(launch launcher) func(context.Context) error {
	return func(ctx context.Context) error {
		const patience = time.Second
		c, err := host.Start(ctx, &host.Config{Handshake: kvshared.Handshake, Cmd: launch("--stubborn"), StopTimeout: patience})
		if err != nil {
			return err
		}
		if err := c.Close(); !errors.Is(err, host.ErrKilled) {
			return fmt.Errorf("the call Close returned %w; the plugin is to be killed", err)
		}
		return nil
	}
}

// grandchild checks that a plugin ends although a child of its own keeps its
// stdout and stderr open.
func grandchild(launch launcher) func(context.Context) error {
	return func(ctx context.Context) error {
		c, err := host.Start(ctx, &host.Config{Handshake: kvshared.Handshake, Cmd: launch("--child"), ProcessGroup: true, StopTimeout: stopPatience})
		if err != nil {
			return err
		}
		return c.Close()
	}
}
