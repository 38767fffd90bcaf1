package h2grpc_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// What busy applications do, with the same frames as attacks
// (frames_hostile_test.go), and what other libraries do for them. None of it ends a
// connection, which would end the calls of others.

// untilDone is a handler that obeys its context.
func untilDone(ctx context.Context, _ *raw) (*raw, error) {
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

// bystander opens a stream that is unrelated to what follows, and returns a function
// that fails unless the stream still works.
func bystander(t *testing.T, cc *h2grpc.ClientConn) (lives func()) {
	t.Helper()
	s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		var got raw
		if err := s.SendMsg(msg("here")); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&got); err != nil || string(got) != "here" {
			t.Fatalf("a stream that has nothing to do with it: %q, %v", got, err)
		}
	}
}

// TestCallsGivenUp: callers cancel every call, at once or after a few milliseconds,
// by a deadline or otherwise. The limit of streams is just what they need: a call
// follows another before the server's handler has noticed.
func TestCallsGivenUp(t *testing.T) {
	const callers, calls = 64, 200
	for name, give := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"deadlines": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 5*time.Millisecond)
		},
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(5*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cc, _ := start(t, setup{
					server:  h2grpc.ServerConfig{MaxConcurrentStreams: callers + 1},
					service: &testService{unary: untilDone, stream: echoStream},
					listen:  listenMemory,
				})
				lives := bystander(t, cc)
				lives()
				var all sync.WaitGroup
				for range callers {
					all.Go(func() {
						for range calls {
							ctx, cancel := give(t.Context())
							err := cc.Invoke(ctx, unaryMethod, msg("x"), new(raw))
							if c := status.Code(err); c != codes.DeadlineExceeded && c != codes.Canceled {
								t.Errorf("a call that was given up: %v", err)
							}
							cancel()
						}
					})
				}
				all.Wait()
				lives()
			})
		})
	}
}

// TestReplacedStreams: a client that has as many streams as allowed opens one as soon
// as it has reset another, in the same write.
func TestReplacedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10
		var ended atomic.Int32
		p, _ := scriptClient(t, setup{
			server: h2grpc.ServerConfig{MaxConcurrentStreams: limit},
			service: &testService{stream: func(s h2grpc.ServerStream) error {
				<-s.Context().Done()
				ended.Add(1)
				return nil
			}},
		})
		for i := range uint32(limit) {
			p.headers(2*i+1, 0, request(bidiMethod)...)
		}
		const more = 5000
		for i := range uint32(more) {
			p.gather = true
			p.reset(2*i+1, http2.ErrCodeCancel)
			p.headers(2*(i+limit)+1, 0, request(bidiMethod)...)
			p.send()
		}
		p.want("none is refused")
		advance(time.Second)
		p.want("later, too")
		if n := ended.Load(); n != more {
			t.Errorf("%d handlers have returned, want %d", n, more)
		}
		p.headers(2*(more+limit)+1, 0, request(bidiMethod)...)
		p.want("one too many is", fmt.Sprintf("RST_STREAM %d REFUSED_STREAM", 2*(more+limit)+1))
	})
}

