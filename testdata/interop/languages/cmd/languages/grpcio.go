package main

import (
	"os/exec"

	"github.com/tenonrpc/tenon/plugin/host"
)

// noP521 is why a peer with BoringSSL does not do with the protocol's own curve.
const noP521 = "BoringSSL, in grpcio's wheels, does not accept signatures by P-521 keys. Host.Config.Curve takes P256; a plugin of this library follows its host's curve."

// muxless is why no plugin or host with gRPC's own library for C multiplexes.
const muxless = "grpcio listens and dials by itself: it cannot be handed the streams of a multiplexed connection."

// grpcio is Python's gRPC by itself, as its authors build it.
func grpcio(b *bench) *language {
	l := grpcioOf(b, "grpcio", "1.85.1", b.path("grpcio", "bin", "python"))
	plugin, host := l.cases["plugin"]["P-521"], l.cases["host"]["P-521"]
	plugin.limit, plugin.fails = noP521, "set Config.Curve to P256"
	host.limit, host.fails = noP521, "SSLV3_ALERT_HANDSHAKE_FAILURE"
	return l
}

// grpcioDebian is the same, built by Debian with OpenSSL.
func grpcioDebian(b *bench) *language {
	const name, version, python = "grpcio-debian", "1.51.1", "/usr/bin/python3"
	environment := "PYTHONPATH=" + b.path(name)
	l := grpcioOf(b, name, version, python, environment)
	l.further = append(l.further, &trial{name: "its version", try: foreign(func() *exec.Cmd {
		return exec.Command(python, "-c", "import grpc; print(grpc.__version__)")
	}, version)})
	return l
}

// grpcioOf has the programs of the directory grpcio in an interpreter. That is
// given its environment.
func grpcioOf(b *bench, name, version, interpreter string, environment ...string) *language {
	python := func(program string, arguments ...string) *exec.Cmd {
		cmd := exec.Command(interpreter, append([]string{b.source("grpcio", program)}, arguments...)...)
		cmd.Env = environment
		return cmd
	}
	uses := func(arguments ...string) func() *exec.Cmd {
		return func() *exec.Cmd { return python("host.py", arguments...) }
	}
	kvplugin, ours := b.path("kvplugin"), b.path("tenon-plugin")
	all := []string{"put and get: ok", "streams: ok", "log: ok", "stdio: ok", "exit status: 0"}

	plugins := pluginCases(func(arguments ...string) *exec.Cmd { return python("plugin.py", arguments...) })
	plugins["multiplexed"] = lacks(muxless, host.ErrMuxUnsupported.Error(), plugins["multiplexed"].try)
	return &language{
		name:    name,
		version: version,
		cases: map[string]map[string]*trial{
			"plugin": plugins,
			"host": {
				"plain": works(foreign(uses("--plaintext", kvplugin), all...)),
				"P-521": works(foreign(uses("--curve", "P-521", kvplugin), all...)),
				"P-256": works(foreign(uses(kvplugin), all...)),
				"TCP": works(both(
					foreign(uses("--plaintext", "--broker", ours, "-network", "tcp"), "put and get: ok", "broker: ok", "exit status: 0"),
					foreign(uses("--broker", ours, "-network", "tcp"), "put and get: ok", "broker: ok", "exit status: 0"))),
				"broker":      works(foreign(uses("--broker", ours), "put and get: ok", "broker: ok", "exit status: 0")),
				"multiplexed": cannot(muxless),
				"stdio":       works(foreign(uses(kvplugin), "log: ok", "stdio: ok")),
			},
		},
		further: []*trial{
			{name: "host, P-384", try: foreign(uses("--curve", "P-384", kvplugin), all...)},
		},
	}
}
