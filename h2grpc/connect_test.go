package h2grpc_test

import (
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

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// switchboard lets a client dial the present server.
type switchboard struct {
	mu    sync.Mutex
	srv   *h2grpc.Server // nil: no server
	dials int
	conns []net.Conn
}

// place makes srv the present server, and returns the one before.
func (b *switchboard) place(srv *h2grpc.Server) *h2grpc.Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.srv
	b.srv = srv
	return old
}

func (b *switchboard) dialled() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dials
}

func (b *switchboard) dial(context.Context) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dials++
	if b.srv == nil {
		return nil, errors.New("nobody listens")
	}
	x, y := net.Pipe()
	b.conns = append(b.conns, x)
	go b.srv.ServeConn(context.Background(), y)
	return x, nil
}

func echoServer() *h2grpc.Server {
	srv := h2grpc.NewServer(nil)
	srv.RegisterService(serviceDesc(), &testService{unary: echo, stream: echoStream})
	return srv
}

// TestReconnect: a client connects again after its server ended in order, at once, or
// by a cut connection.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &switchboard{srv: echoServer()}
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: b.dial})
		for i, leave := range []func(){
			func() { b.srv.Shutdown(context.Background()) },
			func() { b.srv.Close() },
			func() { b.conns[len(b.conns)-1].Close() },
		} {
			for range 3 {
				if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
					t.Fatalf("before it left in way %d: %v", i, err)
				}
			}
			leave()
			synctest.Wait()
			old := b.place(nil)
			if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "nobody listens") {
				t.Errorf("without a server, way %d: %v", i, err)
			}
			old.Close()
			b.place(echoServer())
		}
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Error(err)
		}
		if n := b.dialled(); n != 7 {
			t.Errorf("the client dialled %d times, want 7", n)
		}
		cc.Close()
		b.srv.Close()
	})
}

// TestConnect: Connect returns what is wrong, and calls share one attempt.
func TestConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("no such file")
		dials := 0
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
			dials++
			time.Sleep(time.Second)
			return nil, cause
		}})
		errs := make(chan error, 10)
		for range 10 {
			go func() { errs <- cc.Connect(t.Context()) }()
		}
		for range 10 {
			if err := <-errs; !errors.Is(err, cause) {
				t.Errorf("Connect: %v", err)
			}
		}
		if dials != 1 {
			t.Errorf("10 callers dialled %d times", dials)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := cc.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Connect: %v", err)
		}
		cc.Close()
		if err := cc.Connect(t.Context()); status.Code(err) != codes.Canceled {
			t.Errorf("Connect after Close: %v", err)
		}
		cc = h2grpc.NewClient(&h2grpc.ClientConfig{})
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err == nil || !strings.Contains(err.Error(), "Dial") {
			t.Errorf("without Dial: %v", err)
		}
		cc.Close()
		cc.Close()
	})
}

// TestCloseWhileDialling: Close ends a dial that obeys its context.
func TestCloseWhileDialling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		call := invoke(t.Context(), cc, "x")
		synctest.Wait()
		cc.Close()
		if r := <-call; status.Code(r.err) != codes.Canceled {
			t.Errorf("got %v", r.err)
		}
	})
}

func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{ConnectTimeout: 3 * time.Second, Dial: func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		defer cc.Close()
		began := time.Now()
		err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw))
		if status.Code(err) != codes.Unavailable || time.Since(began) != 3*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

// TestWaitForReady: a call waits for a server that comes later, as long as its
// context allows.
func TestWaitForReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &switchboard{}
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: b.dial})
		call := invoke(t.Context(), cc, "x", h2grpc.WaitForReady(true))
		streams := make(chan error, 1)
		go func() {
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod, h2grpc.WaitForReady(true))
			if err == nil {
				s.CloseSend()
				err = s.RecvMsg(new(raw))
			}
			streams <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		short := invoke(ctx, cc, "x", h2grpc.WaitForReady(true))
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw), h2grpc.WaitForReady(false)); status.Code(err) != codes.Unavailable {
			t.Errorf("without WaitForReady: %v", err)
		}
		time.Sleep(time.Minute)
		if r := <-short; status.Code(r.err) != codes.DeadlineExceeded {
			t.Errorf("its deadline has passed: %v", r.err)
		}
		if n := b.dialled(); n < 10 || n > 200 {
			t.Errorf("%d attempts in a minute", n)
		}
		b.place(echoServer())
		time.Sleep(3 * time.Second)
		if r := <-call; r.err != nil || r.reply != "x" {
			t.Errorf("got %q, %v", r.reply, r.err)
		}
		if err := <-streams; err != io.EOF {
			t.Errorf("a stream: %v", err)
		}
		b.place(nil).Close()
		closed := invoke(t.Context(), cc, "x", h2grpc.WaitForReady(true))
		synctest.Wait()
		cc.Close()
		if r := <-closed; status.Code(r.err) != codes.Canceled {
			t.Errorf("Close while waiting: %v", r.err)
		}
	})
}

