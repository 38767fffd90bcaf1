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

// announce sends the beginning of a message of size bytes, and rest the rest of it,
// for which there must be window.
func (p *script) announce(id uint32, size int) {
	p.data(id, 0, "\x00"+u32(uint32(size)))
	p.take()
}

func (p *script) rest(id uint32, size int) {
	for left := size; left > 0; left -= min(left, 1<<20) {
		p.data(id, 0, strings.Repeat("x", min(left, 1<<20)))
	}
	p.take()
}

// crowd returns clients of servers that share memory for messages; each has a stream
// open.
func crowd(t *testing.T, n int, memory int64, handler func(h2grpc.ServerStream) error, settings ...http2.Setting) []*script {
	m := h2grpc.NewMessageMemory(memory)
	peers := make([]*script, n)
	for i := range peers {
		peers[i], _ = scriptClient(t, setup{server: h2grpc.ServerConfig{MessageMemory: m}, service: &testService{unary: echo, stream: handler}}, settings...)
		peers[i].windowUpdate(0, 1<<30)
		peers[i].headers(1, 0, request(bidiMethod)...)
		peers[i].take()
	}
	return peers
}

// TestMemoryBothWays: handlers that have received messages and are about to send do
// not wait for each other, however little memory there is.
func TestMemoryBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, clients = 6 << 20, 2
		send := make(chan struct{})
		handler := func(s h2grpc.ServerStream) error {
			for m := new(raw); ; {
				if err := s.RecvMsg(m); err != nil {
					return err
				}
				<-send
				if err := s.SendMsg(m); err != nil {
					return err
				}
			}
		}
		peers := crowd(t, clients, clients*size, handler, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
		told := [clients]int{}
		offer := func(i int) bool {
			p := peers[i]
			p.announce(1, size)
			told[i] += 5
			if p.window(1, told[i]) < size {
				return false
			}
			p.rest(1, size)
			told[i] += size
			return true
		}
		for i := range peers {
			if !offer(i) {
				t.Fatal("a first message finds no memory")
			}
		}
		waits := 0
		for i := range peers { // while the handlers have the first
			if !offer(i) {
				waits++
			}
		}
		close(send)
		synctest.Wait()
		for i, p := range peers {
			p.take()
			if p.window(1, told[i]) >= size { // it has waited for the other
				p.rest(1, size)
			}
			if n := sent(t, p.held, 1); n != 2*(size+5) {
				t.Errorf("client %d got %d bytes, want both messages; %d messages waited", i, n, waits)
			}
			p.held = nil
		}
	})
}

// TestMemoryOfUnreadReplies: a message that waits for a handler, which waits for its
// client to read, makes room for others once they have waited.
func TestMemoryOfUnreadReplies(t *testing.T) {
	for name, reply := range map[string]raw{"a large reply": raw(strings.Repeat("y", 1<<20)), "a small one": raw("y")} {
		synctest.Test(t, func(t *testing.T) {
			const size = 16 << 20
			peers := crowd(t, 2, size, func(s h2grpc.ServerStream) error {
				for {
					if err := s.RecvMsg(new(raw)); err != nil {
						return err
					}
					if err := s.SendMsg(&reply); err != nil {
						return err
					}
				}
			}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			stuck, other := peers[0], peers[1]
			stuck.data(1, 0, grpcMsg("x"))
			stuck.announce(1, size)
			stuck.rest(1, size)
			stuck.held = nil
			other.announce(1, size)
			if other.window(1, 5) >= size {
				t.Fatalf("%s: there is memory for both", name)
			}
			advance(8 * time.Second)
			stuck.want(name + ": nobody has waited for ten seconds")
			advance(20 * time.Second)
			stuck.want(name + ": the handler may take it yet")
			advance(10 * time.Second)
			stuck.want(name+": it loses its place", "RST_STREAM 1 ENHANCE_YOUR_CALM")
			other.take()
			if other.window(1, 5) < size {
				t.Errorf("%s: the other has no window", name)
			}
			other.rest(1, size)
			other.held = nil
		})
	}
}

// TestMemoryOfUnreadConnections: a client that stops reading in the middle of the
// last part of a message keeps its memory until others have waited.
func TestMemoryOfUnreadConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 20
		m := raw(strings.Repeat("x", size))
		release := make(chan struct{})
		peers := crowd(t, 2, size, func(s h2grpc.ServerStream) error {
			<-release
			return s.SendMsg(&m)
		}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: size - 1<<19}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
		stuck, other := peers[0], peers[1]
		other.windowUpdate(1, 1<<20)
		release <- struct{}{}
		stuck.take()
		stuck.held = nil
		stuck.stopReading()
		stuck.ping("the last") // frame that is read
		stuck.windowUpdate(1, 1<<20)
		stuck.send()
		release <- struct{}{}
		synctest.Wait()
		other.take()
		if n := sent(t, other.held, 1); n != 0 {
			t.Fatalf("there is memory for both: %d bytes came", n)
		}
		other.held = nil
		advance(time.Minute)
		other.take()
		if n := sent(t, other.held, 1); n != size+5 {
			t.Errorf("%d bytes came to the one that reads", n)
		}
		other.held = nil
		stuck.readAgain()
	})
}

// TestRequestBesideFinalGoAway: a request that waits for a handler to return while
// the server sends the last GOAWAY is not among those that it names, so that the
// client may send it again.
func TestRequestBesideFinalGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p, srv := scriptClient(t, setup{
			server: h2grpc.ServerConfig{MaxConcurrentStreams: 1},
			service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
				<-release
				return in, nil
			}},
		})
		p.headers(1, 0, request(unaryMethod)...)
		p.data(1, endStream, grpcMsg("x"))
		synctest.Wait()
		go srv.Shutdown(context.Background())
		synctest.Wait()
		p.reset(1, http2.ErrCodeCancel)
		// The last GOAWAY comes after five seconds, since its PING is not answered.
		advance(5*time.Second - 5*time.Millisecond)
		p.take()
		p.held = nil
		p.headers(3, 0, request(unaryMethod)...)
		p.data(3, endStream, grpcMsg("x"))
		advance(20 * time.Millisecond)
		p.want("the last GOAWAY", "GOAWAY 1 NO_ERROR …")
		close(release)
	})
}

// TestUploadsBesideStuckOnes: messages that a server does not read do not keep others
// waiting on streams that it would read.
func TestUploadsBesideStuckOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, uploads = 1 << 20, 20
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		m := raw(strings.Repeat("x", size))
		for range uploads {
			s, err := cc.NewStream(ctx, &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			go s.SendMsg(&m)
			p.take()
		}
		p.windowUpdate(0, 1<<30)
		advance(uploads * time.Second)
		p.take()
		for i := range uint32(uploads) {
			if n := sent(t, p.held, 2*i+1); n != firstWindow {
				t.Errorf("%d bytes of upload %d came, want what the window allows", n, i)
			}
		}
		p.held = nil
		cancel()
		p.take()
		p.held = nil
	})
}
