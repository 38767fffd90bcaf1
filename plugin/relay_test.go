package plugin_test

import (
	"context"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/plugintest"
)

// caller is a plugin that is given an id, dials it and returns what it reads there.
func caller() plugin.Set {
	return plugin.Set{"caller": plugin.ServeOnly(func(b *plugin.Broker, s *h2grpc.Server) error {
		s.RegisterService(&echoDesc, echoServer(func(ctx context.Context, in []byte) ([]byte, error) {
			id, err := strconv.ParseUint(string(in), 10, 32)
			if err != nil {
				return nil, err
			}
			conn, err := b.DialConn(ctx, uint32(id))
			if err != nil {
				return nil, err
			}
			defer conn.Close()
			return io.ReadAll(conn)
		}))
		return nil
	})}
}

// TestBrokerConns: a host and a plugin have a connection that carries only what they
// write.
func TestBrokerConns(t *testing.T) {
	for name, cfg := range map[string]host.Config{
		"plaintext":            {InsecurePlaintext: true},
		"AutoMTLS":             {Curve: host.P256},
		"multiplexed":          {InsecurePlaintext: true, Multiplex: true},
		"multiplexed AutoMTLS": {Curve: host.P256, Multiplex: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := plugintest.Start(t, &plugintest.Config{Plugin: plugin.ServeConfig{Plugins: caller()}, Host: cfg})
			id := c.Broker().NextID()
			answer := make(chan string, 1)
			go func() {
				got, err := echo(deadline(t), c.Conn(), strconv.Itoa(int(id)))
				if err != nil {
					t.Error(err)
				}
				answer <- got
			}()
			conn, err := c.Broker().AcceptConn(deadline(t), id)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "a word"); err != nil {
				t.Error(err)
			}
			conn.Close()
			if got := <-answer; got != "a word" {
				t.Errorf("the plugin reads %q", got)
			}
		})
	}
}

// TestRelayBrokers has a plugin dial the host of another plugin, through that one's
// broker.
func TestRelayBrokers(t *testing.T) {
	for name, cfg := range map[string]host.Config{
		"AutoMTLS":             {Curve: host.P256},
		"multiplexed AutoMTLS": {Curve: host.P256, Multiplex: true},
	} {
		t.Run(name, func(t *testing.T) {
			inner := plugintest.Start(t, &plugintest.Config{Plugin: plugin.ServeConfig{Plugins: caller()}, Host: cfg})
			ended := make(chan error, 1)
			seen := make(chan uint32, 1)
			between := plugin.Set{"between": plugin.ServeOnly(func(b *plugin.Broker, _ *h2grpc.Server) error {
				go func() {
					ended <- plugin.RelayBrokers(context.Background(), b, inner.Broker(), func(id uint32, from, to net.Conn) {
						seen <- id
						io.Copy(from, to)
					})
				}()
				return nil
			})}
			server := h2grpc.ServerConfig{Unknown: func(method string, s h2grpc.ServerStream) error {
				var in, out h2grpc.Raw
				if err := s.RecvMsg(&in); err != nil {
					return err
				}
				if err := inner.Conn().Invoke(s.Context(), method, &in, &out); err != nil {
					return err
				}
				return s.SendMsg(&out)
			}}
			outer := plugintest.Start(t, &plugintest.Config{Plugin: plugin.ServeConfig{Plugins: between, Server: server}, Host: cfg})
			go func() {
				conn, err := outer.Broker().AcceptConn(deadline(t), 77)
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(conn, "a word")
				conn.Close()
			}()
			if got, err := echo(deadline(t), outer.Conn(), "77"); err != nil || got != "a word" {
				t.Errorf("the plugin reads %q, %v", got, err)
			}
			if id := <-seen; id != 77 {
				t.Errorf("the relay sees id %d", id)
			}
			if err := outer.Close(); err != nil {
				t.Error(err)
			}
			if err := <-ended; err != plugin.ErrBrokerClosed {
				t.Errorf("RelayBrokers ends with %v", err)
			}
		})
	}
}
