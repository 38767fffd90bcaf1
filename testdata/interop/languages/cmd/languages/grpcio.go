package main

import (
	"os/exec"

	"github.com/tenonrpc/tenon/plugin/host"
)

// grpcio is Python's gRPC by itself.
func grpcio(b *bench) *language {
	const name = "grpcio"
	python := func(program string, arguments ...string) *exec.Cmd {
		return exec.Command(b.path(name, "bin", "python"), append([]string{b.source(name, program)}, arguments...)...)
	}
	uses := func(arguments ...string) func() *exec.Cmd {
		return func() *exec.Cmd { return python("host.py", arguments...) }
	}
	kvplugin, ours := b.path("kvplugin"), b.path("tenon-plugin")
	const (
		curve = "BoringSSL, in grpcio's wheels, does not accept signatures by P-521 keys. Host.Config.Curve takes P256; a plugin of this library follows its host's curve."
		mux   = "grpcio listens and dials by itself: it cannot be handed the streams of a multiplexed connection."
	)
	all := []string{"put and get: ok", "streams: ok", "log: ok", "stdio: ok", "exit status: 0"}

	plugins := pluginCases(func(arguments ...string) *exec.Cmd { return python("plugin.py", arguments...) })
	plugins["P-521"] = lacks(curve, "set Config.Curve to P256", plugins["P-521"].try)
	plugins["multiplexed"] = lacks(mux, host.ErrMuxUnsupported.Error(), plugins["multiplexed"].try)
	return &language{
		name:    name,
		version: "1.85.1",
		cases: map[string]map[string]*trial{
			"plugin": plugins,
			"host": {
				"plain":       works(foreign(uses("--plaintext", kvplugin), all...)),
				"P-521":       lacks(curve, "SSLV3_ALERT_HANDSHAKE_FAILURE", foreign(uses("--curve", "P-521", kvplugin), all...)),
				"P-256":       works(foreign(uses(kvplugin), all...)),
				"TCP":         works(foreign(uses("--broker", ours, "-network", "tcp"), "put and get: ok", "broker: ok", "exit status: 0")),
				"broker":      works(foreign(uses("--broker", ours), "put and get: ok", "broker: ok", "exit status: 0")),
				"multiplexed": cannot(mux),
				"stdio":       works(foreign(uses(kvplugin), "log: ok", "stdio: ok")),
			},
		},
		further: []*trial{
			{name: "host, P-384", try: foreign(uses("--curve", "P-384", kvplugin), all...)},
		},
	}
}