// TestLateHandlers: handlers that ignore their contexts delay neither the connection
// nor, for more than a moment, a stream that would be one too many.
func TestLateHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p, _ := scriptClient(t, setup{
			server: h2grpc.ServerConfig{MaxConcurrentStreams: 3},
			service: &testService{stream: echoStream, unary: func(_ context.Context, in *raw) (*raw, error) {
				<-release
				return in, nil
			}},
		})
		p.headers(1, 0, request(bidiMethod)...)
		for id := uint32(3); id <= 5; id += 2 {
			p.headers(id, 0, request(unaryMethod)...)
			p.data(id, endStream, grpcMsg("x"))
			synctest.Wait()
			p.reset(id, http2.ErrCodeCancel)
		}
		began := time.Now()
		for id := uint32(7); id < 1007; id += 2 {
			p.headers(id, 0, request(unaryMethod)...)
			p.data(id, endStream, grpcMsg("x"))
		}
		p.data(1, 0, grpcMsg("here"))
		advance(20 * time.Millisecond)
		p.take()
		refused := 0
		for ; len(p.held) > 0 && strings.HasSuffix(p.held[0], "REFUSED_STREAM"); p.held = p.held[1:] {
			refused++
		}
		p.want("the stream beside them goes on, and nobody waits for each of them", "HEADERS 1 …", `DATA 1 "\x00\x00\x00\x00\x04here"`)
		if refused != 500 || time.Since(began) > 40*time.Millisecond {
			t.Errorf("%d of 500 calls were refused after %v", refused, time.Since(began))
		}
		// One that returns makes room for a call, even for one that is waiting.
		release <- struct{}{}
		synctest.Wait()
		p.headers(1007, 0, request(unaryMethod)...)
		p.data(1007, endStream, grpcMsg("x"))
		p.headers(1009, 0, request(unaryMethod)...)
		time.Sleep(5 * time.Millisecond)
		release <- struct{}{}
		p.data(1009, endStream, grpcMsg("x"))
		p.want("they have room")
		release <- struct{}{}
		p.want("and are answered, the first", replied(1007, "x")...)
		close(release)
		p.want("and the second", replied(1009, "x")...)
	})
}

// TestTenThousandAtOnce: 10 000 calls that are open, or refused, at once and end at
// once, beside a stream that goes on.
func TestTenThousandAtOnce(t *testing.T) {
	const calls = 10_000
	begin := func(t *testing.T, streams uint32) *script {
		p, _ := scriptClient(t, setup{
			server:  h2grpc.ServerConfig{MaxConcurrentStreams: streams},
			service: &testService{unary: untilDone, stream: echoStream},
		})
		p.headers(1, 0, request(bidiMethod)...)
		p.data(1, 0, grpcMsg("here"))
		p.want("a stream", "HEADERS 1 …", `DATA 1 "\x00\x00\x00\x00\x04here"`)
		for i := range uint32(calls) {
			p.headers(2*i+3, 0, request(unaryMethod)...)
			p.data(2*i+3, endStream, grpcMsg("x"))
		}
		return p
	}
	lives := func(p *script) {
		p.t.Helper()
		p.data(1, 0, grpcMsg("here"))
		advance(200 * time.Millisecond)
		p.want("the stream goes on", `DATA 1 "\x00\x00\x00\x00\x04here"`)
	}
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := begin(t, 2*calls)
			p.want("all are open")
			p.gather = true
			for i := range uint32(calls) {
				p.reset(2*i+3, http2.ErrCodeCancel)
			}
			p.send()
			p.gather = false
			lives(p)
		})
	})
	t.Run("refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := begin(t, 1)
			p.take()
			advance(time.Second)
			p.take()
			if len(p.held) != calls {
				t.Errorf("%d of %d calls were refused", len(p.held), calls)
			}
			p.held = nil
			lives(p)
		})
	})
	// Many HTTP/2 libraries reset a stream that the server has ended.
	t.Run("reset after their end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, _ := scriptClient(t, setup{})
			for i := range uint32(calls) {
				p.headers(2*i+1, endStream, request("/no/method")...)
			}
			p.take()
			p.held = nil
			for i := range uint32(calls) {
				p.reset(2*i+1, http2.ErrCodeCancel)
			}
			p.headers(2*calls+1, 0, request(unaryMethod)...)
			p.data(2*calls+1, endStream, grpcMsg("x"))
			p.take()
			advance(200 * time.Millisecond)
			p.want("a call behind them", replied(2*calls+1, "x")...)
		})
	})
}

