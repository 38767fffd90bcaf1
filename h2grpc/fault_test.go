package h2grpc_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// fault is which I/O call of a connection fails, and how.
type fault struct {
	end  string // "client" or "server"
	call string // "read" or "write"
	n    int    // counting from 1; 0: none
	// how is "error", "half" (of the bytes, then an error), "stall" (until a
	// deadline or Close) or "deaf" (until Close).
	how string
}

func (f fault) String() string { return fmt.Sprintf("%s: %s of %s %d", f.end, f.how, f.call, f.n) }

var errInjected = errors.New("injected fault")

// faultyConn is one end of a connection. From the nth call on, calls of one
// kind fail.
type faultyConn struct {
	net.Conn
	fault
	reads, writes atomic.Int32
	once          sync.Once
	closed        chan struct{}
	silent        net.Conn // its other end is unused
}

func newFaultyConn(nc net.Conn, f fault) *faultyConn {
	silent, _ := net.Pipe()
	return &faultyConn{Conn: nc, fault: f, closed: make(chan struct{}), silent: silent}
}

func (c *faultyConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *faultyConn) SetReadDeadline(t time.Time) error {
	c.silent.SetReadDeadline(t)
	return c.Conn.SetReadDeadline(t)
}

func (c *faultyConn) SetWriteDeadline(t time.Time) error {
	c.silent.SetWriteDeadline(t)
	return c.Conn.SetWriteDeadline(t)
}

func (c *faultyConn) Read(p []byte) (int, error) {
	if n := int(c.reads.Add(1)); c.call == "read" && c.n > 0 && n >= c.n {
		return c.fail(p, n, c.Conn.Read)
	}
	return c.Conn.Read(p)
}

func (c *faultyConn) Write(p []byte) (int, error) {
	if n := int(c.writes.Add(1)); c.call == "write" && c.n > 0 && n >= c.n {
		return c.fail(p, n, c.Conn.Write)
	}
	return c.Conn.Write(p)
}

func (c *faultyConn) fail(p []byte, n int, io func([]byte) (int, error)) (int, error) {
	switch {
	case c.how == "stall" && c.call == "read":
		return c.silent.Read(p)
	case c.how == "stall":
		return c.silent.Write(p)
	case c.how == "deaf":
		<-c.closed
		return 0, net.ErrClosed
	case c.how == "half" && n == c.n:
		done, err := io(p[:len(p)/2])
		if err == nil {
			err = errInjected
		}
		return done, err
	}
	return 0, errInjected
}

func (c *faultyConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.silent.Close()
	return c.Conn.Close()
}

// scenario is a server, its client and calls of all kinds over TLS, which end with a
// graceful stop. The fault is in the first connection; the client may make more,
// which work.
type scenario struct {
	t     *testing.T
	fault fault
	cc    *h2grpc.ClientConn
	srv   *h2grpc.Server
	first [2]*faultyConn // client and server

	ok, failed atomic.Int32 // calls
}

// numbered returns a message of a stream with the stream's name and its place in it.
func numbered(name string, i int) *raw {
	m := raw(fmt.Sprintf("%s %d ", name, i))
	m = append(m, bytes.Repeat([]byte{byte(i)}, i*100%5000)...)
	return &m
}

const faultMessages = 12

// handle is every method of the server: it checks what it receives and answers
// likewise.
func (s *scenario) handle(method string) func(h2grpc.ServerStream) error {
	return func(stream h2grpc.ServerStream) error {
		var name string
		for i := 0; ; i++ {
			var m raw
			if err := stream.RecvMsg(&m); err == io.EOF {
				if i != faultMessages && i != 1 {
					s.t.Errorf("%v: a handler saw the end after %d messages", s.fault, i)
				}
				break
			} else if err != nil {
				return err
			}
			if i == 0 {
				fmt.Sscan(string(m), &name)
			}
			if !bytes.Equal(m, *numbered(name, i)) {
				s.t.Errorf("%v: a handler got %.40q as message %d of %s", s.fault, m, i, name)
			}
			if name[0] == 'b' {
				if err := stream.SendMsg(&m); err != nil {
					return err
				}
			}
		}
		switch name[0] {
		case 's':
			for i := range faultMessages {
				if err := stream.SendMsg(numbered(name, i)); err != nil {
					return err
				}
			}
		case 'c':
			return stream.SendMsg(numbered(name, 99))
		}
		return nil
	}
}

// outcome counts a call that ended with err, which must be one that a broken
// connection explains.
func (s *scenario) outcome(name string, err error) {
	switch status.Code(err) {
	case codes.OK:
		s.ok.Add(1)
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Internal:
		s.failed.Add(1)
		if s.fault.n == 0 {
			s.t.Errorf("%s failed without a fault: %v", name, err)
		}
	default:
		s.t.Errorf("%v: %s ended with %v", s.fault, name, err)
	}
}

func (s *scenario) unary(ctx context.Context, name string, size int) {
	in := raw(name + string(bytes.Repeat([]byte{'u'}, size)))
	var out raw
	err := s.cc.Invoke(ctx, unaryMethod, &in, &out)
	if err == nil && !bytes.Equal(in, out) {
		s.t.Errorf("%v: the unary call %s got %.40q", s.fault, name, out)
	}
	s.outcome(name, err)
}

