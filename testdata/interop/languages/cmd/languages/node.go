package main

import (
	"os/exec"

	"github.com/tenonrpc/tenon/plugin/host"
)

// node is gRPC's own package for Node.
func node(b *bench) *language {
	const name = "node"
	// The guide copies the programs to where their packages are.
	run := func(program string, arguments ...string) *exec.Cmd {
		return exec.Command("node", append([]string{b.path(name, program)}, arguments...)...)
	}
	uses := func(arguments ...string) func() *exec.Cmd {
		return func() *exec.Cmd { return run("host.js", arguments...) }
	}
	kvplugin, ours := b.path("kvplugin"), b.path("tenon-plugin")
	const mux = "grpc-js dials by itself: its clients cannot be handed the streams of a multiplexed connection."
	all := []string{"put and get: ok", "streams: ok", "log: ok", "stdio: ok", "exit status: 0"}

	plugins := pluginCases(func(arguments ...string) *exec.Cmd { return run("plugin.js", arguments...) })
	plugins["multiplexed"] = lacks(mux, host.ErrMuxUnsupported.Error(), plugins["multiplexed"].try)
	return &language{
		name:    name,
		version: "grpc-js 1.14.7",
		cases: map[string]map[string]*trial{
			"plugin": plugins,
			"host": {
				"plain": works(foreign(uses("--plaintext", kvplugin), all...)),
				"P-521": works(foreign(uses(kvplugin), all...)),
				"P-256": works(foreign(uses("--curve", "P-256", kvplugin), all...)),
				"TCP": works(both(
					foreign(uses("--plaintext", "--broker", ours, "-network", "tcp"), "put and get: ok", "broker: ok", "exit status: 0"),
					foreign(uses("--broker", ours, "-network", "tcp"), "put and get: ok", "broker: ok", "exit status: 0"))),
				"broker":      works(foreign(uses("--broker", ours), "put and get: ok", "broker: ok", "exit status: 0")),
				"multiplexed": cannot(mux),
				"stdio":       works(foreign(uses(kvplugin), "log: ok", "stdio: ok")),
			},
		},
	}
}
