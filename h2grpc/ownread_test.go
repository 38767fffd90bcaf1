package h2grpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// ownReaders returns how many calls are reading their connection.
func ownReaders() int {
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "h2.(*Stream).readOwn(")
}

// answer is a whole response, as bytes.
func answer(p *script, id uint32, text string) []byte {
	q := &script{enc: p.enc}
	p.buf.Reset()
	block := func(fields ...string) string { return strings.Clone(p.block(fields...)) }
	q.frame(http2.FrameHeaders, endHeaders, id, block(":status=200", "content-type=application/grpc"))
	q.data(id, 0, grpcMsg(text))
	q.frame(http2.FrameHeaders, endHeaders|endStream, id, block("grpc-status=0"))
	return q.record.Bytes()
}

// ownReading returns a script whose client's next call, which has stream id, reads
// its own response: enough calls were made before.
func ownReading(t *testing.T, cfg h2grpc.ClientConfig) (p *script, cc *h2grpc.ClientConn, id uint32) {
	t.Helper()
	p, cc = scriptServer(t, cfg)
	id = 1
	for ; id < 2*16; id += 2 {
		call(t, p, cc, id, false)
	}
	return p, cc, id
}

// call makes a call and answers it, and checks which goroutine reads meanwhile.
func call(t *testing.T, p *script, cc *h2grpc.ClientConn, id uint32, own bool) {
	t.Helper()
	done := begin(t, p, cc, context.Background(), id)
	if n := ownReaders(); (n == 1) != own {
		t.Fatalf("%d calls read their own responses, while the call on stream %d is under way", n, id)
	}
	p.bytes(answer(p, id, "x"))
	synctest.Wait()
	if r := ended(t, done); r.err != nil || r.reply != "x" {
		t.Fatalf("the call on stream %d: %q, %v", id, r.reply, r.err)
	}
}

// begin makes a call.
func begin(t *testing.T, p *script, cc *h2grpc.ClientConn, ctx context.Context, id uint32) <-chan result {
	t.Helper()
	done := invoke(ctx, cc, "request")
	p.want("a call", fmt.Sprintf("HEADERS %d …", id), fmt.Sprintf("DATA %d … END_STREAM", id))
	return done
}

// ended returns the outcome of a call that has ended.
func ended(t *testing.T, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	default:
		t.Fatal("the call goes on")
		return result{}
	}
}

// TestCallsReadTheirOwnResponses: after some calls, one after the other, they do.
// With two at once, or after a pause, they do not.
func TestCallsReadTheirOwnResponses(t *testing.T) {
	needs(t, fastpath.OwnReading)
	synctest.Test(t, func(t *testing.T) {
		p, cc, id := ownReading(t, h2grpc.ClientConfig{})
		for range 3 {
			call(t, p, cc, id, true)
			id += 2
		}
		first := begin(t, p, cc, t.Context(), id)
		second := begin(t, p, cc, t.Context(), id+2)
		if n := ownReaders(); n != 1 {
			t.Errorf("of two calls, %d read", n)
		}
		p.bytes(answer(p, id+2, "second"))
		synctest.Wait()
		if r := ended(t, second); r.reply != "second" {
			t.Errorf("the call that does not read: %q, %v", r.reply, r.err)
		}
		third := begin(t, p, cc, t.Context(), id+4)
		p.bytes(answer(p, id, "first"))
		synctest.Wait()
		if r := ended(t, first); r.reply != "first" {
			t.Errorf("the call that reads: %q, %v", r.reply, r.err)
		}
		p.bytes(answer(p, id+4, "third"))
		synctest.Wait()
		if r := ended(t, third); r.reply != "third" {
			t.Errorf("the call that goes on after the reader: %q, %v", r.reply, r.err)
		}
		advance(mostDelay)
		call(t, p, cc, id+6, false)
	})
}

