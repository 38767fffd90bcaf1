package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/wire"
)

// between are two brokers with a relay between them, which is a plugin of the host and a
// host of the plugin.
type between struct {
	host, plug       *broker.Broker
	asPlugin, asHost *broker.Broker // the relay's
	stop             func()
	ended            <-chan error
}

func relayed(t *testing.T, pair func(*testing.T) (host, plug *broker.Broker), join func(uint32, net.Conn, net.Conn)) *between {
	t.Helper()
	var b between
	b.host, b.asPlugin = pair(t)
	b.asHost, b.plug = pair(t)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- broker.Relay(ctx, b.asPlugin, b.asHost, join)
	}()
	b.stop, b.ended = stop, ended
	t.Cleanup(func() { stop(); <-done })
	return &b
}

// TestRelay: each side reaches the servers of the other, under its own ids, many at once.
func TestRelay(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			b := relayed(t, m.pair, nil)
			var all sync.WaitGroup
			for i := range 8 {
				for _, side := range []struct {
					serves, dials *broker.Broker
					name          string
				}{{b.host, b.plug, "host"}, {b.plug, b.host, "plugin"}} {
					all.Go(func() {
						name := fmt.Sprint(side.name, " ", i)
						id, err := side.serves.Serve(deadline(t), named(name))
						if err != nil {
							t.Error(err)
							return
						}
						cc, err := side.dials.Dial(deadline(t), id)
						if err != nil {
							t.Error(err)
							return
						}
						defer cc.Close()
						for range 3 {
							if got, err := ask(deadline(t), cc); err != nil || got != name {
								t.Errorf("behind id %d answers %q, %v, want %q", id, got, err, name)
							}
						}
					})
				}
			}
			all.Wait()
			wantConns(t, b.host, b.plug, 1000)
			wantConns(t, b.plug, b.host, 1000)
			b.stop()
			if err := <-b.ended; err != nil {
				t.Errorf("Relay ends with %v", err)
			}
		})
	}
}

// TestRelayDialsFirst: it does not matter which side comes first.
func TestRelayDialsFirst(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			b := relayed(t, m.pair, nil)
			dialled := make(chan error, 1)
			go func() {
				cc, err := b.host.Dial(deadline(t), 3)
				if err == nil {
					_, err = ask(deadline(t), cc)
					cc.Close()
				}
				dialled <- err
			}()
			ctx, cancel := context.WithCancel(deadline(t))
			served := make(chan error, 1)
			go func() { served <- b.plug.AcceptAndServe(ctx, 3, named("late")) }()
			if err := <-dialled; err != nil {
				t.Error(err)
			}
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRelayOfWhatWasBefore: ids that were announced, or knocked for, before the relay
// began.
func TestRelayOfWhatWasBefore(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			first := make(chan uint32, 1)
			b := relayed(t, func(t *testing.T) (host, plug *broker.Broker) {
				host, plug = m.pair(t)
				if len(first) == 0 {
					id, err := host.Serve(deadline(t), named("early"))
					if err != nil {
						t.Fatal(err)
					}
					first <- id
				}
				return host, plug
			}, nil)
			wantName(t, b.plug, <-first, "early")
		})
	}
}

// TestRelayJoin: the application gets every connection, and which side has dialled.
func TestRelayJoin(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			var seen syncBuffer
			b := relayed(t, m.pair, func(id uint32, from, to net.Conn) {
				question, err := io.ReadAll(from)
				fmt.Fprintf(&seen, "id %d: %s %v\n", id, question, err)
				to.Write(bytes.ToUpper(question))
			})
			there := acceptConn(deadline(t), b.plug, 4)
			conn, err := b.host.DialConn(deadline(t), 4)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "hello")
			conn.(interface{ CloseWrite() error }).CloseWrite()
			a := <-there
			if a.err != nil {
				t.Fatal(a.err)
			}
			defer a.conn.Close()
			if got, err := io.ReadAll(a.conn); err != nil || string(got) != "HELLO" {
				t.Errorf("the other side gets %q, %v", got, err)
			}
			if got, want := seen.String(), "id 4: hello <nil>\n"; got != want {
				t.Errorf("join sees %q, want %q", got, want)
			}
		})
	}
}