// TestMaxConcurrentStreams: calls above the server's limit wait in the client,
// in order, and may be cancelled meanwhile.
func TestMaxConcurrentStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
		answer := func(id int) {
			p.headers(uint32(id), 0, response()...)
			p.data(uint32(id), 0, grpcMsg(fmt.Sprint(id)))
			p.headers(uint32(id), endStream, "grpc-status=0")
		}
		opened := func(id int) []string {
			return []string{fmt.Sprintf("HEADERS %d …", id), fmt.Sprintf("DATA %d …", id)}
		}
		var calls []<-chan result
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 6 {
			c := t.Context()
			if i == 3 {
				c = ctx
			}
			calls = append(calls, invoke(c, cc, fmt.Sprint(i)))
			synctest.Wait()
		}
		p.want("two are open", append(opened(1), opened(3)...)...)
		cancel()
		if r := <-calls[3]; status.Code(r.err) != codes.Canceled {
			t.Errorf("cancelled while waiting: %v", r.err)
		}
		p.want("nothing was sent of it")
		answer(3)
		p.want("the first that waits", opened(5)...)
		answer(1)
		p.want("the second that waits", opened(7)...)
		p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 3})
		p.want("the limit is higher", append([]string{"SETTINGS ack"}, opened(9)...)...)
		p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
		p.want("the limit is zero", "SETTINGS ack")
		late := invoke(t.Context(), cc, "late")
		answer(5)
		answer(7)
		answer(9)
		p.want("nobody may open a stream")
		p.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
		p.want("one may", append([]string{"SETTINGS ack"}, opened(11)...)...)
		last := invoke(t.Context(), cc, "last")
		synctest.Wait()
		p.reset(11, http2.ErrCodeInternal)
		p.want("after a reset the next", opened(13)...)
		answer(13)
		for i, want := range []string{"1", "3", "5", "", "7", "9"} {
			if i == 3 {
				continue
			}
			if r := <-calls[i]; r.err != nil || r.reply != want {
				t.Errorf("call %d: got %q, %v, want %q", i, r.reply, r.err, want)
			}
		}
		if r := <-late; status.Code(r.err) != codes.Internal {
			t.Errorf("the call that was reset: %v", r.err)
		}
		if r := <-last; r.err != nil || r.reply != "13" {
			t.Errorf("the last call: %q, %v", r.reply, r.err)
		}
	})
}

// TestWaitingCallsAndTheEnd: calls that wait for a stream when the connection ends
// use another one, or fail.
func TestWaitingCallsAndTheEnd(t *testing.T) {
	for name, end := range map[string]func(p *script){
		"GOAWAY": func(p *script) { p.goAway(1, http2.ErrCodeNo, "") },
		"loss":   func(p *script) { p.nc.Close() },
		"fault":  func(p *script) { p.data(0, 0, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cc, next := script2(t, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
				first := invoke(t.Context(), cc, "first")
				p := next()
				p.want("one call", "HEADERS 1 …", "DATA 1 …")
				second := invoke(t.Context(), cc, "second")
				p.want("the second waits")
				end(p)
				q := next()
				q.want("the second goes to a new connection", "HEADERS 1 …", "DATA 1 …")
				q.headers(1, 0, response()...)
				q.data(1, 0, grpcMsg("a"))
				q.headers(1, endStream, "grpc-status=0")
				if r := <-second; r.err != nil || r.reply != "a" {
					t.Errorf("the second: %q, %v", r.reply, r.err)
				}
				cc.Close()
				if r := <-first; r.err == nil {
					t.Error("the first has succeeded")
				}
			})
		})
	}
}

// TestKeepalive: PINGs at the interval, and the end of a connection that does
// not answer them.
func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{KeepaliveInterval: 10 * time.Second, KeepaliveTimeout: 3 * time.Second})
		call := invoke(t.Context(), cc, "q")
		p.want("a call", requestFrames...)
		for i := range 3 {
			time.Sleep(9 * time.Second)
			p.want("not yet")
			time.Sleep(1500 * time.Millisecond)
			p.take()
			if len(p.held) != 1 || !strings.HasPrefix(p.held[0], `PING "`) {
				t.Fatalf("PING %d is due: %q", i, p.held)
			}
			var data [8]byte
			fmt.Sscanf(p.held[0], "PING %q", (*quoted)(&data))
			p.held = nil
			p.frame(http2.FramePing, http2.FlagPingAck, 0, string(data[:]))
			time.Sleep(-500 * time.Millisecond)
		}
		began := time.Now()
		r := <-call
		if status.Code(r.err) != codes.Unavailable || !strings.Contains(r.err.Error(), "keepalive") {
			t.Errorf("got %v", r.err)
		}
		if d := time.Since(began); d < 12*time.Second || d > 14*time.Second {
			t.Errorf("the dead connection was noticed after %v", d)
		}
	})
}
