package h2grpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestShutdown: calls in flight end well, new ones find no server.
func TestShutdown(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			cc, srv := start(t, setup{tls: secure, service: &testService{
				unary:  func(_ context.Context, in *raw) (*raw, error) { <-release; return in, nil },
				stream: echoStream,
			}})
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			var calls []<-chan result
			for i := range 20 {
				calls = append(calls, invoke(t.Context(), cc, fmt.Sprint(i)))
			}
			synctest.Wait()
			done := make(chan error, 1)
			go func() { done <- srv.Shutdown(context.Background()) }()
			synctest.Wait()
			for range 3 {
				if err := cc.Invoke(t.Context(), unaryMethod, msg("late"), new(raw)); status.Code(err) != codes.Unavailable {
					t.Errorf("a new call: %v", err)
				}
			}
			if _, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod); status.Code(err) != codes.Unavailable {
				t.Errorf("a new stream: %v", err)
			}
			for i := range 10 {
				var got raw
				want := fmt.Sprint("message ", i)
				if err := s.SendMsg(msg(want)); err != nil {
					t.Fatal(err)
				}
				if err := s.RecvMsg(&got); err != nil || string(got) != want {
					t.Fatalf("the stream during Shutdown: %q, %v", got, err)
				}
			}
			time.Sleep(time.Hour)
			if len(done) > 0 {
				t.Error("Shutdown does not wait for calls")
			}
			close(release)
			for i, call := range calls {
				if r := <-call; r.err != nil || r.reply != fmt.Sprint(i) {
					t.Errorf("call %d is lost: %q, %v", i, r.reply, r.err)
				}
			}
			synctest.Wait()
			if len(done) > 0 {
				t.Error("Shutdown does not wait for streams")
			}
			s.CloseSend()
			if err := s.RecvMsg(new(raw)); err != io.EOF {
				t.Errorf("the stream's end: %v", err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := srv.Shutdown(context.Background()); err != nil {
				t.Errorf("a second Shutdown: %v", err)
			}
		})
	}
}

// TestShutdownUnderLoad: callers call all the time. Every call is either answered, or
// UNAVAILABLE and seen by no handler.
func TestShutdownUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled, answered atomic.Int32
		cc, srv := start(t, setup{service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
			handled.Add(1)
			time.Sleep(time.Millisecond)
			return in, nil
		}}})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for {
					err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw))
					if status.Code(err) == codes.Unavailable {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					answered.Add(1)
				}
			})
		}
		time.Sleep(20*time.Millisecond + 500*time.Microsecond)
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if handled.Load() != answered.Load() || handled.Load() == 0 {
			t.Errorf("%d calls were handled and %d answered", handled.Load(), answered.Load())
		}
	})
}

// TestShutdownTimeout: when its context ends, Shutdown cancels what is left.
func TestShutdownTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		cc, srv := start(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			<-s.Context().Done()
			close(ended)
			return nil
		}}})
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := srv.Shutdown(ctx); err != context.DeadlineExceeded {
			t.Errorf("Shutdown: %v", err)
		}
		if d := time.Since(began); d < time.Minute || d > time.Minute+5*time.Second {
			t.Errorf("Shutdown took %v", d)
		}
		<-ended
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.Unavailable {
			t.Errorf("the stream: %v", err)
		}
	})
}

// TestShutdownOfNothing: if nothing is running, Shutdown succeeds, even with an ended
// context. A connection counts as running.
func TestShutdownOfNothing(t *testing.T) {
	late, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // both outcomes would be possible
		srv := h2grpc.NewServer(nil)
		for range 2 {
			if err := srv.Shutdown(late); err != nil {
				t.Fatalf("Shutdown of a server that has served nothing: %v", err)
			}
		}
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		cc, srv := start(t, setup{service: &testService{}})
		if err := cc.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := srv.Shutdown(late); err != context.Canceled {
			t.Errorf("Shutdown of a server with a connection: %v", err)
		}
		synctest.Wait()
		if err := srv.Shutdown(late); err != nil {
			t.Errorf("Shutdown when it has ended: %v", err)
		}
	})
}

