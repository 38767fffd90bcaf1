package h2grpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// mostDelay is how long a handler that blocks may delay other calls of its
// connection.
const mostDelay = 3 * time.Millisecond

// runsOnReader reports whether its caller runs on the goroutine that reads a
// connection.
func runsOnReader() bool {
	buf := make([]byte, 16<<10)
	return strings.Contains(string(buf[:runtime.Stack(buf, false)]), "h2.(*Conn).read(")
}

// TestQuickHandlersRunOnReader: the reader runs a call that is alone unless its
// method is slow, and no other calls.
func TestQuickHandlersRunOnReader(t *testing.T) {
	needs(t, fastpath.HandlersOnReader)
	synctest.Test(t, func(t *testing.T) {
		var onReader atomic.Bool
		var pause time.Duration
		cc, _ := start(t, setup{service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
			onReader.Store(runsOnReader())
			time.Sleep(pause)
			return in, nil
		}}})
		call := func() bool {
			t.Helper()
			if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
				t.Fatal(err)
			}
			return onReader.Load()
		}
		for i := range 10 {
			if !call() {
				t.Errorf("quick call %d was not run by the reader", i)
			}
		}
		pause = 10 * time.Millisecond
		slow := 0
		for call() {
			if slow++; slow > 5 {
				t.Fatal("slow calls go on being run by the reader")
			}
		}
		pause = 0
		again := 0
		for !call() {
			if again++; again > 50 {
				t.Fatal("calls that are quick again are not run by the reader")
			}
		}
		t.Logf("slow after %d calls, quick after %d", slow, again)
	})
}

// blocked is a service whose unary calls, if their request asks for it, wait until
// they are released, each in its own way.
type blocked struct {
	testService
	begun   chan struct{}
	release chan struct{}
}

func newBlocked(wait func(context.Context, <-chan struct{})) *blocked {
	b := &blocked{begun: make(chan struct{}, 10), release: make(chan struct{})}
	b.unary = func(ctx context.Context, in *raw) (*raw, error) {
		if string(*in) == "block" {
			b.begun <- struct{}{}
			wait(ctx, b.release)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
		return in, nil
	}
	b.stream = echoStream
	return b
}

// TestBlockedHandlerDelaysNobody: while a handler blocks, other calls are answered,
// messages of streams arrive, and cancelling works.
func TestBlockedHandlerDelaysNobody(t *testing.T) {
	for name, wait := range map[string]func(context.Context, <-chan struct{}){
		"and nobody can know": func(_ context.Context, release <-chan struct{}) { <-release },
		"on its context": func(ctx context.Context, release <-chan struct{}) {
			select {
			case <-ctx.Done():
			case <-release:
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBlocked(wait)
				cc, _ := start(t, setup{service: &b.testService})
				stream, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
				if err != nil {
					t.Fatal(err)
				}
				echo := func(text string) {
					t.Helper()
					var out raw
					if err := stream.SendMsg(msg(text)); err != nil {
						t.Fatal(err)
					}
					if err := stream.RecvMsg(&out); err != nil || string(out) != text {
						t.Fatal(string(out), err)
					}
				}
				echo("first")
				prompt := func(what string, f func()) {
					t.Helper()
					begun := time.Now()
					f()
					if d := time.Since(begun); d > mostDelay {
						t.Errorf("%s took %v beside a blocked handler", what, d)
					}
				}
				var wg sync.WaitGroup
				ctx, cancel := context.WithCancel(t.Context())
				block := func(ctx context.Context, want codes.Code) {
					wg.Go(func() {
						if err := cc.Invoke(ctx, unaryMethod, msg("block"), new(raw)); status.Code(err) != want {
							t.Errorf("the blocked call ended with %v, want %v", err, want)
						}
					})
					<-b.begun
				}
				block(t.Context(), codes.OK)
				prompt("a message to and fro", func() { echo("second") })
				block(t.Context(), codes.OK)
				prompt("a call", func() {
					if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
						t.Error(err)
					}
				})
				close(b.release)
				wg.Wait()
				b.release = make(chan struct{})
				synctest.Wait()
				block(ctx, codes.Canceled)
				prompt("to cancel", func() {
					cancel()
					wg.Wait()
				})
				prompt("a call after one was cancelled", func() {
					if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
						t.Error(err)
					}
				})
				close(b.release)
				stream.CloseSend()
				if err := stream.RecvMsg(new(raw)); err != io.EOF {
					t.Error(err)
				}
			})
		})
	}
}

