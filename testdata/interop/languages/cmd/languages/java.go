package main

import (
	"context"
	"os/exec"

	"github.com/tenonrpc/tenon/plugin/host"
)

// java is gRPC's own library for Java, on Netty.
func java(b *bench) *language {
	const (
		name = "java"
		mux  = "grpc-java listens and dials by itself: it cannot be handed the streams of a multiplexed connection."
	)
	// The guide builds the plugin where its libraries are.
	launch := func(arguments ...string) *exec.Cmd { return exec.Command(b.path(name, "run"), arguments...) }
	plugins := pluginCases(launch)
	plugins["multiplexed"] = lacks(mux, host.ErrMuxUnsupported.Error(), plugins["multiplexed"].try)
	return &language{
		name:    name,
		version: "grpc-java 1.83.1",
		cases:   map[string]map[string]*trial{"plugin": plugins},
		further: beyond(launch),
	}
}

// beyond are cases that the table has no column for.
func beyond(launch launcher) []*trial {
	under := func(name string, h hosting, arguments ...string) *trial {
		return &trial{name: name, try: func(ctx context.Context) error { return h.run(ctx, launch(arguments...)) }}
	}
	return []*trial{
		{name: "plugin, a stranger", try: stranger(launch)},
		{name: "plugin, impostors", try: impostors(launch)},
		under("plugin, P-384", hosting{curve: host.P384, use: useStore}),
		under("plugin, deadlines", hosting{curve: host.P256, use: useDeadlines}),
		under("plugin, much output", hosting{curve: host.P256, use: useOutput}),
		under("plugin, broker in plaintext", hosting{plain: true, use: useBroker}),
		under("plugin, broker on TCP", hosting{curve: host.P521, network: "tcp", use: useBroker}, "--tcp"),
	}
}