// TestOwnReaderCanBeStopped: wherever the response is cut off, a call that reads ends
// soon after its context, and the connection remains usable.
func TestOwnReaderCanBeStopped(t *testing.T) {
	needs(t, fastpath.OwnReading)
	synctest.Test(t, func(t *testing.T) {
		p, cc, id := ownReading(t, h2grpc.ClientConfig{})
		for cut := 0; ; cut++ {
			for n := id + 2*16; id < n; id += 2 {
				done := begin(t, p, cc, t.Context(), id)
				p.bytes(answer(p, id, "x"))
				<-done
				synctest.Wait() // for Run to step back
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := begin(t, p, cc, ctx, id)
			if ownReaders() != 1 {
				t.Fatal("the call does not read")
			}
			response := answer(p, id, "the response")
			if cut == len(response) {
				cancel()
				return
			}
			p.bytes(response[:cut])
			cancel()
			advance(mostDelay)
			if r := ended(t, done); status.Code(r.err) != codes.Canceled {
				t.Errorf("cut after %d bytes of %d: %q, %v", cut, len(response), r.reply, r.err)
			}
			p.bytes(response[cut:])
			p.want("a call that was cancelled", fmt.Sprintf("RST_STREAM %d CANCEL", id))
			id += 2
		}
	})
}

// TestOwnReaderSeesItsDeadline: a call whose deadline is near does not read, and ends
// in time; another one ends not much later.
func TestOwnReaderSeesItsDeadline(t *testing.T) {
	needs(t, fastpath.OwnReading)
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			timeout, late time.Duration
			own           bool
		}{
			{5 * time.Millisecond, 0, false},
			{time.Second, mostDelay, true},
		} {
			p, cc, id := ownReading(t, h2grpc.ClientConfig{})
			ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
			defer cancel()
			begun := time.Now()
			done := begin(t, p, cc, ctx, id)
			if own := ownReaders() == 1; own != c.own {
				t.Errorf("a call with %v left reads: %v", c.timeout, own)
			}
			if r := <-done; status.Code(r.err) != codes.DeadlineExceeded {
				t.Error(r.err)
			}
			if late := time.Since(begun) - c.timeout; late > c.late {
				t.Errorf("a call with %v left ended %v late", c.timeout, late)
			}
			cc.Close()
		}
	})
}

// TestWhatElseArrives: frames that are not the response of the call that reads reach
// their destination, even if nothing is reading at the moment.
func TestWhatElseArrives(t *testing.T) {
	needs(t, fastpath.OwnReading)
	for _, reading := range []bool{true, false} {
		t.Run(fmt.Sprintf("a call reads: %v", reading), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cc, id := ownReading(t, h2grpc.ClientConfig{})
				stream, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
				if err != nil {
					t.Fatal(err)
				}
				p.want("a stream", fmt.Sprintf("HEADERS %d …", id))
				onStream := id
				p.headers(onStream, 0, ":status=200", "content-type=application/grpc")
				received := make(chan string, 100)
				var receiver sync.WaitGroup
				receiver.Go(func() {
					for {
						var m raw
						if err := stream.RecvMsg(&m); err != nil {
							received <- status.Code(err).String()
							return
						}
						received <- string(m)
					}
				})
				// The receiver, which waits, has made Run read again.
				for id += 2; ; id += 2 {
					done := begin(t, p, cc, t.Context(), id)
					if ownReaders() == 1 {
						if !reading {
							p.bytes(answer(p, id, "x"))
							<-done
						} else {
							defer func() { <-done }()
						}
						break
					}
					p.bytes(answer(p, id, "x"))
					<-done
					synctest.Wait()
				}
				arrives := func(what string) {
					t.Helper()
					if reading {
						synctest.Wait()
					} else {
						advance(mostDelay)
					}
					select {
					case got := <-received:
						if got != what {
							t.Errorf("the stream received %q and not %q", got, what)
						}
					default:
						t.Errorf("%q did not arrive", what)
					}
				}
				p.data(onStream, 0, grpcMsg("message"))
				arrives("message")
				p.ping("12345678")
				p.want("PING", `PING ack "12345678"`)
				p.nc.Close()
				arrives("Unavailable")
				receiver.Wait()
			})
		})
	}
}