// wantCopied requires that what is written to one connection comes out of another.
func wantCopied(t *testing.T, to, from net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Error(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != text {
		t.Errorf("got %q, %v, want %q", got, err, text)
	}
}

// TestRelayEnds: connections end with the context and with a broker, but not when one
// side only hangs up.
func TestRelayEnds(t *testing.T) {
	for _, m := range modes {
		for _, c := range []struct {
			name  string
			end   func(b *between)
			want  error
			stays bool
		}{
			{"its context", func(b *between) { b.stop() }, nil, false},
			{"one broker", func(b *between) { b.asHost.Close() }, broker.ErrClosed, false},
			{"the other", func(b *between) { b.asPlugin.Close() }, broker.ErrClosed, false},
			{"hanging up", func(b *between) { b.asPlugin.Hangup() }, broker.ErrClosed, true},
		} {
			t.Run(m.name+"/"+c.name, func(t *testing.T) {
				b := relayed(t, m.pair, nil)
				there := acceptConn(deadline(t), b.plug, 4)
				conn, err := b.host.DialConn(deadline(t), 4)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				a := <-there
				if a.err != nil {
					t.Fatal(a.err)
				}
				defer a.conn.Close()
				wantCopied(t, conn, a.conn, "hello")
				c.end(b)
				if c.stays {
					wantCopied(t, conn, a.conn, "still here")
					conn.Close()
				}
				if n, err := a.conn.Read(make([]byte, 1)); err == nil {
					t.Errorf("%d bytes come after the end", n)
				}
				a.conn.Close()
				if err := <-b.ended; !errors.Is(err, c.want) {
					t.Errorf("Relay ends with %v, want %v", err, c.want)
				}
			})
		}
	}
}

// TestRelayMistakes: brokers that cannot be joined are an error at once.
func TestRelayMistakes(t *testing.T) {
	plain, _ := pair(t, false)
	other, _ := pair(t, false)
	third, _ := pair(t, false)
	muxed, _ := muxPair(t, false)
	for name, c := range map[string]struct {
		a, b *broker.Broker
		want string
	}{
		"one multiplexed": {plain, muxed, "one of the two connections is multiplexed"},
		"the other":       {muxed, plain, "one of the two connections is multiplexed"},
		"one with itself": {plain, plain, "itself"},
	} {
		if err := broker.Relay(t.Context(), c.a, c.b, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The second of these two is refused, until the first has ended.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- broker.Relay(ctx, plain, other, nil) }()
	go func() { ended <- broker.Relay(ctx, third, plain, nil) }()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "already being relayed") {
		t.Errorf("a second relay: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	done, end := context.WithCancel(t.Context())
	end()
	if err := broker.Relay(done, third, plain, nil); err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
}

// TestRelayForgetsListeners: unused listeners are closed, the oldest first, and those
// that lead nowhere when that shows.
func TestRelayForgetsListeners(t *testing.T) {
	const most = 256
	near, far := newSockets(t), newSockets(t)
	asPlugin, asHost := broker.New(&broker.Config{Listen: near.listen}), broker.New(&broker.Config{Listen: far.listen})
	a, host, hangup := stream()
	run(t, asPlugin, a, hangup)
	b, plug, hangup := stream()
	run(t, asHost, b, hangup)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- broker.Relay(ctx, asPlugin, asHost, nil) }()
	defer func() { stop(); <-ended }()

	// The host's only socket, for all ids.
	its, err := socktest.Listen(near.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer its.Close()
	announce := func(id uint32) *wire.ConnInfo {
		if err := host.Send(&wire.ConnInfo{ServiceID: id, Network: its.Addr().Network(), Address: its.Addr().String()}); err != nil {
			t.Fatal(err)
		}
		info, err := plug.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if info.ServiceID != id {
			t.Fatalf("the relay announces id %d, want %d", info.ServiceID, id)
		}
		return info
	}
	used := announce(1)
	conn, err := net.Dial(used.Network, used.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	served, err := its.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	oldest := announce(2)
	for id := range uint32(most) + 1 { // the last is for the one before it to be dealt with
		announce(3 + id)
	}
	if c, err := net.Dial(oldest.Network, oldest.Address); err == nil {
		c.Close()
		t.Error("the oldest listener can still be dialled")
	}
	if c, err := net.Dial(used.Network, used.Address); err != nil {
		t.Errorf("a listener in use: %v", err)
	} else {
		c.Close()
	}
	last := announce(5000)
	its.Close()
	c, err := net.Dial(last.Network, last.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a connection that leads nowhere: %v", err)
	}
	if c, err := net.Dial(last.Network, last.Address); err == nil {
		c.Close()
		t.Error("a listener that leads nowhere can still be dialled")
	}
}

// TestRelayAnswersLast: a knock is answered only when the other side has answered.
func TestRelayAnswersLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, plug := newMuxPeer(t, true), newMuxPeer(t, false)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- broker.Relay(ctx, host.b, plug.b, nil) }()
		defer func() { stop(); <-ended }()

		host.knock(9)
		plug.want("the knock is passed on", 9, false)
		host.wantNothing("and not answered")
		time.Sleep(4 * time.Second)
		plug.want("it is repeated", 9, false)
		time.Sleep(2 * time.Second) // and given up, when it may be repeated once more
		synctest.Wait()
		select {
		case <-plug.control.in:
		default:
		}
		host.wantNothing("nobody has accepted it")

		host.knock(9)
		plug.want("it can be asked again", 9, false)
		plug.ack(9, "")
		there := plug.accepts()
		defer there.Close()
		host.want("now it may come", 9, true)
		host.knock(9)
		plug.wantNothing("one at a time")
		st := host.open()
		defer st.Close()
		wantCopied(t, st, there, "hello")
		plug.want("and the next", 9, false)

		stop()
		if n, err := there.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes come after the end", n)
		}
	})
}
