package h2grpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
)

// TestEndlessHeaderBlocks: a header block delays its connection, so its parts are
// limited, however small they are.
func TestEndlessHeaderBlocks(t *testing.T) {
	for _, part := range []string{"", "\x82", strings.Repeat("\x82", 16<<10)} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := scriptClient(t, setup{})
			p.frame(http2.FrameHeaders, 0, 1, "")
			for range 5000 {
				p.frame(http2.FrameContinuation, 0, 1, part)
			}
			p.wantEnd("CONTINUATION without end", "GOAWAY 1 ENHANCE_YOUR_CALM …")
		})
	}
}

// TestFloods: RFC 9113 §10.5. Frames that make a server keep nothing do not end a
// connection, however many arrive. The reader rests in between, and a call after them
// is served.
func TestFloods(t *testing.T) {
	const frames = 30_000
	call := func(p *script, id uint32) { p.headers(id, 0, request(unaryMethod)...) }
	each := func(n uint32, f func(p *script, id uint32)) func(p *script) {
		return func(p *script) {
			for i := range n {
				f(p, 2*i+1)
			}
		}
	}
	onOne := func(f func(p *script)) func(p *script) {
		return func(p *script) {
			call(p, 1)
			for range frames {
				f(p)
			}
		}
	}
	for _, c := range []struct {
		name  string
		flood func(p *script)
	}{
		{"rapid reset", each(frames/5, func(p *script, id uint32) {
			call(p, id)
			p.reset(id, http2.ErrCodeCancel)
		})},
		{"made to reset", each(frames/5, func(p *script, id uint32) {
			call(p, id)
			p.windowUpdate(id, 0)
		})},
		{"malformed requests", each(frames/5, func(p *script, id uint32) { p.headers(id, endStream, ":method=POST") })},
		{"empty DATA", onOne(func(p *script) { p.data(1, 0, "") })},
		{"padding alone", onOne(func(p *script) { p.frame(http2.FrameData, http2.FlagDataPadded, 1, "\x01\x00") })},
		{"PING", onOne(func(p *script) { p.ping("12345678") })},
		{"acknowledgements of PINGs that were not sent", onOne(func(p *script) { p.frame(http2.FramePing, http2.FlagPingAck, 0, "12345678") })},
		{"SETTINGS", onOne(func(p *script) { p.settings() })},
		{"WINDOW_UPDATE", onOne(func(p *script) { p.windowUpdate(0, 1) })},
		{"PRIORITY", onOne(func(p *script) { p.frame(http2.FramePriority, 0, 7, "\x00\x00\x00\x00\x10") })},
		{"unknown frames", onOne(func(p *script) { p.frame(0xbe, 0, 0, "x") })},
		{"RST_STREAM for closed streams", each(frames/5, func(p *script, id uint32) {
			if id == 1 {
				p.headers(1, endStream, request("/a/b")...)
				p.pause()
			}
			p.reset(1, http2.ErrCodeCancel)
		})},
		{"GOAWAY", onOne(func(p *script) { p.goAway(0, http2.ErrCodeNo, "") })},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := scriptClient(t, setup{})
				began := time.Now()
				c.flood(p)
				const last = 2*frames + 1
				p.headers(last, 0, request(unaryMethod)...)
				p.data(last, endStream, grpcMsg("x"))
				p.take()
				advance(time.Second)
				p.take()
				n := len(p.held)
				want := replied(last, "x")
				if n < len(want) {
					t.Fatalf("got %s", shorten(p.held))
				}
				p.held = p.held[n-len(want):]
				p.want("a call behind the flood", want...)
				if rest := time.Since(began) - time.Second; rest < frames/1000*time.Millisecond-time.Millisecond {
					t.Errorf("the reader rested for %v", rest)
				}
			})
		})
	}
}

// TestUnreadAnswers: nothing more is read from a peer that does not read the answers
// to what it sends, so that no more of them are kept, until it reads; for some
// minutes.
func TestUnreadAnswers(t *testing.T) {
	const pings = 60_000
	begin := func(t *testing.T) (p *script, sent *atomic.Int32) {
		p, _ = scriptClient(t, setup{})
		p.stopReading()
		sent = new(atomic.Int32)
		p.nc.SetWriteDeadline(time.Time{})
		go func() {
			b := recorded(func(p *script) { p.ping("12345678") })
			for range pings {
				if _, err := p.nc.Write(b); err != nil {
					return
				}
				sent.Add(1)
			}
		}()
		advance(4 * time.Minute)
		if n := sent.Load(); n < 10_000 || n > 40_000 {
			t.Errorf("%d PINGs were read whose answers nobody reads", n)
		}
		return p, sent
	}
	t.Run("for a while", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, sent := begin(t)
			p.readAgain()
			for range pings / 1000 { // the server rests now and then
				p.take()
				advance(time.Millisecond)
			}
			p.take()
			if n := sent.Load(); n != pings {
				t.Errorf("only %d PINGs were read", n)
			}
			if len(p.held) != pings {
				t.Errorf("got %d answers, want %d", len(p.held), pings)
			}
			p.held = nil
			p.headers(1, 0, request(unaryMethod)...)
			p.data(1, endStream, grpcMsg("x"))
			p.want("a call afterwards", replied(1, "x")...)
		})
	})
	t.Run("for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, _ := begin(t)
			advance(2 * time.Minute)
			if _, err := p.nc.Write([]byte{0}); err == nil {
				t.Error("the connection is still open")
			}
			p.readAgain()
		})
	})
}

