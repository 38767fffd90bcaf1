package broker_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/wire"
)

// counting is a Logger that counts lines, and the lines that they stand for.
type counting struct {
	mu           sync.Mutex
	lines, stand int
}

func (c *counting) Debug(_ string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines++
	c.stand++
	if i := slices.Index(args, any("more_like_it")); i >= 0 {
		c.stand += args[i+1].(int)
	}
}

func (c *counting) Info(msg string, args ...any)  { c.Debug(msg, args...) }
func (c *counting) Warn(msg string, args ...any)  { c.Debug(msg, args...) }
func (c *counting) Error(msg string, args ...any) { c.Debug(msg, args...) }

// wants checks that a few lines stand for many.
func (c *counting) wants(t *testing.T, many int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lines > 25 || c.stand != many {
		t.Errorf("%d lines stand for %d, which should be %d", c.lines, c.stand, many)
	}
}

// Unwanted messages lead to only a few lines in the log, however many there are.
func TestLogFloods(t *testing.T) {
	knock := func(k wire.Knock) *wire.Knock { return &k }
	for name, tc := range map[string]struct {
		mux   bool
		info  wire.ConnInfo
		spare int // this many of the messages are stored without a line
	}{
		"announcements":                        {false, wire.ConnInfo{Network: "unix", Address: "x"}, 1024},
		"knocks without multiplexing":          {false, wire.ConnInfo{Knock: knock(wire.Knock{Knock: true})}, 0},
		"knocks":                               {true, wire.ConnInfo{Knock: knock(wire.Knock{Knock: true})}, 1024},
		"announcements with multiplexing":      {true, wire.ConnInfo{Network: "unix", Address: "x"}, 0},
		"neither a knock nor an answer to one": {true, wire.ConnInfo{Knock: knock(wire.Knock{})}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := new(counting)
				cfg := broker.Config{Logger: log, Listen: func() (net.Listener, error) { return nil, io.EOF }}
				if tc.mux {
					cfg.Mux = broker.NewPluginMux(nil)
					defer cfg.Mux.Close()
				}
				b := broker.New(&cfg)
				const many = 5000
				if err := b.Run(&repeating{info: tc.info, left: many}); err != nil {
					t.Error(err)
				}
				b.Close()
				log.wants(t, many-tc.spare)
			})
		})
	}
}

// repeating is a control stream of a peer that sends the same message with new ids.
type repeating struct {
	info wire.ConnInfo
	left int
}

func (r *repeating) Send(*wire.ConnInfo) error { return nil }

func (r *repeating) Recv() (*wire.ConnInfo, error) {
	if r.left--; r.left < 0 {
		return nil, io.EOF
	}
	info := r.info
	info.ServiceID = uint32(r.left)
	return &info, nil
}

// A plugin opens streams without knocks.
func TestUnannouncedFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		log := new(counting)
		m := broker.NewHostMux(ours, log)
		go io.Copy(io.Discard, theirs)
		const many = 5000
		for i := range uint32(many) {
			b := []byte{0, 1, 0, 1} // version 0, a window update, SYN
			b = binary.BigEndian.AppendUint32(b, 2+2*i)
			b = binary.BigEndian.AppendUint32(b, 0)
			if _, err := theirs.Write(b); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		m.Close()
		theirs.Close()
		log.wants(t, many)
	})
}

// memoryListen returns a Config's Listen, and a function that connects to its listener
// with net.Pipe, whose ends go through the queue.
func memoryListen() (listen func() (net.Listener, error), dial func() net.Conn, queue chan net.Conn) {
	queue = make(chan net.Conn)
	listen = func() (net.Listener, error) {
		return &pipeListener{queue, make(chan struct{}), sync.Once{}}, nil
	}
	return listen, func() net.Conn {
		a, b := net.Pipe()
		queue <- b
		return a
	}, queue
}

type pipeListener struct {
	queue chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.queue:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return memAddr{} }