// TestNobodyReads: between two calls that read, anything else that is waited for is
// not delayed by that, and Close ends at once.
func TestNobodyReads(t *testing.T) {
	for name, c := range map[string]struct {
		wait func(h2grpc.ClientStream) error
		send func(*script, uint32)
	}{
		"for a message": {
			func(s h2grpc.ClientStream) error { return s.RecvMsg(new(raw)) },
			func(p *script, id uint32) { p.bytes(answer(p, id, "message")) },
		},
		"for headers": {
			func(s h2grpc.ClientStream) error { _, err := s.Header(); return err },
			func(p *script, id uint32) { p.bytes(answer(p, id, "message")) },
		},
		"for window": {
			func(s h2grpc.ClientStream) error { return s.SendMsg(msg(strings.Repeat("x", 100<<10))) },
			func(p *script, id uint32) { p.windowUpdate(0, 1<<20); p.windowUpdate(id, 1<<20) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cc, id := ownReading(t, h2grpc.ClientConfig{})
				begun := time.Now()
				stream, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
				if err != nil {
					t.Fatal(err)
				}
				done := make(chan error)
				go func() { done <- c.wait(stream) }()
				synctest.Wait()
				c.send(p, id)
				if err := <-done; err != nil {
					t.Error(err)
				}
				if d := time.Since(begun); d > 0 {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
	t.Run("for the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, cc, _ := ownReading(t, h2grpc.ClientConfig{})
			begun := time.Now()
			cc.Close()
			if d := time.Since(begun); d > 0 {
				t.Errorf("it took %v", d)
			}
		})
	})
}

// TestOwnReaderMeetsFaults: a fault while a call reads has the same outcome as
// otherwise.
func TestOwnReaderMeetsFaults(t *testing.T) {
	needs(t, fastpath.OwnReading)
	for _, c := range []struct {
		name   string
		send   func(*script, uint32)
		code   codes.Code
		text   string
		goAway string
	}{
		{"connection lost", func(p *script, _ uint32) { p.nc.Close() }, codes.Unavailable, "EOF", ""},
		{"lost within a frame", func(p *script, id uint32) { p.bytes(answer(p, id, "x")[:12]); p.nc.Close() }, codes.Unavailable, "unexpected EOF", ""},
		{"reset", func(p *script, id uint32) { p.reset(id, http2.ErrCodeInternal) }, codes.Internal, "INTERNAL_ERROR", ""},
		{"broken frame", func(p *script, id uint32) { p.data(0, 0, "x") }, codes.Unavailable, "DATA for stream 0", `GOAWAY 0 PROTOCOL_ERROR "DATA for stream 0"`},
		{"frame too large", func(p *script, id uint32) { p.frame(http2.FrameData, 0, id, strings.Repeat("x", 1<<20)) }, codes.Unavailable, "larger than", "GOAWAY 0 FRAME_SIZE_ERROR …"},
		{"GOAWAY", func(p *script, id uint32) { p.goAway(id-2, http2.ErrCodeNo, "bye") }, codes.Unavailable, "connecting", `GOAWAY 0 NO_ERROR ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cc, id := ownReading(t, h2grpc.ClientConfig{})
				done := begin(t, p, cc, t.Context(), id)
				if ownReaders() != 1 {
					t.Fatal("the call does not read")
				}
				c.send(p, id)
				synctest.Wait()
				r := ended(t, done)
				if status.Code(r.err) != c.code || !strings.Contains(fmt.Sprint(r.err), c.text) {
					t.Errorf("the call ended with %v, want %v and %q", r.err, c.code, c.text)
				}
				if c.goAway != "" {
					p.wantEnd(c.name, c.goAway)
				}
			})
		})
	}
}

// TestLargeResponsesAreForRun: a response that does not fit in the reader's buffer
// can be cancelled at any time.
func TestLargeResponsesAreForRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc, id := ownReading(t, h2grpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		done := begin(t, p, cc, ctx, id)
		p.headers(id, 0, ":status=200", "content-type=application/grpc")
		message := grpcMsg(strings.Repeat("x", 100<<10))
		p.data(id, 0, message[:50<<10])
		cancel()
		advance(mostDelay)
		if r := ended(t, done); !errors.Is(r.err, context.Canceled) && status.Code(r.err) != codes.Canceled {
			t.Error(r.err)
		}
		p.want("a call that was cancelled", fmt.Sprintf("RST_STREAM %d CANCEL", id))
		call(t, p, cc, id+2, false)
	})
}

// TestOwnReadersOverSockets: calls that read, are cancelled, and occasionally share
// their connection with others, over sockets and TLS.
func TestOwnReadersOverSockets(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS: %v", secure), func(t *testing.T) {
			begun := make(chan struct{})
			cc, _ := start(t, setup{tls: secure, listen: listenSocket, service: &testService{
				unary: func(ctx context.Context, in *raw) (*raw, error) {
					if string(*in) == "wait" {
						begun <- struct{}{}
						<-ctx.Done()
					}
					return in, nil
				},
				stream: echoStream,
			}})
			quick := func(n int) {
				for range n {
					var out raw
					if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), &out); err != nil || string(out) != "x" {
						t.Errorf("%q, %v", out, err)
						return
					}
				}
			}
			stream, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			for round := range 50 {
				quick(40)
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := cc.Invoke(ctx, unaryMethod, msg("wait"), new(raw)); status.Code(err) != codes.Canceled {
						t.Errorf("a call that was cancelled: %v", err)
					}
				})
				<-begun
				if round%2 == 0 {
					wg.Go(func() { quick(10) })
				}
				cancel()
				if err := stream.SendMsg(msg("x")); err != nil {
					t.Fatal(err)
				}
				if err := stream.RecvMsg(new(raw)); err != nil {
					t.Fatal(err)
				}
				wg.Wait()
			}
			stream.CloseSend()
			if err := stream.RecvMsg(new(raw)); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
}

// TestOwnReaderAnswers: the answers of a call that reads are sent when it has its
// response, and not with the next call.
func TestOwnReaderAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc, id := ownReading(t, h2grpc.ClientConfig{})
		done := begin(t, p, cc, t.Context(), id)
		ping := &script{enc: p.enc}
		ping.ping("12345678")
		p.bytes(append(ping.record.Bytes(), answer(p, id, "x")...))
		synctest.Wait()
		if r := ended(t, done); r.err != nil {
			t.Error(r.err)
		}
		p.want("a PING before the response", `PING ack "12345678"`)
	})
}

// otherTimeout is a connection whose reads end at their deadlines with an error of
// its own, as those of some tunnels do.
type otherTimeout struct{ net.Conn }

type timeoutError struct{ error }

func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func (c otherTimeout) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = timeoutError{errors.New("i/o timeout")}
	}
	return n, err
}

// TestOtherConnectionsAreNotStopped: no call reads its own response on a connection
// of which it is not known how to stop a read. A call that takes long succeeds.
func TestOtherConnectionsAreNotStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lis, dial := listenMemory(t)
		cc, _ := start(t, setup{
			listen: func(testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) { return lis, dial },
			client: h2grpc.ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
				nc, err := dial(ctx)
				return otherTimeout{nc}, err
			}},
			service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
				if string(*in) == "slow" {
					time.Sleep(time.Second)
				}
				return in, nil
			}},
		})
		for i := range 100 {
			text := "quick"
			if i%40 == 39 {
				text = "slow"
			}
			if err := cc.Invoke(t.Context(), unaryMethod, msg(text), new(raw)); err != nil {
				t.Fatalf("call %d, %s: %v", i, text, err)
			}
		}
	})
}