// TestManyFields: a header block of many small fields is refused although it is
// within the size limit, and one of indexed fields although it is short.
func TestManyFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{server: h2grpc.ServerConfig{MaxHeaderListSize: 1 << 20}})
		p.frame(http2.FrameHeaders, endHeaders|endStream, 1, p.block(request(unaryMethod)...)+strings.Repeat("\x00\x01c\x00", 3000))
		p.want("3000 fields are too many", "HEADERS 1 :status=431 …", "DATA 1 …END_STREAM")
		p.headers(3, endStream, request("/a/b", "big="+strings.Repeat("x", 3000))...)
		p.want("a large field enters the table", "HEADERS 3 …grpc-status=12 …")
		p.frame(http2.FrameHeaders, endHeaders|endStream, 5, p.block(request(unaryMethod)...)+strings.Repeat("\xbe", 900))
		p.want("references to it are 2.7 MB of headers", "HEADERS 5 :status=431 …", "DATA 5 …END_STREAM")
		p.headers(7, 0, request(unaryMethod)...)
		p.data(7, endStream, grpcMsg("x"))
		p.want("the compression state is intact", replied(7, "x")...)
	})
}

// TestStreamLimit: handlers of cancelled calls count as long as they are running.
func TestStreamLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		running := 0
		p, _ := scriptClient(t, setup{
			server: h2grpc.ServerConfig{MaxConcurrentStreams: 3},
			service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
				running++
				<-release // ignores its context
				return in, nil
			}},
		})
		for id := uint32(1); id <= 5; id += 2 {
			p.headers(id, 0, request(unaryMethod)...)
			p.data(id, endStream, grpcMsg("x"))
			synctest.Wait()
			p.reset(id, http2.ErrCodeCancel)
		}
		for id := uint32(7); id <= 21; id += 2 {
			p.headers(id, 0, request(unaryMethod)...)
			p.data(id, endStream, grpcMsg("x"))
			p.want("three handlers still run", fmt.Sprintf("RST_STREAM %d REFUSED_STREAM", id))
		}
		if running != 3 {
			t.Errorf("%d handlers run, want 3", running)
		}
		close(release)
		p.want("the cancelled calls have no answer")
		p.headers(23, 0, request(unaryMethod)...)
		p.data(23, endStream, grpcMsg("x"))
		p.want("handlers have returned", replied(23, "x")...)
	})
}

// TestIncompleteCallsCount: requests that never end count against the limit,
// and are gone when they are reset.
func TestIncompleteCallsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{server: h2grpc.ServerConfig{MaxConcurrentStreams: 2}})
		p.headers(1, 0, request(unaryMethod)...)
		p.headers(3, 0, request(unaryMethod)...)
		p.headers(5, 0, request(unaryMethod)...)
		p.want("the third is refused", "RST_STREAM 5 REFUSED_STREAM")
		p.reset(1, http2.ErrCodeCancel)
		p.headers(7, 0, request(unaryMethod)...)
		p.data(7, endStream, grpcMsg("x"))
		p.want("the first was cancelled", replied(7, "x")...)
	})
}

// TestPatientPeers: the frames of a flood are no fault if they arrive slowly.
func TestPatientPeers(t *testing.T) {
	t.Run("a cancelled call a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, _ := scriptClient(t, setup{})
			for i := range uint32(5000) {
				p.headers(2*i+1, 0, request(bidiMethod)...)
				p.reset(2*i+1, http2.ErrCodeCancel)
				time.Sleep(time.Second)
			}
			p.take()
			p.held = nil // trailers that crossed the reset
			p.headers(10_001, 0, request(unaryMethod)...)
			p.data(10_001, endStream, grpcMsg("x"))
			p.want("calls may be cancelled all day", replied(10_001, "x")...)
		})
	})
	t.Run("a PING a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, _ := scriptClient(t, setup{})
			for range 25_000 {
				p.ping("12345678")
				time.Sleep(time.Second)
			}
			p.take()
			p.held = nil
			p.headers(1, 0, request(unaryMethod)...)
			p.data(1, endStream, grpcMsg("x"))
			p.want("an idle connection may be kept alive", replied(1, "x")...)
		})
	})
	t.Run("window for a long download", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, _ := scriptClient(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
				for s.SendMsg(msg(strings.Repeat("x", 95))) == nil {
				}
				return nil
			}}})
			p.headers(1, endStream, request(serverMethod)...)
			for range 15_000 {
				synctest.Wait()
				p.windowUpdate(0, 100)
				p.windowUpdate(1, 100)
			}
			p.take()
			for _, l := range p.held {
				if !strings.HasPrefix(l, "HEADERS 1 ") && !strings.HasPrefix(l, "DATA 1 ") {
					t.Fatalf("a client that takes what it is sent got %s", l)
				}
			}
			p.held = nil
			p.reset(1, http2.ErrCodeCancel)
		})
	})
}
