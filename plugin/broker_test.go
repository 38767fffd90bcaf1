package plugin_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/wire"
)

// brokered is a plugin that is given the id of a server of the host, gets a word from
// that server, and answers with the id of a server of its own that returns the word.
func brokered() plugin.Set {
	return plugin.Set{"brokered": plugin.ServeOnly(func(b *plugin.Broker, s *h2grpc.Server) error {
		s.RegisterService(&echoDesc, echoServer(func(ctx context.Context, in []byte) ([]byte, error) {
			id, err := strconv.ParseUint(string(in), 10, 32)
			if err != nil {
				return nil, err
			}
			cc, err := b.Dial(ctx, uint32(id))
			if err != nil {
				return nil, err
			}
			defer cc.Close()
			word, err := echo(ctx, cc, "")
			if err != nil {
				return nil, err
			}
			// It outlives this call, and ends with the broker.
			own, err := b.Serve(context.Background(), answers(word))
			return strconv.AppendUint(nil, uint64(own), 10), err
		}))
		return nil
	})}
}

func answers(word string) func(*h2grpc.Server) error {
	return func(s *h2grpc.Server) error {
		s.RegisterService(&echoDesc, echoServer(func(context.Context, []byte) ([]byte, error) { return []byte(word), nil }))
		return nil
	}
}

// TestBroker plays the host of a plugin that uses the broker both ways.
func TestBroker(t *testing.T) {
	for name, secure := range map[string]bool{"plaintext": false, "AutoMTLS": true} {
		t.Run(name, func(t *testing.T) {
			host, err := automtls.New(automtls.P256)
			if err != nil {
				t.Fatal(err)
			}
			var env []string
			if secure {
				env = append(env, wire.EnvClientCert+"="+host.PEM())
			}
			s := serve(t, &plugin.ServeConfig{Plugins: brokered()}, env...)
			dir := socketDir(t)
			cfg := &broker.Config{Listen: func() (net.Listener, error) { return socktest.Listen(dir) }}
			var client *tls.Config
			if secure {
				client = automtls.ClientConfig(host, s.hs.Certificate, nil)
				cfg.ClientTLS, cfg.ServerTLS = client, automtls.ServerConfig(host, s.hs.Certificate, nil)
			}
			cc := s.dial(client)
			ctx := deadline(t)
			stream, err := control.StartStream(ctx, cc)
			if err != nil {
				t.Fatal(err)
			}
			b := broker.New(cfg)
			ran := make(chan error, 1)
			go func() { ran <- b.Run(stream) }()
			t.Cleanup(func() { b.Close() })
			ours := (*plugin.Broker)(b)

			id, err := ours.Serve(ctx, answers("please"))
			if err != nil {
				t.Fatal(err)
			}
			answer, err := echo(ctx, cc, strconv.Itoa(int(id)))
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := strconv.Atoi(answer)
			if err != nil {
				t.Fatal(err)
			}
			back, err := ours.Dial(ctx, uint32(theirs))
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			wantEcho(t, back, "", "please")
			want := 2
			if s.hs.Network != "unix" {
				want = 0
			}
			if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != want {
				t.Errorf("the plugin's sockets: %v, %v, want %d in the host's directory", entries, err, want)
			}

			// The end of the plugin ends the control stream and what the plugin served.
			if err := control.Shutdown(ctx, cc); err != nil {
				t.Error(err)
			}
			s.wantEnd()
			if err := <-ran; err != nil {
				t.Errorf("the control stream ends with %v", err)
			}
			if _, err := echo(ctx, back, ""); err == nil {
				t.Error("a brokered server of the plugin survives it")
			}
		})
	}
}

// TestBrokerBeforeHost uses the broker before a host has connected: calls wait, and end
// with the plugin.
func TestBrokerBeforeHost(t *testing.T) {
	waiting := make(chan error, 1)
	s := serve(t, &plugin.ServeConfig{Plugins: plugin.Set{"early": plugin.ServeOnly(func(b *plugin.Broker, s *h2grpc.Server) error {
		go func() { waiting <- b.AcceptAndServe(context.Background(), b.NextID(), answers("x")) }()
		return nil
	})}})
	s.stop()
	if err := <-waiting; !errors.Is(err, plugin.ErrBrokerClosed) || !strings.Contains(err.Error(), "accepting id 1") {
		t.Errorf("AcceptAndServe: %v", err)
	}
}