// TestWatchOfThousands: a watch of thousands of keys, one stream for each, and tiny
// events on all of them. The client grants window for each event, on the stream and
// on the connection, as Python's h2 can be made to do, or for all of them at once,
// after a pause.
func TestWatchOfThousands(t *testing.T) {
	const keys = 6000
	for _, pause := range []bool{false, true} {
		t.Run(fmt.Sprint("after a pause: ", pause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				event := make(chan struct{})
				p, _ := scriptClient(t, setup{
					server: h2grpc.ServerConfig{MaxConcurrentStreams: 2 * keys},
					service: &testService{stream: func(s h2grpc.ServerStream) error {
						s.SendMsg(msg(""))
						<-event
						s.SendMsg(msg(""))
						<-s.Context().Done()
						return nil
					}},
				})
				for i := range uint32(keys) {
					p.headers(2*i+1, endStream, request(serverMethod)...)
				}
				for round := range 3 {
					p.take()
					data := 0
					for _, l := range p.held {
						if strings.HasPrefix(l, "DATA ") {
							data++
						} else if !strings.HasPrefix(l, "HEADERS ") {
							t.Fatalf("got %s", l)
						}
					}
					if want := keys * min(1, 2-round); data != want {
						t.Fatalf("%d events, want %d", data, want)
					}
					p.held = nil
					p.gather = pause
					for i := range uint32(keys) {
						p.windowUpdate(2*i+1, 5)
						p.windowUpdate(0, 5)
						if !pause {
							p.ping("measured")
						}
					}
					p.send()
					p.gather = false
					p.take()
					advance(time.Second)
					p.take()
					for _, l := range p.held {
						if l != `PING ack "measured"` {
							t.Fatalf("got %s", l)
						}
					}
					p.held = nil
					if round == 0 {
						close(event)
					}
				}
				for i := range uint32(keys) {
					p.reset(2*i+1, http2.ErrCodeCancel)
				}
				p.want("the watch is over")
			})
		})
	}
}

// TestChattyStream: a stream of tiny messages in both directions, each in frames
// of one byte, with an empty frame, a PING, a grant of window, a priority and
// frames that we do not know (RFC 9218, RFC 8701) around it.
func TestChattyStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 3000
		p, _ := scriptClient(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			for n := 0; ; n++ {
				if err := s.RecvMsg(new(raw)); err == io.EOF {
					return s.SendMsg(msg(fmt.Sprint(n)))
				} else if err != nil {
					return err
				}
			}
		}}})
		p.headers(1, 0, request(clientMethod)...)
		for range messages {
			p.gather = true
			for _, b := range grpcMsg("") {
				p.data(1, 0, string(b))
			}
			p.data(1, 0, "")
			p.frame(http2.FrameData, http2.FlagDataPadded, 1, "\x01\x00")
			p.ping("measured")
			p.windowUpdate(0, 1)
			p.windowUpdate(1, 1)
			p.frame(http2.FramePriority, 0, 3, "\x00\x00\x00\x00\x10")
			p.frame(0x10, 0, 0, "\x00\x00\x00\x01u=1")
			p.frame(0x0b+0x1f*3, 0, 0, "x")
			p.send()
			p.gather = false
			p.want("the PING is answered", `PING ack "measured"`)
			advance(time.Millisecond)
		}
		p.data(1, endStream, "")
		p.want("all have arrived", "HEADERS 1 …", fmt.Sprintf(`DATA 1 "\x00\x00\x00\x00\x04%d"`, messages), "HEADERS 1 grpc-status=0 END_STREAM")
	})
}

// TestChangingSettings: clients that measure the connection change the windows as
// they learn, as gRPC's C core and Netty do, and a peer may be late to read the
// acknowledgements.
func TestChangingSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const changes = 5000
		p, _ := scriptClient(t, setup{})
		p.stopReading()
		p.gather = true
		for i := range uint32(changes) {
			p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535 + i})
		}
		p.send()
		p.gather = false
		advance(time.Minute)
		p.readAgain()
		p.take()
		if len(p.held) != changes {
			t.Errorf("%d of %d SETTINGS are acknowledged", len(p.held), changes)
		}
		p.held = nil
		p.headers(1, 0, request(unaryMethod)...)
		p.data(1, endStream, grpcMsg("x"))
		p.want("a call", replied(1, "x")...)
	})
}

