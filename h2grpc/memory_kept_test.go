package h2grpc_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
)

// TestMemoryOfEndedResponses: a response that has arrived with its status, and that
// the application does not receive, gives up its memory like one without status.
func TestMemoryOfEndedResponses(t *testing.T) {
	for _, end := range []string{"open", "status", "reset"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 16 << 20
				cfg := h2grpc.ClientConfig{MessageMemory: h2grpc.NewMessageMemory(size)}
				stuck, c1 := scriptServer(t, cfg)
				other, c2 := scriptServer(t, cfg)
				ctx, cancel := context.WithCancel(t.Context())
				for _, cc := range []*h2grpc.ClientConn{c1, c2} {
					s, err := cc.NewStream(ctx, &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, bidiMethod)
					if err != nil {
						t.Fatal(err)
					}
					s.SendMsg(msg("x"))
				}
				for _, p := range []*script{stuck, other} {
					p.take()
					p.held = nil
					p.headers(1, 0, response()...)
					p.take()
				}
				stuck.announce(1, size)
				stuck.rest(1, size)
				switch end {
				case "status":
					stuck.headers(1, endStream, "grpc-status=0")
				case "reset":
					stuck.reset(1, http2.ErrCodeCancel)
				}
				stuck.take()
				stuck.held = nil
				other.announce(1, size)
				advance(10 * time.Minute)
				other.take()
				if other.window(1, 5) < size {
					t.Error("the other server's message still waits after ten minutes")
				}
				cancel()
				stuck.take()
				other.take()
				stuck.held, other.held = nil, nil
			})
		})
	}
}

// TestMemoryOfResetRequests: a client that resets its stream does not keep memory for
// what it sent longer than one that does not.
func TestMemoryOfResetRequests(t *testing.T) {
	for _, end := range []string{"open", "reset", "fault"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 16 << 20
				work := make(chan struct{})
				peers := crowd(t, 2, size, func(s h2grpc.ServerStream) error {
					<-work // belongs to the application, for long
					return s.RecvMsg(new(raw))
				})
				stuck, other := peers[0], peers[1]
				stuck.announce(1, size)
				stuck.rest(1, size)
				switch end {
				case "reset":
					stuck.reset(1, http2.ErrCodeCancel)
				case "fault":
					stuck.windowUpdate(1, 0)
				}
				stuck.take()
				stuck.held = nil
				other.announce(1, size)
				advance(10 * time.Minute)
				other.take()
				if other.window(1, 5) < size {
					t.Error("the other client's message still waits after ten minutes")
				}
				close(work)
				stuck.take()
				other.take()
				stuck.held, other.held = nil, nil
			})
		})
	}
}

// TestMemoryOfAllButOneByte: a large message of which all bytes except one arrived
// quickly.
func TestMemoryOfAllButOneByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 150 << 20
		peers := crowd(t, 2, 2*size, replies(raw("y")))
		stuck, other := peers[0], peers[1]
		stuck.announce(1, size)
		stuck.rest(1, size-1)
		stuck.held = nil
		const less = 16 << 20
		other.announce(1, less)
		advance(90 * time.Second)
		other.take()
		if other.window(1, 5) < less {
			t.Error("the other client's message still waits after 90 seconds")
		}
		stuck.take()
		stuck.held, other.held = nil, nil
	})
}

// TestPlaceAmongThoseThatWait: a message keeps its place while streams begin and end.
func TestPlaceAmongThoseThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 20
		work := make(chan struct{})
		peers := crowd(t, 3, 2*size, func(s h2grpc.ServerStream) error {
			<-work
			return s.RecvMsg(new(raw))
		})
		hog, first, second := peers[0], peers[1], peers[2]
		hog.announce(1, size)
		hog.rest(1, size)
		first.announce(1, size)
		second.announce(1, size)
		for id := uint32(3); id <= 9; id += 2 {
			first.headers(id, 0, request(bidiMethod)...)
		}
		first.take()
		first.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, "")
		first.take()
		t.Log(strings.Join(first.held, "\n"))
		hog.reset(1, http2.ErrCodeCancel)
		close(work)
		hog.take()
		first.take()
		second.take()
		if first.granted[1] < size/2 || second.granted[1] > size/2 {
			t.Errorf("granted are %d to the first and %d to the second", first.granted[1], second.granted[1])
		}
		for _, p := range peers {
			p.take()
			p.held = nil
		}
	})
}

// TestPartsOfResetStreams: the received parts of messages that lost their place are
// freed, although their handlers go on.
func TestPartsOfResetStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 64 << 20
		work := make(chan struct{})
		peers := crowd(t, 2, 2*size, func(s h2grpc.ServerStream) error {
			<-work
			return s.RecvMsg(new(raw))
		})
		stuck, other := peers[0], peers[1]
		heap := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc >> 20
		}
		for i := range uint32(5) {
			id := 3 + 2*i
			stuck.headers(id, 0, request(bidiMethod)...)
			stuck.announce(id, size)
			stuck.rest(id, size-1)
			stuck.held = nil
			other.headers(id, 0, request(bidiMethod)...)
			other.announce(id, size) // waits
			advance(90 * time.Second)
			other.reset(id, http2.ErrCodeCancel)
			other.take()
			other.held = nil
			stuck.take()
			t.Log(stuck.held, heap())
			stuck.held = nil
		}
		if n := heap(); n > 2*64 {
			t.Errorf("%d MiB are held, with memory for 64 MiB", n)
		}
		close(work)
		stuck.take()
		other.take()
		stuck.held, other.held = nil, nil
	})
}

// TestMemoryOfCancelledCalls: a response that has arrived, of a call that was
// cancelled before the application received it.
func TestMemoryOfCancelledCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 20
		cfg := h2grpc.ClientConfig{MessageMemory: h2grpc.NewMessageMemory(size)}
		stuck, c1 := scriptServer(t, cfg)
		other, c2 := scriptServer(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		ctx2, cancel2 := context.WithCancel(t.Context())
		for _, x := range []struct {
			ctx context.Context
			cc  *h2grpc.ClientConn
		}{{ctx, c1}, {ctx2, c2}} {
			s, err := x.cc.NewStream(x.ctx, &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			s.SendMsg(msg("x"))
		}
		for _, p := range []*script{stuck, other} {
			p.take()
			p.held = nil
			p.headers(1, 0, response()...)
			p.take()
		}
		stuck.announce(1, size)
		stuck.rest(1, size)
		stuck.headers(1, endStream, "grpc-status=0")
		stuck.take()
		stuck.held = nil
		cancel()
		synctest.Wait()
		other.announce(1, size)
		other.take()
		if other.window(1, 5) < size {
			t.Error("the message of a call that was cancelled keeps its memory")
		}
		cancel2()
		other.take()
		stuck.take()
		stuck.held, other.held = nil, nil
	})
}

// TestPartsOfLostConnections is TestPartsOfResetStreams for connections that end.
func TestPartsOfLostConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, n = 64 << 20, 4
		work := make(chan struct{})
		peers := crowd(t, n, 2*size, func(s h2grpc.ServerStream) error {
			<-work
			return s.RecvMsg(new(raw))
		})
		for _, p := range peers {
			p.announce(1, size)
			p.rest(1, size-1)
			p.held = nil
			p.nc.Close()
			synctest.Wait()
		}
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		if got := m.HeapAlloc >> 20; got > 2*64 {
			t.Errorf("%d MiB are held, with memory for 64 MiB", got)
		}
		close(work)
		for _, p := range peers {
			synctest.Wait()
			p.held = nil
		}
	})
}
