package broker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/wire"
)

// accepted is what AcceptConn returns.
type accepted struct {
	conn net.Conn
	err  error
}

func acceptConn(ctx context.Context, b *broker.Broker, id uint32) <-chan accepted {
	result := make(chan accepted, 1)
	go func() {
		conn, err := b.AcceptConn(ctx, id)
		result <- accepted{conn, err}
	}()
	return result
}

// wantConns connects two brokers, and requires that each end receives what the other
// writes, and then its end.
func wantConns(t *testing.T, from, to *broker.Broker, id uint32) {
	t.Helper()
	ctx := deadline(t)
	there := acceptConn(ctx, to, id)
	dialled, err := from.DialConn(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	defer dialled.Close()
	a := <-there
	if a.err != nil {
		t.Fatal(a.err)
	}
	defer a.conn.Close()
	ends := []net.Conn{dialled, a.conn}
	for i, c := range ends {
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Error(err)
		}
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(ends[1-i]); err != nil || string(got) != "hello" {
			t.Errorf("end %d hears %q, %v", 1-i, got, err)
		}
	}
}

// TestConns: bytes go both ways, in each direction of the broker.
func TestConns(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			host, plug := m.pair(t)
			wantConns(t, host, plug, 7)
			wantConns(t, plug, host, 7)
			wantConns(t, host, plug, 7) // again
		})
	}
	t.Run("TCP", func(t *testing.T) {
		h, p := identity(t), identity(t)
		hostCfg, plugCfg := secured(h, p, nil), secured(p, h, nil)
		listen := func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
		hostCfg.Listen, plugCfg.Listen = listen, listen
		host, plug := broker.New(hostCfg), broker.New(plugCfg)
		a, b, hangup := stream()
		run(t, host, a, hangup)
		run(t, plug, b, hangup)
		wantConns(t, host, plug, 1)
		wantConns(t, plug, host, 1)
	})
}

// TestConnThatIsShort: a peer that has written everything and closed at once is accepted.
func TestConnThatIsShort(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			host, plug := m.pair(t)
			for id := range uint32(20) {
				there := acceptConn(deadline(t), plug, id)
				conn, err := host.DialConn(deadline(t), id)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(conn, "hello"); err != nil {
					t.Fatal(err)
				}
				conn.Close()
				a := <-there
				if a.err != nil {
					t.Fatal(a.err)
				}
				if got, err := io.ReadAll(a.conn); err != nil || string(got) != "hello" {
					t.Errorf("got %q, %v", got, err)
				}
				a.conn.Close()
			}
		})
	}
}

// TestConnsAndGRPC: the other end may use gRPC, and need not know that this end does not.
func TestConnsAndGRPC(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			host, plug := m.pair(t)
			ctx := deadline(t)
			id, err := plug.Serve(ctx, named("plugin"))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := host.DialConn(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(context.Context) (net.Conn, error) { return conn, nil }})
			defer cc.Close()
			if got, err := ask(ctx, cc); err != nil || got != "plugin" {
				t.Errorf("a client on a connection of DialConn gets %q, %v", got, err)
			}

			there := acceptConn(ctx, plug, 99)
			s := h2grpc.NewServer(nil)
			named("raw")(s)
			served := make(chan error, 1)
			go func() {
				a := <-there
				if a.err != nil {
					served <- a.err
					return
				}
				served <- s.ServeConn(ctx, a.conn)
			}()
			wantName(t, host, 99, "raw")
			<-served
			s.Close()
		})
	}
}

// TestAcceptConnGivesUp: no one connects, and nothing is left behind.
func TestAcceptConnGivesUp(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			host, plug := m.pair(t)
			wantConns(t, host, plug, 1)
			ctx, cancel := context.WithCancelCause(deadline(t))
			there := acceptConn(ctx, plug, 1)
			enough := errors.New("enough")
			cancel(enough)
			if a := <-there; !errors.Is(a.err, enough) || !strings.Contains(a.err.Error(), "accepting id 1") {
				t.Errorf("got %v, %v", a.conn, a.err)
			}
			there = acceptConn(deadline(t), plug, 1)
			plug.Close()
			if a := <-there; !errors.Is(a.err, broker.ErrClosed) {
				t.Errorf("the broker is closed: %v, %v", a.conn, a.err)
			}
			if _, err := plug.AcceptConn(deadline(t), 1); !errors.Is(err, broker.ErrClosed) {
				t.Errorf("it was closed before: %v", err)
			}
			if _, err := plug.DialConn(deadline(t), 1); !errors.Is(err, broker.ErrClosed) || !strings.Contains(err.Error(), "dialling id 1") {
				t.Errorf("and dials: %v", err)
			}
			host.Hangup()
			if _, err := host.DialConn(deadline(t), 2); !errors.Is(err, broker.ErrClosed) {
				t.Errorf("a broker that has hung up dials: %v", err)
			}
		})
	}
}

