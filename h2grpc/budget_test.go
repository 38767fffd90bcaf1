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
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// counted is a message that counts how often it was encoded.
type counted struct {
	raw
	encoded *atomic.Int32
}

func (m *counted) AppendTo(b []byte) ([]byte, error) {
	m.encoded.Add(1)
	return m.raw.AppendTo(b)
}

// unsized is a counted message without a Size.
type unsized struct{ m *counted }

func (m unsized) AppendTo(b []byte) ([]byte, error) { return m.m.AppendTo(b) }

func (m unsized) UnmarshalFrom([]byte) error { return nil }

// sender is a service whose streams send m once, and send on the channel if they
// cannot.
func sender(m any, failed chan<- error) *testService {
	return &testService{unary: echo, stream: func(s h2grpc.ServerStream) error {
		err := s.SendMsg(m)
		if err != nil && failed != nil {
			failed <- err
		}
		return err
	}}
}

// openStreams opens n streams of responses and drops what arrives, except the number
// of bytes for each stream.
func (p *script) openStreams(from uint32, n int) {
	for i := range uint32(n) {
		p.headers(from+2*i, endStream, request(bidiMethod)...)
	}
	p.take()
}

// TestStreamsWithoutWindow: a message for which its stream has no window is not
// encoded yet, whether or not it knows its size.
func TestStreamsWithoutWindow(t *testing.T) {
	for _, knows := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			const size, streams = 100 << 10, 20
			var encoded atomic.Int32
			m := &counted{raw(strings.Repeat("x", size)), &encoded}
			var message any = m
			again := int32(0)
			if !knows {
				message, again = unsized{m}, streams // to learn that they are large
			}
			p, _ := scriptClient(t, setup{service: sender(message, nil)}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			p.windowUpdate(0, 1<<30)
			p.openStreams(1, streams)
			if n := encoded.Load(); n != again {
				t.Errorf("knows %t: %d messages were encoded without window, want %d", knows, n, again)
			}
			for i := range uint32(streams) {
				p.windowUpdate(2*i+1, 10)
			}
			p.take()
			if n := encoded.Load() - again; n != streams {
				t.Errorf("knows %t: %d messages were encoded with some window, want %d", knows, n, streams)
			}
			for i := range uint32(streams) {
				p.windowUpdate(2*i+1, size)
			}
			p.take()
			for i := range uint32(streams) {
				if n := sent(t, p.held, 2*i+1); n != size+5 {
					t.Errorf("knows %t: stream %d got %d bytes", knows, 2*i+1, n)
				}
			}
			p.held = nil
		})
	}
}

// TestStreamsBesideStuckOnes: of streams that lack window a few messages are encoded;
// streams that have window, streams that are read, and other calls go on.
func TestStreamsBesideStuckOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, streams, least = 2 << 20, 20, 4
		var encoded atomic.Int32
		m := &counted{raw(strings.Repeat("x", size)), &encoded}
		p, _ := scriptClient(t, setup{service: sender(m, nil)})
		p.windowUpdate(0, 1<<30)
		p.openStreams(1, streams)
		if n := encoded.Load(); n != least {
			t.Errorf("%d messages of which a part may be sent were encoded, want %d", n, least)
		}
		p.windowUpdate(39, size)
		p.take()
		if n := sent(t, p.held, 39); n != size+5 {
			t.Errorf("a stream that has all the window got %d bytes", n)
		}
		want := int32(least + 1)
		if sent(t, p.held, 37) == 0 { // which handlers come first is the scheduler's choice
			want++
		}
		p.windowUpdate(37, size/2)
		p.take()
		if n := sent(t, p.held, 37); n != size/2+firstWindow {
			t.Errorf("a stream that is read got %d bytes, want its window", n)
		}
		p.held = nil
		p.headers(101, 0, request(unaryMethod)...)
		p.data(101, endStream, grpcMsg(strings.Repeat("y", 50_000)))
		p.take()
		if n := sent(t, p.held, 101); n != 50_005 {
			t.Errorf("a call got %d bytes", n)
		}
		p.held = nil
		if n := encoded.Load(); n != want {
			t.Errorf("%d messages were encoded, want %d", n, want)
		}
		// The oldest ones give up their places one by one.
		for id := uint32(1); id < 2*streams; id += 2 {
			p.windowUpdate(id, size)
			p.take()
		}
		p.held = nil
		if n := encoded.Load(); n != streams {
			t.Errorf("%d messages were encoded in the end, want all", n)
		}
	})
}

