package h2grpc_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
)

// wantRoom fails unless a message of size bytes on other's stream 1, which is
// announced here, gets its window within a minute.
func wantRoom(t *testing.T, other *script, size int) {
	t.Helper()
	other.announce(1, size)
	if other.window(1, 5) >= size {
		t.Fatal("there is memory for both")
	}
	advance(time.Minute)
	other.take()
	if other.window(1, 5) < size {
		t.Error("another connection's message still waits for the memory, after a minute")
	}
	other.held = nil
}

// replies receives, and answers, until it cannot.
func replies(reply raw) func(h2grpc.ServerStream) error {
	return func(s h2grpc.ServerStream) error {
		for {
			if err := s.RecvMsg(new(raw)); err != nil {
				return err
			}
			if err := s.SendMsg(&reply); err != nil {
				return err
			}
		}
	}
}

// TestMemoryOfUnendedRequests: the only request of a call, which has arrived except
// for END_STREAM, does not keep memory from others for ever.
func TestMemoryOfUnendedRequests(t *testing.T) {
	for _, method := range []string{unaryMethod, serverMethod} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 16 << 20
				peers := crowd(t, 2, size, replies(raw("y")))
				stuck := peers[0]
				stuck.headers(3, 0, request(method)...)
				stuck.announce(3, size)
				stuck.rest(3, size) // and no END_STREAM, ever
				stuck.held = nil
				wantRoom(t, peers[1], size)
				stuck.take()
				stuck.held = nil
			})
		})
	}
}

// TestMemoryBehindSmallMessages: a peer that has filled bufferedBudget with small
// messages, for handlers that wait for the peer, does not keep the window of a large
// message for ever.
func TestMemoryBehindSmallMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 20
		peers := crowd(t, 2, size, replies(raw("y")), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		stuck := peers[0]
		stuck.announce(1, size) // nothing of it arrives
		for id := uint32(3); id < 3+2*17; id += 2 {
			stuck.headers(id, 0, request(bidiMethod)...)
			stuck.data(id, 0, grpcMsg("x"))
			stuck.pause()
			stuck.data(id, 0, grpcMsg(strings.Repeat("x", 1<<20)))
			stuck.data(id, endStream, "")
			stuck.take()
		}
		stuck.held = nil
		wantRoom(t, peers[1], size)
		stuck.take()
		stuck.held = nil
	})
}

// slowRaw is a message whose decoding waits for the channel.
type slowRaw struct{ decode chan struct{} }

func (m slowRaw) UnmarshalFrom([]byte) error { <-m.decode; return nil }

func (m slowRaw) AppendTo(b []byte) ([]byte, error) { return b, nil }

// TestMemoryOfTwoMessages: a message that began to arrive while the one before was
// being decoded keeps its memory no longer than others do.
func TestMemoryOfTwoMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const first, size = 3 << 20, 16 << 20
		decode := make(chan struct{})
		reply := raw("y")
		peers := crowd(t, 2, size, func(s h2grpc.ServerStream) error {
			if err := s.RecvMsg(slowRaw{decode}); err != nil {
				return err
			}
			return s.SendMsg(&reply) // waits: there is no window
		}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		stuck := peers[0]
		stuck.announce(1, first)
		stuck.rest(1, first) // of the connection's own room
		stuck.announce(1, size)
		if w := stuck.window(1, first+5+5); w < size {
			t.Fatalf("no window for the second message: %d", w)
		}
		close(decode)
		synctest.Wait()
		stuck.rest(1, size)
		stuck.held = nil
		wantRoom(t, peers[1], size)
		stuck.take()
		stuck.held = nil
	})
}

// TestMemoryOfBusySenders: a client that reads 20 MiB a second of what the handler
// sends does not lose its call because of a message that the handler receives
// afterwards.
func TestMemoryOfBusySenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 20
		reply := raw(strings.Repeat("y", 1<<20))
		peers := crowd(t, 2, size, func(s h2grpc.ServerStream) error {
			if err := s.RecvMsg(new(raw)); err != nil {
				return err
			}
			for {
				if err := s.SendMsg(&reply); err != nil {
					return err
				}
			}
		}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		busy, other := peers[0], peers[1]
		busy.data(1, 0, grpcMsg("x"))
		busy.announce(1, size)
		busy.rest(1, size)
		other.announce(1, size)
		for range 500 { // 25 seconds
			busy.windowUpdate(1, 1<<20)
			advance(50 * time.Millisecond)
			busy.take()
			for _, l := range busy.held {
				if strings.HasPrefix(l, "RST_STREAM") {
					t.Fatalf("a call whose client reads quickly: %s", l)
				}
			}
			busy.held = nil
		}
		other.take()
		other.held = nil
	})
}

