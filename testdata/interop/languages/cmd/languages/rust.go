package main

import (
	"context"
	"os/exec"

	"github.com/tenonrpc/tenon/plugin/host"
)

// rust is tonic, gRPC for Rust, with rustls.
func rust(b *bench) *language {
	const name = "rust"
	launch := func(arguments ...string) *exec.Cmd {
		return exec.Command(b.path(name, "debug", "kv"), arguments...)
	}
	under := func(name string, h hosting, arguments ...string) *trial {
		return &trial{name: name, try: func(ctx context.Context) error { return h.run(ctx, launch(arguments...)) }}
	}
	return &language{
		name:    name,
		version: "tonic 0.14.9",
		cases:   map[string]map[string]*trial{"plugin": pluginCases(launch)},
		further: []*trial{
			under("plugin, broker in plaintext on TCP", hosting{plain: true, network: "tcp", use: useBroker}, "--tcp"),
			under("plugin, broker with AutoMTLS on TCP", hosting{network: "tcp", use: useBroker}, "--tcp"),
			under("plugin, multiplexed in plaintext", hosting{plain: true, multiplex: true, use: useBroker}),
			under("plugin, multiplexed on TCP", hosting{network: "tcp", multiplex: true, use: useBroker}, "--tcp"),
			under("plugin, calls over a multiplexed connection", hosting{curve: host.P521, multiplex: true, use: useStore}),
			{name: "plugin, a stranger", try: stranger(launch)},
			{name: "plugin, impostors", try: impostors(launch)},
		},
	}
}
