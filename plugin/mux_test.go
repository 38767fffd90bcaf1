package plugin_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/wire"
)

// serveMux starts a plugin that multiplexes, and connects to it.
func serveMux(t *testing.T, cfg *plugin.ServeConfig) (*served, *broker.Mux, *h2grpc.ClientConn) {
	t.Helper()
	s := serve(t, cfg, wire.EnvMultiplex+"=true")
	raw, err := net.Dial(s.hs.Network, s.hs.Address)
	if err != nil {
		t.Fatal(err)
	}
	m := broker.NewHostMux(raw, nil)
	t.Cleanup(func() { m.Close() })
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: m.Dial})
	t.Cleanup(func() { cc.Close() })
	return s, m, cc
}

func TestMultiplexAnswer(t *testing.T) {
	for env, want := range map[string]string{"": "", "true": "true", "false": "false", "1": "true", "0": "false"} {
		s := serve(t, &plugin.ServeConfig{Plugins: echoSet()}, wire.EnvMultiplex+"="+env)
		if s.hs.Mux != want {
			t.Errorf("%s=%s is answered with %q, want %q", wire.EnvMultiplex, env, s.hs.Mux, want)
		}
	}
}

// TestMultiplex serves over one connection. Another connection is not served, and the
// socket's file is removed.
func TestMultiplex(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		if network == "unix" && !socktest.HasUnix() {
			t.Run(network, func(t *testing.T) { t.Skip(socktest.NoUnix) })
			continue
		}
		s, m, cc := serveMux(t, &plugin.ServeConfig{Plugins: echoSet(), Sockets: plugin.Sockets{Network: network}})
		wantEcho(t, cc, "hello", "hello")
		if second, err := net.Dial(s.hs.Network, s.hs.Address); err == nil {
			second.Close()
			t.Errorf("%s: a second connection is accepted", network)
		}
		// The main connection may be made again.
		other := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: m.Dial})
		wantEcho(t, other, "again", "again")
		other.Close()
		if err := control.Shutdown(deadline(t), cc); err != nil {
			t.Errorf("Shutdown is not answered: %v", err)
		}
		s.wantEnd()
	}
}

// TestMultiplexedHostGone closes the connection without calling Shutdown.
func TestMultiplexedHostGone(t *testing.T) {
	began, released := make(chan struct{}), make(chan struct{})
	s, m, cc := serveMux(t, &plugin.ServeConfig{
		OutliveHost:  true, // without effect, because no host can come back to the plugin
		DrainTimeout: time.Hour,
		Plugins: plugin.Set{"echo": serveEcho(func(ctx context.Context, _ []byte) ([]byte, error) {
			close(began)
			<-ctx.Done()
			close(released)
			return nil, ctx.Err()
		})},
	})
	go echo(deadline(t), cc, "x")
	<-began
	m.Close()
	<-released
	select {
	case err := <-s.done:
		if !errors.Is(err, plugin.ErrHostGone) {
			t.Errorf("ServeContext: %v", err)
		}
		s.done <- nil // for wantEnd
	case <-time.After(patience):
		t.Fatal("the plugin does not end")
	}
	s.wantEnd()
}