// lonely returns a broker whose peer receives its announcements.
func lonely(t *testing.T, cfg *broker.Config) *broker.Broker {
	b := broker.New(cfg)
	a, peer, hangup := stream()
	run(t, b, a, hangup)
	go func() {
		for second(peer.Recv()) == nil {
		}
	}()
	return b
}

// A plugin with the right certificate makes more connections to a brokered server than
// are allowed; others, without a certificate, do not keep it out.
func TestBrokeredConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := identity(t), identity(t)
		listen, dial, queue := memoryListen()
		log := new(counting)
		b := lonely(t, &broker.Config{
			Listen:    listen,
			ServerTLS: automtls.ServerConfig(h, p.DER(), nil),
			Server:    h2grpc.ServerConfig{MaxConnections: 3, MaxHandshakes: 4},
			Logger:    log,
		})
		if _, err := b.Serve(t.Context(), named("host")); err != nil {
			t.Fatal(err)
		}
		silent := func(n int) {
			for range n {
				conn := dial()
				t.Cleanup(func() { conn.Close() })
				go io.Copy(io.Discard, conn)
			}
		}
		client := func() *h2grpc.ClientConn {
			cc := h2grpc.NewClient(&h2grpc.ClientConfig{
				TLS:            automtls.ClientConfig(p, h.DER(), nil),
				ConnectTimeout: time.Second,
				Dial:           func(context.Context) (net.Conn, error) { return dial(), nil },
			})
			t.Cleanup(func() { cc.Close() })
			return cc
		}
		var open []*h2grpc.ClientConn
		for range 3 {
			silent(100)
			cc := client()
			if name, err := ask(t.Context(), cc); err != nil || name != "host" {
				t.Fatalf("%q, %v", name, err)
			}
			open = append(open, cc)
		}
		waits := client()
		if _, err := ask(t.Context(), waits); err == nil {
			t.Error("a fourth connection")
		}
		select {
		case queue <- nil:
			t.Error("a fifth connection was accepted")
		default:
		}
		for _, cc := range open {
			if name, err := ask(t.Context(), cc); err != nil || name != "host" {
				t.Errorf("%q, %v", name, err)
			}
		}
		open[0].Close()
		synctest.Wait()
		if name, err := ask(t.Context(), waits); err != nil || name != "host" {
			t.Errorf("%q, %v", name, err)
		}
	})
}

// All servers and listeners of a broker share a limit.
func TestMaxOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listen, dial, _ := memoryListen()
		listenSecond, dialSecond, _ := memoryListen()
		first := true
		b := lonely(t, &broker.Config{MaxOpen: 2, Listen: func() (net.Listener, error) {
			if first {
				first = false
				return listen()
			}
			return listenSecond()
		}})
		var open []net.Listener
		for i := range uint32(2) {
			l, err := b.Accept(t.Context(), i)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, l)
		}
		if err := second(b.Accept(t.Context(), 3)); err == nil || !strings.Contains(err.Error(), "2 ids are being accepted, as many as MaxBrokered") {
			t.Errorf("a third listener: %v", err)
		}
		accepted := make(chan net.Conn, 3)
		for range 3 {
			go func() {
				conn, err := open[0].Accept()
				if err != nil {
					close(accepted)
					return
				}
				accepted <- conn
			}()
			conn := dial()
			defer conn.Close()
			synctest.Wait()
		}
		if len(accepted) != 2 {
			t.Errorf("%d connections were accepted", len(accepted))
		}
		(<-accepted).Close()
		synctest.Wait()
		if len(accepted) != 2 {
			t.Error("a third is not accepted after one has ended")
		}
		// Closing ends the wait.
		go func() {
			if second(open[1].Accept()) == nil {
				t.Error("accepted")
			}
		}()
		conn := dialSecond()
		defer conn.Close()
		synctest.Wait()
		open[1].Close()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("the connection was not closed")
		}
		if err := second(b.Accept(t.Context(), 4)); err != nil {
			t.Errorf("there is room again: %v", err)
		}
		(<-accepted).Close()
		(<-accepted).Close()
		open[0].Close()
	})
}