// TestStalledStreams: messages of which the client reads nothing make room for a few
// more, and then their streams are ended while others wait. None is ended while none
// waits.
func TestStalledStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, least = 2 << 20, 4
		failed := make(chan error, 100)
		var encoded atomic.Int32
		m := &counted{raw(strings.Repeat("x", size)), &encoded}
		p, _ := scriptClient(t, setup{service: sender(m, failed), server: h2grpc.ServerConfig{StallTimeout: time.Minute}})
		p.windowUpdate(0, 1<<30)
		p.openStreams(1, least)
		p.take()
		p.held = nil
		advance(10 * time.Minute)
		p.want("nobody waits")
		p.openStreams(2*least+1, least)
		if n := encoded.Load(); n != least {
			t.Errorf("%d messages were encoded at once, want %d", n, least)
		}
		advance(2 * time.Second)
		if n := encoded.Load(); n != 2*least {
			t.Errorf("%d messages were encoded in the end, want %d", n, 2*least)
		}
		p.take()
		p.held = nil
		advance(10 * time.Minute)
		p.want("nobody waits now")
		p.openStreams(4*least+1, 1)
		p.want("its head does not wait", "HEADERS 17 …")
		advance(90 * time.Second)
		p.take()
		ended := 0
		for _, l := range p.held {
			if strings.HasPrefix(l, "RST_STREAM") {
				ended++
				if !strings.HasSuffix(l, "ENHANCE_YOUR_CALM") {
					t.Errorf("got %s", l)
				}
			}
		}
		if n := sent(t, p.held, 4*least+1); ended != 2*least || n != firstWindow {
			t.Errorf("%d streams were ended, want %d; the one that waited got %d bytes", ended, 2*least, n)
		}
		p.held = nil
		for range 2 * least {
			err := <-failed
			if s := status.Convert(err); s.Code() != codes.ResourceExhausted || !strings.Contains(s.Message(), "StallTimeout of the server's ServerConfig") {
				t.Errorf("a handler is told %v", err)
			}
		}
	})
}

// TestMessageMemory: connections share memory for large messages. A message without
// room waits, others go on, and a slow one loses its place to those that wait.
func TestMessageMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, small = 16 << 20, 2 << 20
		memory := h2grpc.NewMessageMemory(size + 1<<20)
		server := h2grpc.ServerConfig{MessageMemory: memory, MaxRecvMessageSize: size}
		var peers [3]*script
		for i := range peers {
			peers[i], _ = scriptClient(t, setup{server: server, service: &testService{unary: func(context.Context, *raw) (*raw, error) { return msg("done"), nil }}})
		}
		announce := func(p *script, id uint32, size int) {
			p.headers(id, 0, request(unaryMethod)...)
			p.data(id, 0, grpcMsg(strings.Repeat("x", size))[:5])
			p.take()
		}
		finish := func(p *script, id uint32, size int) {
			t.Helper()
			for left := size; left > 0; {
				n := min(left, 1<<20)
				left -= n
				flags := http2.Flags(0)
				if left == 0 {
					flags = endStream
				}
				p.data(id, flags, strings.Repeat("x", n))
				p.take()
			}
			p.want("it is answered", replied(id, "done")...)
		}
		announce(peers[0], 1, size)
		announce(peers[1], 1, size)
		announce(peers[2], 1, size)
		if peers[0].window(1, 5) < size || peers[1].window(1, 5) >= size || peers[2].window(1, 5) >= size {
			t.Fatal("not the first message alone was granted window")
		}
		announce(peers[1], 3, small)
		if peers[1].window(3, 5) >= small {
			t.Error("a message overtakes an older one of its connection")
		}
		finish(peers[0], 1, size)
		announce(peers[0], 3, small)
		finish(peers[0], 3, small)
		peers[1].take()
		if peers[1].window(1, 5) < size || peers[2].window(1, 5) >= size {
			t.Fatal("the second message was not granted window next")
		}
		// The message does not arrive.
		advance(8 * time.Second)
		peers[1].want("nobody has waited for ten seconds")
		advance(15 * time.Second)
		peers[1].want("it loses its place", "RST_STREAM 1 ENHANCE_YOUR_CALM")
		peers[2].take()
		if peers[2].window(1, 5) < size {
			t.Fatal("the third message was not granted window")
		}
		finish(peers[2], 1, size)
		finish(peers[1], 3, small)
	})
}

// TestMessageMemoryForSending: responses on other connections wait for memory, too.
func TestMessageMemoryForSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 6 << 20
		var encoded atomic.Int32
		m := &counted{raw(strings.Repeat("x", size)), &encoded}
		server := h2grpc.ServerConfig{MessageMemory: h2grpc.NewMessageMemory(size + 1<<20)}
		var peers [2]*script
		for i := range peers {
			peers[i], _ = scriptClient(t, setup{server: server, service: sender(m, nil)})
			peers[i].windowUpdate(0, 1<<30)
			peers[i].openStreams(1, 1)
		}
		if n := encoded.Load(); n != 1 {
			t.Errorf("%d messages were encoded, want the first", n)
		}
		peers[0].windowUpdate(1, size)
		peers[0].take()
		if n := sent(t, peers[0].held, 1); n != size+5 {
			t.Errorf("%d bytes came", n)
		}
		peers[0].held = nil
		peers[1].take()
		if n := encoded.Load(); n != 2 {
			t.Errorf("%d messages were encoded, want the second, too", n)
		}
		peers[1].held = nil
	})
}