// TestMemoryBehindOwnReplies: a handler that waits behind other messages which the
// same peer does not read also waits for the peer.
func TestMemoryBehindOwnReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 20
		peers := crowd(t, 2, 2*size, replies(raw(strings.Repeat("y", 1<<20))), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		stuck := peers[0]
		for id := uint32(3); id < 3+2*30; id += 2 {
			stuck.headers(id, 0, request(bidiMethod)...)
			stuck.data(id, endStream, grpcMsg("x"))
			stuck.take()
		}
		advance(20 * time.Second)
		stuck.data(1, 0, grpcMsg("x"))
		stuck.announce(1, size)
		stuck.rest(1, size)
		stuck.held = nil
		wantRoom(t, peers[1], size)
		stuck.take()
		stuck.held = nil
	})
}

// TestMemoryForGiants: a message for which there is no room, while a working handler
// has another, does not keep messages waiting for which there is room.
func TestMemoryForGiants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const memory, size = 16 << 20, 6 << 20
		work := make(chan struct{})
		peers := crowd(t, 3, 2*memory, func(s h2grpc.ServerStream) error {
			<-work // belongs to the application, for long
			return s.RecvMsg(new(raw))
		})
		defer func() {
			close(work)
			for _, p := range peers {
				p.take()
				p.held = nil
			}
		}()
		peers[0].announce(1, size)
		peers[0].rest(1, size)
		peers[1].announce(1, 64<<20) // a hostile one: larger than all the memory
		other := peers[2]
		other.announce(1, size)
		advance(time.Minute)
		other.take()
		if other.window(1, 5) < size {
			t.Errorf("a message of %d MiB waits, with %d of %d MiB held", size>>20, size>>20, memory>>20)
		}
	})
}

// TestMemoryOfUnendedResponses is TestMemoryOfUnendedRequests for a client: two
// servers, one of which sends a response without its status.
func TestMemoryOfUnendedResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 20
		cfg := h2grpc.ClientConfig{MessageMemory: h2grpc.NewMessageMemory(size)}
		stuck, c1 := scriptServer(t, cfg)
		other, c2 := scriptServer(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		r1, r2 := invoke(ctx, c1, "x"), invoke(ctx, c2, "x")
		for _, p := range []*script{stuck, other} {
			p.take()
			p.held = nil
			p.headers(1, 0, response()...)
			p.take()
		}
		stuck.announce(1, size)
		stuck.rest(1, size)
		stuck.held = nil
		wantRoom(t, other, size)
		cancel()
		<-r1
		<-r2
		stuck.take()
		other.take()
		stuck.held, other.held = nil, nil
	})
}

// TestMemoryOfHeldCalls: requests of unary calls that do not begin, because the
// client does not read an earlier response, do not keep memory from others.
func TestMemoryOfHeldCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 20
		m := h2grpc.NewMessageMemory(size)
		peers := make([]*script, 2)
		for i := range peers {
			peers[i], _ = scriptClient(t, setup{server: h2grpc.ServerConfig{MessageMemory: m}, service: &testService{
				unary:  func(_ context.Context, in *raw) (*raw, error) { return msg(strings.Repeat("y", 3<<20)), nil },
				stream: echoStream,
			}}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			peers[i].windowUpdate(0, 1<<30)
			peers[i].headers(1, 0, request(bidiMethod)...)
			peers[i].take()
		}
		stuck := peers[0]
		for id := uint32(3); id <= 5; id += 2 {
			stuck.headers(id, 0, request(unaryMethod)...)
			stuck.data(id, endStream, grpcMsg("x"))
			stuck.take()
		}
		stuck.headers(7, 0, request(unaryMethod)...)
		stuck.announce(7, size)
		stuck.rest(7, size)
		stuck.data(7, endStream, "")
		stuck.take()
		stuck.held = nil
		wantRoom(t, peers[1], size)
		stuck.take()
		stuck.held = nil
	})
}
