package h2grpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
)

// wantCalm fails unless flood ends the connection with ENHANCE_YOUR_CALM.
func wantCalm(t *testing.T, s setup, flood func(p *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, s)
		flood(p)
		p.take()
		advance(5 * time.Second)
		p.take()
		n := len(p.held)
		if n < 2 || p.held[n-1] != "closed" || !matches("GOAWAY …ENHANCE_YOUR_CALM…", p.held[n-2]) {
			t.Fatalf("the connection does not end with ENHANCE_YOUR_CALM: %d frames, the last\n\t%s", n, shorten(p.held[max(0, n-5):]))
		}
	})
}

// TestFloods: RFC 9113 §10.5. What costs a peer little and us much ends the
// connection.
func TestFloods(t *testing.T) {
	call := func(p *script, id uint32) { p.headers(id, 0, request(unaryMethod)...) }
	for _, c := range []struct {
		name  string
		flood func(p *script)
	}{
		{"rapid reset", func(p *script) {
			for i := range uint32(5000) {
				call(p, 2*i+1)
				p.reset(2*i+1, http2.ErrCodeCancel)
			}
		}},
		{"made to reset", func(p *script) {
			for i := range uint32(5000) {
				call(p, 2*i+1)
				p.windowUpdate(2*i+1, 0)
			}
		}},
		{"malformed requests", func(p *script) {
			for i := range uint32(5000) {
				p.headers(2*i+1, endStream, ":method=POST")
			}
		}},
		{"empty CONTINUATION", func(p *script) {
			p.frame(http2.FrameHeaders, 0, 1, "")
			for range 5000 {
				p.frame(http2.FrameContinuation, 0, 1, "")
			}
		}},
		{"CONTINUATION of one byte", func(p *script) {
			p.frame(http2.FrameHeaders, 0, 1, "")
			for range 5000 {
				p.frame(http2.FrameContinuation, 0, 1, "\x82")
			}
		}},
		{"empty DATA", func(p *script) {
			call(p, 1)
			for range 30_000 {
				p.data(1, 0, "")
			}
		}},
		{"padding alone", func(p *script) {
			call(p, 1)
			for range 30_000 {
				p.frame(http2.FrameData, http2.FlagDataPadded, 1, "\x01\x00")
			}
		}},
		{"PING", func(p *script) {
			for range 30_000 {
				p.ping("12345678")
			}
		}},
		{"acknowledgements of PINGs that were not sent", func(p *script) {
			for range 30_000 {
				p.frame(http2.FramePing, http2.FlagPingAck, 0, "12345678")
			}
		}},
		{"SETTINGS", func(p *script) {
			for range 30_000 {
				p.settings()
			}
		}},
		{"WINDOW_UPDATE", func(p *script) {
			for range 30_000 {
				p.windowUpdate(0, 1)
			}
		}},
		{"PRIORITY", func(p *script) {
			for range 30_000 {
				p.frame(http2.FramePriority, 0, 7, "\x00\x00\x00\x00\x10")
			}
		}},
		{"unknown frames", func(p *script) {
			for range 30_000 {
				p.frame(0xbe, 0, 0, "x")
			}
		}},
		{"RST_STREAM for closed streams", func(p *script) {
			p.headers(1, endStream, request("/a/b")...)
			synctest.Wait()
			for range 30_000 {
				p.reset(1, http2.ErrCodeCancel)
			}
		}},
		{"GOAWAY", func(p *script) {
			for range 30_000 {
				p.goAway(0, http2.ErrCodeNo, "")
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) { wantCalm(t, setup{}, c.flood) })
	}
}

// TestUnreadAnswers: a peer that provokes answers and does not read them.
func TestUnreadAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		p.stopReading()
		for i := range uint32(30_000) {
			// A call now and then, so that the frames are not all idle ones.
			if i%1000 == 0 {
				p.headers(2*i+1, endStream, request(bidiMethod)...)
			}
			p.ping("12345678")
		}
		advance(5 * time.Second)
		if _, err := p.nc.Write([]byte{0}); err == nil {
			t.Error("the connection is still open after 30000 answers that nobody read")
		}
		p.readAgain()
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

// TestStreamLimit: handlers of cancelled calls count as long as they run.
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

// TestPatientPeers: what a flood is made of is no fault when it comes slowly.
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