// TestStubbornHandlers: neither Shutdown nor Close waits for ever for handlers that
// ignore their contexts, and each returns an error.
func TestStubbornHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		cc, srv := start(t, setup{service: &testService{
			unary:  func(_ context.Context, in *raw) (*raw, error) { <-release; return in, nil },
			stream: func(h2grpc.ServerStream) error { <-release; return nil },
		}})
		if _, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod); err != nil {
			t.Fatal(err)
		}
		call := invoke(t.Context(), cc, "x")
		synctest.Wait()
		ended := func(sentence string, f func() error, want error, after time.Duration) {
			t.Helper()
			began := time.Now()
			if err := f(); !errors.Is(err, want) || time.Since(began) != after {
				t.Errorf("%s: %v after %v, want %v after %v", sentence, err, time.Since(began), want, after)
			}
		}
		shutdown := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			return srv.Shutdown(ctx)
		}
		ended("Shutdown", shutdown, context.DeadlineExceeded, time.Minute)
		if r := <-call; status.Code(r.err) != codes.Unavailable {
			t.Errorf("the call: %v", r.err)
		}
		ended("Shutdown when the connections have gone", shutdown, context.DeadlineExceeded, time.Minute)
		ended("Close", srv.Close, h2grpc.ErrHandlersRunning, h2grpc.CloseTimeout)
		if err := srv.Close(); err == nil || !strings.HasSuffix(err.Error(), ": ["+bidiMethod+" "+unaryMethod+"]") {
			t.Errorf("Close names no methods: %v", err)
		}
		want := []string{bidiMethod, unaryMethod}
		if got := srv.Running(); !slices.Equal(got, want) {
			t.Errorf("Running: %v, want %v", got, want)
		}
		time.AfterFunc(time.Second, func() { close(release) })
		ended("Close that waits with success", srv.Close, nil, time.Second)
		ended("Close at the end", srv.Close, nil, 0)
		ended("Shutdown at the end", shutdown, nil, 0)
	})
}

// TestCloseInHandler: a handler may close its own server; Close does not wait for it.
func TestCloseInHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var srv *h2grpc.Server
		closed := make(chan error, 1)
		cc, s := start(t, setup{service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
			closed <- srv.Close()
			return in, nil
		}}})
		srv = s
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.Unavailable {
			t.Errorf("the call: %v", err)
		}
		if err := <-closed; !errors.Is(err, h2grpc.ErrHandlersRunning) {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestServerClose ends everything at once.
func TestServerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		cc, srv := start(t, setup{service: &testService{
			unary:  func(ctx context.Context, in *raw) (*raw, error) { return in, wait(ctx) },
			stream: func(s h2grpc.ServerStream) error { return wait(s.Context()) },
		}})
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		call := invoke(t.Context(), cc, "x")
		synctest.Wait()
		began := time.Now()
		srv.Close()
		if d := time.Since(began); d > time.Second {
			t.Errorf("Close took %v", d)
		}
		if r := <-call; status.Code(r.err) != codes.Unavailable {
			t.Errorf("the call: %v", r.err)
		}
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.Unavailable {
			t.Errorf("the stream: %v", err)
		}
		if err := srv.Serve(&memoryListener{make(chan net.Conn), make(chan struct{})}); err != h2grpc.ErrServerClosed {
			t.Errorf("Serve after Close: %v", err)
		}
		a, b := net.Pipe()
		defer b.Close()
		if err := srv.ServeConn(t.Context(), a); err != h2grpc.ErrServerClosed {
			t.Errorf("ServeConn after Close: %v", err)
		}
		if _, err := b.Read(make([]byte, 1)); err == nil {
			t.Error("ServeConn after Close leaves the connection open")
		}
	})
}