// TestStarvedCall: a client whose message is slow learns why its call ended, and so
// does a client whose server is slow.
func TestStarvedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 16 << 20
		memory := h2grpc.NewMessageMemory(size)
		var calls [2]<-chan result
		for i := range calls {
			p, cc := scriptServer(t, h2grpc.ClientConfig{MessageMemory: memory})
			calls[i] = invoke(t.Context(), cc, "x")
			p.want("a call", "HEADERS 1 …", "DATA 1 …")
			p.headers(1, 0, response()...)
			p.data(1, 0, "\x00"+u32(size))
			p.take()
			defer func() { p.held = nil }()
		}
		advance(16 * time.Second)
		r := <-calls[0]
		if s := status.Convert(r.err); s.Code() != codes.ResourceExhausted || !strings.Contains(s.Message(), "MessageMemory") {
			t.Errorf("the first call ended with %v", r.err)
		}
	})
}

// TestDecompressedDefault: without a limit of its own, a compressed message is limited
// to DefaultMaxDecompressedSize.
func TestDecompressedDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ limit, n, code int }{
			{0, h2grpc.DefaultMaxDecompressedSize + 1, 8},
			{h2grpc.DefaultMaxDecompressedSize + 1, h2grpc.DefaultMaxDecompressedSize + 1, 0},
		} {
			cfg := h2grpc.ServerConfig{Compressors: []h2grpc.Compressor{rle{"rle"}}, MaxRecvMessageSize: c.limit}
			p, _ := scriptClient(t, setup{server: cfg, service: &testService{stream: func(s h2grpc.ServerStream) error {
				if err := s.RecvMsg(new(raw)); err != nil {
					return err
				}
				return s.RecvMsg(new(raw))
			}}})
			p.headers(1, 0, request(bidiMethod, "grpc-encoding=rle")...)
			p.data(1, endStream, "\x01"+u32(5)+u32(uint32(c.n))+"z")
			p.take()
			got := strings.Join(p.held, "\n")
			p.held = nil
			if !strings.Contains(got, fmt.Sprintf("grpc-status=%d", c.code)) && c.code != 0 || c.code == 8 &&
				!strings.Contains(got, "MaxRecvMessageSize of the server's ServerConfig; the default is smaller for compressed messages") {
				t.Errorf("a limit of %d: %s", c.limit, got)
			}
			if c.code == 0 && strings.Contains(got, "grpc-status=8") {
				t.Errorf("a limit of %d: %s", c.limit, got)
			}
		}
	})
}

// panicking is a message whose own code panics.
type panicking struct{ raw }

func (m *panicking) AppendTo([]byte) ([]byte, error) { panic("no") }

// TestPanickingMessages: messages that were never encoded do not keep their place.
func TestPanickingMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 2 << 20
		m := &panicking{raw(strings.Repeat("x", size))}
		p, _ := scriptClient(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) (err error) {
			if err := s.RecvMsg(new(raw)); err == nil {
				return s.SendMsg(&m.raw)
			}
			return s.SendMsg(m)
		}}})
		p.windowUpdate(0, 1<<30)
		p.openStreams(1, 20)
		p.held = nil
		p.headers(101, 0, request(bidiMethod)...)
		p.data(101, endStream, grpcMsg("x"))
		p.take()
		if n := sent(t, p.held, 101); n != firstWindow {
			t.Errorf("after panics a message of which nothing is known gets %d bytes, want its window", n)
		}
		p.held = nil
	})
}

// TestManyBehindALargeMessage: when a large message gives up its place, all messages
// for which there is room then go on.
func TestManyBehindALargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, small, streams = 8 << 20, 80_000, 8
		var encoded, begun atomic.Int32
		p, _ := scriptClient(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			n := small
			if begun.Add(1) == 1 {
				n = size
			}
			return s.SendMsg(&counted{raw(strings.Repeat("x", n)), &encoded})
		}}})
		p.windowUpdate(0, 1<<30)
		for i := range uint32(streams) {
			p.openStreams(2*i+1, 1)
		}
		if n := encoded.Load(); n != 4 {
			t.Errorf("%d messages were encoded beside a large one, want 4", n)
		}
		p.windowUpdate(1, size)
		p.take()
		p.held = nil
		if n := encoded.Load(); n != streams {
			t.Errorf("%d messages were encoded after it, want all", n)
		}
	})
}