// TestConnectionLostBesideBlockedHandler: the context of a handler that blocks on the
// reader ends when its client has gone.
func TestConnectionLostBesideBlockedHandler(t *testing.T) {
	needs(t, fastpath.HandlersOnReader)
	synctest.Test(t, func(t *testing.T) {
		lis, dial := listenMemory(t)
		began, ended := make(chan struct{}), make(chan time.Duration, 1)
		var client net.Conn
		cc, _ := start(t, setup{
			listen: func(testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) { return lis, dial },
			client: h2grpc.ClientConfig{Dial: func(ctx context.Context) (nc net.Conn, err error) {
				client, err = dial(ctx)
				return client, err
			}},
			service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
				if !runsOnReader() {
					t.Error("the call is not run by the reader")
				}
				begun := time.Now()
				close(began)
				for ctx.Err() == nil {
					time.Sleep(100 * time.Microsecond)
				}
				ended <- time.Since(begun)
				return in, nil
			}},
		})
		go func() {
			<-began
			client.Close()
		}()
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.Unavailable {
			t.Errorf("the call ended with %v, want UNAVAILABLE", err)
		}
		if d := <-ended; d > mostDelay {
			t.Errorf("the handler's context ended after %v", d)
		}
	})
}

// TestLargeResponseFromReader: a response that needs window is sent although the
// reader runs its handler.
func TestLargeResponseFromReader(t *testing.T) {
	needs(t, fastpath.HandlersOnReader)
	synctest.Test(t, func(t *testing.T) {
		answer := raw(bytes.Repeat([]byte{'a'}, 4<<20))
		cc, _ := start(t, setup{service: &testService{unary: func(context.Context, *raw) (*raw, error) {
			if !runsOnReader() {
				t.Error("the call is not run by the reader")
			}
			return &answer, nil
		}}})
		begun := time.Now()
		var out raw
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), &out); err != nil || !bytes.Equal(out, answer) {
			t.Fatal(len(out), err)
		}
		if d := time.Since(begun); d > 0 {
			t.Errorf("the answer waited %v", d)
		}
	})
}

// TestGoexitOnReader: a handler that ends its goroutine does not end the connection.
func TestGoexitOnReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, _ := start(t, setup{service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
			if string(*in) == "exit" {
				runtime.Goexit()
			}
			return in, nil
		}}})
		if err := cc.Invoke(t.Context(), unaryMethod, msg("exit"), new(raw)); err == nil {
			t.Error("a call without an answer succeeds")
		}
		for range 3 {
			if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestBlockingAtRandom: many callers of a handler that blocks now and then, in
// every way, over sockets.
func TestBlockingAtRandom(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, s setup) {
		var n atomic.Int64
		s.service = &testService{stream: echoStream, unary: func(ctx context.Context, in *raw) (*raw, error) {
			switch n.Add(1) % 16 {
			case 3:
				other := make(chan struct{})
				go close(other)
				<-other
			case 7:
				ctx, cancel := context.WithCancel(ctx)
				go cancel()
				<-ctx.Done()
			case 11:
				t := time.NewTimer(2 * time.Millisecond)
				<-t.C
			}
			return in, nil
		}}
		cc, _ := start(t, s)
		for callers := 1; callers <= 4; callers++ {
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for i := range 60 {
						ctx, cancel := context.WithCancel(t.Context())
						if i%10 == 9 {
							go cancel()
						}
						err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw))
						if err != nil && (status.Code(err) != codes.Canceled || i%10 != 9) {
							t.Error(err)
						}
						cancel()
					}
				})
			}
			wg.Wait()
		}
	})
}

// TestVeryQuickHandlersTogether: the reader runs requests that arrive together if
// their method is very quick, and they are answered together. One that blocks delays
// the others, with answers that were not written yet, no longer than allowed.
func TestVeryQuickHandlersTogether(t *testing.T) {
	needs(t, fastpath.HandlersOnReader)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		freed := sync.OnceFunc(func() { close(release) })
		defer freed()
		var mu sync.Mutex
		var elsewhere []string
		p, _ := scriptClient(t, setup{service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
			if !runsOnReader() {
				mu.Lock()
				elsewhere = append(elsewhere, string(*in))
				mu.Unlock()
			}
			if string(*in) == "block" {
				<-release
			}
			return in, nil
		}}})
		id := uint32(1)
		send := func(texts ...string) {
			q := &script{enc: p.enc}
			for _, text := range texts {
				p.buf.Reset()
				q.frame(http2.FrameHeaders, endHeaders, id, strings.Clone(p.block(request(unaryMethod)...)))
				q.data(id, endStream, grpcMsg(text))
				id += 2
			}
			p.bytes(q.record.Bytes())
		}
		answered := func(sentence string, ids ...uint32) {
			t.Helper()
			var frames []string
			for _, id := range ids {
				frames = append(frames, fmt.Sprintf("HEADERS %d …", id), fmt.Sprintf("DATA %d …", id), fmt.Sprintf("HEADERS %d … END_STREAM", id))
			}
			p.want(sentence, frames...)
		}
		ranElsewhere := func(want ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(elsewhere, want) {
				t.Errorf("not run by the reader: %q, want %q", elsewhere, want)
			}
			elsewhere = nil
		}
		send("alone")
		answered("one request", 1)
		send("a", "b", "c")
		answered("requests that come together", 3, 5, 7)
		ranElsewhere()
		send("before", "block", "after")
		advance(mostDelay)
		answered("the others", 9, 13)
		ranElsewhere("after")
		send("d")
		answered("a request beside one that blocks", 15)
		ranElsewhere("d")
		freed()
		answered("the one that blocked", 11)
	})
}