// TestCloseDespiteSilentPeer: neither Close waits long for a peer that has
// stopped reading.
func TestCloseDespiteSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, srv := scriptClient(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			for s.SendMsg(msg(strings.Repeat("x", 1000))) == nil {
			}
			return nil
		}}})
		p.headers(1, endStream, request(serverMethod)...)
		p.stopReading()
		synctest.Wait()
		began := time.Now()
		srv.Close()
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("the server's Close took %v", d)
		}
		p.readAgain()
	})
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		p.stopReading()
		call := invoke(t.Context(), cc, strings.Repeat("x", 1_000_000))
		synctest.Wait()
		began := time.Now()
		cc.Close()
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("the client's Close took %v", d)
		}
		if r := <-call; r.err == nil {
			t.Error("the call succeeded")
		}
		p.readAgain()
	})
}

// TestServeConnContext: the end of ServeConn's context ends the connection and the
// contexts of handlers.
func TestServeConnContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		srv := h2grpc.NewServer(nil)
		srv.RegisterService(serviceDesc(), &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
			if ctx.Value(key{}) != "value" {
				t.Error("handlers do not see the values of ServeConn's context")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		a, b := net.Pipe()
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(ctx, b) }()
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: once(a)})
		defer cc.Close()
		call := invoke(t.Context(), cc, "x")
		synctest.Wait()
		cancel()
		if r := <-call; status.Code(r.err) != codes.Unavailable {
			t.Errorf("the call: %v", r.err)
		}
		if err := <-served; err != nil {
			t.Errorf("ServeConn: %v", err)
		}
		srv.Close()
	})
}

// once dials one connection.
func once(nc net.Conn) func(context.Context) (net.Conn, error) {
	var used atomic.Bool
	return func(context.Context) (net.Conn, error) {
		if used.Swap(true) {
			return nil, errors.New("there is no second connection")
		}
		return nc, nil
	}
}

// lateListener returns a last connection when it is closed, as the kernel may.
type lateListener struct {
	*memoryListener
	last net.Conn
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.done
	if nc := l.last; nc != nil {
		l.last = nil
		return nc, nil
	}
	return nil, net.ErrClosed
}

// TestAcceptDuringClose: a connection that is accepted while the server closes is
// closed, and Close waits for that.
func TestAcceptDuringClose(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe()
			srv := h2grpc.NewServer(nil)
			served := make(chan error, 1)
			go func() {
				served <- srv.Serve(&lateListener{&memoryListener{nil, make(chan struct{})}, b})
			}()
			synctest.Wait()
			srv.Close()
			if err := <-served; err != h2grpc.ErrServerClosed {
				t.Errorf("Serve: %v", err)
			}
			if _, err := a.Read(make([]byte, 1)); err == nil {
				t.Error("the connection is served")
			}
		})
	}
}

// failingListener fails now and then before it works.
type failingListener struct {
	net.Listener
	errs []error
}

type temporary struct{ error }

func (temporary) Temporary() bool { return true }

func (l *failingListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	return l.Listener.Accept()
}

// TestAcceptErrors: temporary errors are waited out, others end Serve.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis, dial := listenMemory(t)
		srv := h2grpc.NewServer(nil)
		srv.RegisterService(serviceDesc(), &testService{unary: echo})
		tooMany := temporary{errors.New("too many open files")}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(&failingListener{lis, []error{tooMany, tooMany, tooMany}}) }()
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial})
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Error(err)
		}
		cc.Close()
		srv.Close()
		if err := <-served; err != h2grpc.ErrServerClosed {
			t.Error(err)
		}
		srv = h2grpc.NewServer(nil)
		broken := errors.New("broken")
		if err := srv.Serve(&failingListener{lis, []error{broken}}); !errors.Is(err, broken) {
			t.Errorf("Serve: %v", err)
		}
	})
}