// TestLargeHeaders: a header block that is far too large fails its call alone, in
// frames of the initial size or of half of it.
func TestLargeHeaders(t *testing.T) {
	for _, size := range []int{16 << 10, 8 << 10} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := scriptClient(t, setup{service: &testService{stream: echoStream}})
			p.headers(1, 0, request(bidiMethod)...)
			block := p.block(request(unaryMethod)...)
			for len(block) < 1900<<10 {
				block += "\x00\x01x\x7f\x81\x7e" + strings.Repeat("y", 0x7f+0x81&0x7f+0x7e<<7)
			}
			typ := http2.FrameHeaders
			for len(block) > size {
				p.frame(typ, 0, 3, block[:size])
				typ, block = http2.FrameContinuation, block[size:]
			}
			p.frame(typ, endHeaders, 3, block)
			p.want("the call is refused", "HEADERS 3 :status=431 …", "DATA 3 …", "RST_STREAM 3 NO_ERROR")
			p.data(1, 0, grpcMsg("here"))
			p.want("the stream beside it goes on", "HEADERS 1 …", `DATA 1 "\x00\x00\x00\x00\x04here"`)
		})
	}
}

// TestBusyServers: what a server may do to a client that has an unrelated stream.
func TestBusyServers(t *testing.T) {
	const frames = 12_000
	for name, busy := range map[string]func(p *script, cc *h2grpc.ClientConn){
		"every call is reset": func(p *script, cc *h2grpc.ClientConn) {
			for id := uint32(3); id < 3+2*5000; id += 2 {
				call := invoke(p.t.Context(), cc, "q")
				p.want("a call", fmt.Sprintf("HEADERS %d …", id), fmt.Sprintf("DATA %d …", id))
				p.reset(id, http2.ErrCodeCancel)
				if r := <-call; status.Code(r.err) != codes.Canceled {
					p.t.Fatalf("a call that was reset: %v", r.err)
				}
			}
		},
		"calls are given up": func(p *script, cc *h2grpc.ClientConn) {
			for id := uint32(3); id < 3+2*5000; id += 2 {
				ctx, cancel := context.WithCancel(p.t.Context())
				call := invoke(ctx, cc, "q")
				p.want("a call", fmt.Sprintf("HEADERS %d …", id), fmt.Sprintf("DATA %d …", id))
				cancel()
				<-call
				p.want("it is reset", fmt.Sprintf("RST_STREAM %d CANCEL", id))
				p.answers(id, "late") // what crossed the reset
			}
		},
		"PINGs": func(p *script, _ *h2grpc.ClientConn) {
			for range frames {
				p.ping("measured")
			}
			p.take()
			advance(time.Second)
			p.take()
			if len(p.held) != frames {
				p.t.Errorf("%d of %d PINGs are answered", len(p.held), frames)
			}
			p.held = nil
		},
		"window for every byte": func(p *script, _ *h2grpc.ClientConn) {
			for range frames {
				p.windowUpdate(0, 1)
				p.windowUpdate(1, 1)
			}
		},
		"empty frames": func(p *script, _ *h2grpc.ClientConn) {
			for range frames {
				p.data(1, 0, "")
			}
		},
		"frames that are not known": func(p *script, _ *h2grpc.ClientConn) {
			for range frames {
				p.frame(0x10, 0, 0, "\x00\x00\x00\x01u=1")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cc := scriptServer(t, h2grpc.ClientConfig{})
				s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
				if err != nil {
					t.Fatal(err)
				}
				p.headers(1, 0, response()...)
				p.want("a stream", "HEADERS 1 …")
				busy(p, cc)
				p.data(1, 0, grpcMsg("here"))
				var got raw
				if err := s.RecvMsg(&got); err != nil || string(got) != "here" {
					t.Errorf("the stream: %q, %v", got, err)
				}
				p.want("nothing else is said")
			})
		})
	}
}