// stream makes a streaming call. pause, if not nil, is waited for in the
// middle of it.
func (s *scenario) stream(ctx context.Context, name string, pause <-chan struct{}) {
	desc, method, responses, first := &bidiDesc, bidiMethod, faultMessages, 0
	requests := faultMessages
	switch name[0] {
	case 'c':
		desc, method, responses, first = &clientDesc, clientMethod, 1, 99
	case 's':
		desc, method, requests = &serverDesc, serverMethod, 1
	}
	stream, err := s.cc.NewStream(ctx, desc, method)
	if err != nil {
		s.outcome(name, err)
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range requests {
			if i == requests/2 && pause != nil {
				<-pause
			}
			if stream.SendMsg(numbered(name, i)) != nil {
				return
			}
		}
		stream.CloseSend()
	})
	for i := 0; ; i++ {
		var m raw
		if err = stream.RecvMsg(&m); err != nil {
			if err == io.EOF {
				if err = nil; i != responses {
					s.t.Errorf("%v: the stream %s ended well after %d messages", s.fault, name, i)
				}
			}
			break
		}
		if !bytes.Equal(m, *numbered(name, first+i)) {
			s.t.Errorf("%v: the stream %s got %.40q as message %d", s.fault, name, m, i)
		}
	}
	wg.Wait()
	s.outcome(name, err)
}

// run runs the scenario. Everything must have ended within two minutes of fake time,
// and no goroutine may be left.
func (s *scenario) run(serverTLS, clientTLS *tls.Config) {
	t := s.t
	s.srv = h2grpc.NewServer(&h2grpc.ServerConfig{TLS: serverTLS})
	desc := serviceDesc()
	for i := range desc.Streams {
		desc.Streams[i].Handler = func(srv any, stream h2grpc.ServerStream) error { return s.handle("")(stream) }
	}
	s.srv.RegisterService(desc, &testService{unary: echo})
	var serving sync.WaitGroup
	dials := 0
	s.cc = h2grpc.NewClient(&h2grpc.ClientConfig{TLS: clientTLS, Dial: func(context.Context) (net.Conn, error) {
		a, b := net.Pipe()
		var f [2]fault
		if dials++; dials == 1 {
			f[0], f[1] = s.fault, s.fault
			if s.fault.end == "client" {
				f[1] = fault{}
			} else {
				f[0] = fault{}
			}
		}
		client, server := newFaultyConn(a, f[0]), newFaultyConn(b, f[1])
		if dials == 1 {
			s.first = [2]*faultyConn{client, server}
		}
		serving.Go(func() { s.srv.ServeConn(context.Background(), server) })
		return client, nil
	}})
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	s.unary(ctx, "first", 10)
	s.unary(ctx, "large", 300_000)
	for _, name := range []string{"c1", "s1", "b1"} {
		s.stream(ctx, name, nil)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { s.unary(ctx, fmt.Sprint("beside ", i), 100*i) })
	}
	for _, name := range []string{"c2", "s2", "b2"} {
		wg.Go(func() { s.stream(ctx, name, nil) })
	}
	wg.Wait()
	// A graceful stop in the middle of streams.
	pause := make(chan struct{})
	for _, name := range []string{"c3", "b3"} {
		wg.Go(func() { s.stream(ctx, name, pause) })
	}
	synctest.Wait()
	stopped := make(chan error, 1)
	go func() { stopped <- s.srv.Shutdown(ctx) }()
	synctest.Wait()
	close(pause)
	wg.Wait()
	if err := <-stopped; err != nil && s.fault.n == 0 {
		t.Errorf("Shutdown: %v", err)
	}
	s.cc.Close()
	s.srv.Close()
	serving.Wait()
	if d := time.Since(began); d > 2*time.Minute {
		t.Errorf("%v: the end came after %v", s.fault, d)
	}
}

// TestFaults breaks every I/O call of the scenario, one at a time.
func TestFaults(t *testing.T) {
	hows := map[string][]string{"read": {"error", "half", "stall", "deaf"}, "write": {"error", "half", "stall", "deaf"}}
	serverTLS, clientTLS := faultTLS(t)
	calls := map[string]int{}
	// How many calls there are depends on the scheduler: look several times.
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			s := &scenario{t: t}
			s.run(serverTLS, clientTLS)
			if s.failed.Load() > 0 || s.ok.Load() != 14 {
				t.Errorf("without a fault %d calls end well and %d do not", s.ok.Load(), s.failed.Load())
			}
			for i, end := range []string{"client", "server"} {
				calls[end+" read"] = max(calls[end+" read"], int(s.first[i].reads.Load()))
				calls[end+" write"] = max(calls[end+" write"], int(s.first[i].writes.Load()))
			}
		})
	}
	t.Logf("I/O calls of the scenario: client %d reads, %d writes; server %d reads, %d writes",
		calls["client read"], calls["client write"], calls["server read"], calls["server write"])
	stride := 1
	if testing.Short() || raceEnabled {
		stride = 11
	}
	runs, struck := 0, 0
	for _, end := range []string{"client", "server"} {
		for _, call := range []string{"read", "write"} {
			for _, how := range hows[call] {
				for n := 1; n <= calls[end+" "+call]; n += stride {
					synctest.Test(t, func(t *testing.T) {
						s := &scenario{t: t, fault: fault{end, call, n, how}}
						s.run(serverTLS, clientTLS)
						runs++
						if s.failed.Load() > 0 {
							struck++
						}
					})
					if t.Failed() {
						t.Fatalf("with the fault %q", fault{end, call, n, how})
					}
				}
			}
		}
	}
	t.Logf("%d runs, in %d of which calls failed", runs, struck)
	if struck < runs/4 {
		t.Error("most faults strike nothing")
	}
}

// faultTLS is testTLS for all the bubbles of a test, whose clocks start in the year
// 2000.
func faultTLS(t *testing.T) (server, client *tls.Config) {
	synctest.Test(t, func(t *testing.T) { server, client = testTLS(t) })
	return server, client
}
