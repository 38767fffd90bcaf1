package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os/exec"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/plugin/host"
)

// pyvider is pyvider-rpcplugin, a port of go-plugin to grpcio.
func pyvider(b *bench) *language {
	const name = "pyvider-rpcplugin"
	python := func(program string, arguments ...string) *exec.Cmd {
		return exec.Command(b.path(name, "bin", "python"), append([]string{b.source(name, program)}, arguments...)...)
	}
	launch := func(arguments ...string) *exec.Cmd { return python("plugin.py", arguments...) }
	anyHost := func(...string) *exec.Cmd { return launch("--any-host") }
	uses := func(arguments ...string) func() *exec.Cmd {
		return func() *exec.Cmd { return python("host.py", arguments...) }
	}
	kvplugin, ours := b.path("kvplugin"), b.path("tenon-plugin")
	const (
		broker = "pyvider-rpcplugin's broker makes no connections."
		mux    = "pyvider-rpcplugin has no multiplexing."
		open   = "unless its PLUGIN_CLIENT_ROOT_CERTS says otherwise, it asks for no certificate and lets in whoever reaches its socket. P-521 works then, too."
	)
	all := []string{"put and get: ok", "streams: ok", "log: ok", "stdio: ok", "exit status: 0"}
	with := func(h hosting, launch launcher) func(context.Context) error {
		return func(ctx context.Context) error { return h.run(ctx, launch()) }
	}

	plugins := pluginCases(launch)
	plugins["P-521"] = lacks(noP521, "set Config.Curve to P256", plugins["P-521"].try)
	plugins["broker"] = cannot(broker)
	plugins["multiplexed"] = lacks(mux, host.ErrMuxUnsupported.Error(), plugins["multiplexed"].try)
	return &language{
		name:    name,
		version: "0.5.5",
		cases: map[string]map[string]*trial{
			"plugin": plugins,
			"host": {
				"plain": works(foreign(uses("--plaintext", kvplugin), all...)),
				"P-521": lacks(noP521, "SSLV3_ALERT_HANDSHAKE_FAILURE", foreign(uses("--curve", "P-521", "--patience", "1", kvplugin), all...)),
				"P-256": works(foreign(uses("--curve", "P-256", kvplugin), all...)),
				"TCP": works(both(
					foreign(uses("--plaintext", "--short", ours, "-network", "tcp"), "put and get: ok", "exit status: 0"),
					foreign(uses("--short", ours, "-network", "tcp"), "put and get: ok", "exit status: 0"))),
				"broker":      cannot(broker),
				"multiplexed": cannot(mux),
				"stdio":       works(foreign(uses(kvplugin), "log: ok", "stdio: ok")),
			},
		},
		further: []*trial{
			{name: "host, P-384, its own choice", try: foreign(uses(kvplugin), all...)},
			{name: "plugin, P-384", try: with(hosting{curve: host.P384, use: useStore}, launch)},
			{name: "plugin, no common version", try: mismatch(launch)},
			{name: "plugin, a connection that is offered to its broker", try: with(hosting{curve: host.P256, use: offer}, launch)},
			{name: "plugin, a stranger", try: stranger(launch)},
			{name: "plugin, left to itself, P-521", try: with(hosting{curve: host.P521, use: useStore}, anyHost)},
			{name: "a plugin left to itself", try: stranger(anyHost), limit: open, fails: errServed.Error()},
		},
	}
}

// offer announces a connection that the plugin does not want, and goes on.
func offer(ctx context.Context, s *session) error {
	if _, err := s.Broker().Serve(ctx, func(server *h2grpc.Server) error {
		kv.RegisterKVServer(server, new(lent))
		return nil
	}); err != nil {
		return err
	}
	return useStore(ctx, s)
}

var errServed = errors.New("the plugin has served a stranger")

// stranger calls a plugin without the certificate of its host, which is to be in
// vain.
func stranger(launch launcher) func(context.Context) error {
	return func(ctx context.Context) error {
		s, err := hosting{curve: host.P256}.start(ctx, launch())
		if err != nil {
			return err
		}
		defer s.Kill()
		var at peer.Peer
		if _, err := s.store.Put(ctx, &kv.PutRequest{Key: "mine"}, h2grpc.Peer(&at)); err != nil {
			return err
		}
		conn := h2grpc.NewClient(&h2grpc.ClientConfig{
			Dial: func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, at.Addr.Network(), at.Addr.String())
			},
			TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}},
		})
		defer conn.Close()
		if _, err := kv.NewKVClient(conn).Get(ctx, &kv.GetRequest{Key: "mine"}); err == nil {
			return errServed
		} else if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return fmt.Errorf("the stranger did not get as far as TLS: %w", err)
		}
		if _, err := s.store.Get(ctx, &kv.GetRequest{Key: "mine"}); err != nil {
			return fmt.Errorf("the host itself, afterwards: %w", err)
		}
		return s.Close()
	}
}