// secured returns the configuration for the owner of own with a peer that has peer.
func secured(own, peer *automtls.Identity, s *sockets) *broker.Config {
	return &broker.Config{
		Listen:    s.listen,
		ServerTLS: automtls.ServerConfig(own, peer.DER(), nil),
		ClientTLS: automtls.ClientConfig(own, peer.DER(), nil),
	}
}

// TestAcceptConnPassesOverStrangers: someone who cannot perform the handshake does not
// get the connection, and does not keep the other side from it.
func TestAcceptConnPassesOverStrangers(t *testing.T) {
	log := new(syncBuffer)
	h, p := identity(t), identity(t)
	s := newSockets(t)
	cfg := secured(p, h, s)
	cfg.Logger = testLogger{log}
	plug := broker.New(cfg)
	mine, theirs, hangup := stream()
	run(t, plug, mine, hangup)
	there := acceptConn(deadline(t), plug, 1)
	info, err := theirs.Recv()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := net.Dial(info.Network, info.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := io.WriteString(stranger, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(stranger); err != nil {
		t.Logf("the stranger is hung up on: %v", err)
	}
	host := broker.New(secured(h, p, s))
	a, b, hangupHost := stream()
	run(t, host, a, hangupHost)
	if err := b.Send(info); err != nil {
		t.Fatal(err)
	}
	conn, err := host.DialConn(deadline(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if a := <-there; a.err != nil {
		t.Error(a.err)
	} else {
		a.conn.Close()
	}
	if !strings.Contains(log.String(), "TLS handshake") {
		t.Errorf("the log says nothing of the stranger: %q", log)
	}
}

// TestDialConnOfWrongAddresses: errors quote the announced address.
func TestDialConnOfWrongAddresses(t *testing.T) {
	b := broker.New(&broker.Config{Listen: memListen})
	mine, theirs, hangup := stream()
	run(t, b, mine, hangup)
	for _, info := range []wire.ConnInfo{{ServiceID: 1, Network: "udp", Address: "x"}, {ServiceID: 1, Network: "unix"}, {ServiceID: 1, Network: "unix", Address: "/nowhere/at/all"}} {
		if err := theirs.Send(&info); err != nil {
			t.Fatal(err)
		}
		if conn, err := b.DialConn(deadline(t), 1); err == nil || !strings.Contains(err.Error(), "dialling id 1") || !strings.Contains(err.Error(), info.Address) {
			t.Errorf("%+v: %v, %v", info, conn, err)
		}
	}
}

// TestAcceptConnAnswersOneKnock: a second knock has to wait for another AcceptConn, and a
// knock without a stream does not count.
func TestAcceptConnAnswersOneKnock(t *testing.T) {
	for _, plugin := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newMuxPeer(t, plugin)
			there := acceptConn(t.Context(), p.b, 5)
			p.knock(5)
			p.want("the first", 5, true)
			p.wantNothing("it has not come yet")
			time.Sleep(5*time.Second + time.Millisecond) // its stream does not come
			p.knock(5)
			p.want("it knocks again", 5, true)
			p.knock(5)
			st := p.open()
			defer st.Close()
			a := <-there
			if a.err != nil {
				t.Fatal(a.err)
			}
			defer a.conn.Close()
			p.wantNothing("one was accepted")
			there = acceptConn(t.Context(), p.b, 5)
			p.want("another is", 5, true)
			other := p.open()
			defer other.Close()
			if a := <-there; a.err != nil {
				t.Fatal(a.err)
			} else {
				a.conn.Close()
			}
		})
	}
}
