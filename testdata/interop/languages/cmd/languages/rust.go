package main

import (
	"context"
	"os/exec"

	"github.com/tenonrpc/tenon/plugin/host"
)

// rust is tonic, gRPC for Rust, with rustls and the crate yamux.
func rust(b *bench) *language {
	const name = "rust"
	run := func(program string, arguments ...string) *exec.Cmd {
		return exec.Command(b.path(name, "debug", program), arguments...)
	}
	launch := func(arguments ...string) *exec.Cmd { return run("plugin", arguments...) }
	under := func(name string, h hosting, arguments ...string) *trial {
		return &trial{name: name, try: func(ctx context.Context) error { return h.run(ctx, launch(arguments...)) }}
	}
	kvplugin, ours := b.path("kvplugin"), b.path("tenon-plugin")
	streams := func(arguments ...string) func(context.Context) error {
		return foreign(func() *exec.Cmd { return run("host", append(arguments, kvplugin)...) },
			"put and get: ok", "streams: ok", "log: ok", "stdio: ok", "exit status: 0")
	}
	broker := func(options []string, plugin ...string) func(context.Context) error {
		return foreign(func() *exec.Cmd { return run("host", append(append(options, "--broker", ours), plugin...)...) },
			"put and get: ok", "broker: ok", "log: ok", "stdio: ok", "exit status: 0")
	}
	return &language{
		name:    name,
		version: "tonic 0.14.9",
		cases: map[string]map[string]*trial{
			"plugin": pluginCases(launch),
			"host": {
				"plain":       works(streams("--plaintext")),
				"P-521":       works(streams()),
				"P-256":       works(streams("--curve", "P-256")),
				"TCP":         works(both(broker([]string{"--plaintext"}, "-network", "tcp"), broker(nil, "-network", "tcp"))),
				"broker":      works(broker(nil)),
				"multiplexed": works(broker([]string{"--multiplex"})),
				"stdio":       works(streams()),
			},
		},
		further: []*trial{
			under("plugin, broker in plaintext on TCP", hosting{plain: true, network: "tcp", use: useBroker}, "--tcp"),
			under("plugin, broker with AutoMTLS on TCP", hosting{network: "tcp", use: useBroker}, "--tcp"),
			under("plugin, multiplexed in plaintext", hosting{plain: true, multiplex: true, use: useBroker}),
			under("plugin, multiplexed on TCP", hosting{network: "tcp", multiplex: true, use: useBroker}, "--tcp"),
			under("plugin, calls over a multiplexed connection", hosting{curve: host.P521, multiplex: true, use: useStore}),
			{name: "plugin, a stranger", try: stranger(launch)},
			{name: "plugin, impostors", try: impostors(launch)},
			{name: "host, multiplexed in plaintext", try: broker([]string{"--plaintext", "--multiplex"})},
			{name: "host, multiplexed on TCP", try: broker([]string{"--multiplex"}, "-network", "tcp")},
			{name: "host, a plugin with another certificate", try: forged(func(command ...string) *exec.Cmd { return run("host", command...) }, kvplugin, "ApplicationVerificationFailure")},
			{name: "host, streams over a multiplexed connection", try: streams("--multiplex")},
		},
	}
}
