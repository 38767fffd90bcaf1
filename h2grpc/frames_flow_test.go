package h2grpc_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// The windows that the engine grants: internal/h2/limits.go.
const (
	loneWindow   = 1280 << 10 // of a stream while there are few
	streamWindow = 128 << 10
	connWindow   = 2 << 20
	firstWindow  = 65535 // RFC 9113 §6.9.2
)

// sent sums the lengths of the DATA lines of a stream.
func sent(t *testing.T, lines []string, id uint32) (n int) {
	t.Helper()
	for _, l := range lines {
		var got uint32
		var payload string
		var size int
		if c, _ := fmt.Sscanf(l, "DATA %d %q", &got, &payload); c == 2 && got == id {
			n += len(payload)
		} else if c, _ := fmt.Sscanf(l, "DATA %d [%d bytes]", &got, &size); c == 2 && got == id {
			n += size
		}
	}
	return n
}

// TestSendWindows: a server obeys both windows, and their changes.
func TestSendWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			return s.SendMsg(msg(strings.Repeat("x", 1_000_000)))
		}}}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
		got := 0
		want := func(sentence string, n int) {
			t.Helper()
			p.take()
			for _, l := range p.held {
				if strings.Contains(l, "RST") || strings.Contains(l, "GOAWAY") {
					t.Fatalf("%s: got %s", sentence, l)
				}
			}
			got += sent(t, p.held, 1)
			p.held = nil
			if got != n {
				t.Fatalf("%s: %d bytes were sent, want %d", sentence, got, n)
			}
		}
		p.headers(1, endStream, request(serverMethod)...)
		want("the initial window is 100", 100)
		p.windowUpdate(1, 1)
		want("one more", 101)
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 150})
		want("the initial window is 150 now", 151)
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		want("windows may become negative", 151)
		p.windowUpdate(1, 139)
		want("and are paid back first", 151)
		p.windowUpdate(1, 2)
		want("paid back", 152)
		p.windowUpdate(0, 1000)
		want("the connection's window alone opens nothing", 152)
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		want("now the connection's window ends", firstWindow+1000)
		p.settings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
		p.windowUpdate(0, 1<<20)
		want("everything", 1_000_005)
	})
}

// TestMaxFrameSize: frames are no larger than the peer accepts, header blocks too.
func TestMaxFrameSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
			md := map[string][]string{"big": {strings.Repeat("h", 50_000)}}
			return msg(strings.Repeat("x", 40_000)), h2grpc.SetHeader(ctx, md)
		}}})
		p.headers(1, 0, request(unaryMethod)...)
		p.data(1, endStream, grpcMsg("q"))
		p.take()
		for _, l := range p.held {
			if n := sent(t, []string{l}, 1); n > 16<<10 {
				t.Errorf("a DATA frame of %d bytes to a peer that takes 16384", n)
			}
		}
		if len(p.held) < 4 || len(p.held[0]) < 50_000 || sent(t, p.held, 1) != 40_005 {
			t.Errorf("got %s", shorten(p.held))
		}
	})
}

// TestOverflow: DATA beyond a window that was granted.
func TestOverflow(t *testing.T) {
	needs(t, fastpath.LoneWindow)
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		p, _ := scriptClient(t, setup{service: &testService{
			unary:  echo,
			stream: func(s h2grpc.ServerStream) error { <-block; return nil },
		}})
		defer close(block)
		p.headers(1, 0, request(bidiMethod)...)
		for range loneWindow / (16 << 10) {
			p.data(1, 0, grpcMsg(strings.Repeat("x", 16<<10-5)))
		}
		p.want("a full window is no fault")
		p.data(1, 0, "x")
		p.want("one byte more is one of the stream", "RST_STREAM 1 FLOW_CONTROL_ERROR")
		p.headers(3, 0, request(unaryMethod)...)
		p.data(3, endStream, grpcMsg("x"))
		p.want("other calls go on", replied(3, "x")...)
	})
}

// TestConnOverflow: handlers that read nothing fill the connection's window
// only up to a budget; past the window the connection ends.
func TestConnOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		p, _ := scriptClient(t, setup{
			server:  h2grpc.ServerConfig{MaxRecvMessageSize: 1 << 20},
			service: &testService{stream: func(s h2grpc.ServerStream) error { <-block; return nil }},
		})
		defer close(block)
		message := grpcMsg(strings.Repeat("x", 1<<20))
		total, id := 0, uint32(1)
		left := func() int { return firstWindow + p.granted[0] - total }
		for ; left() > 0 && id < 200; id += 2 {
			p.headers(id, 0, request(bidiMethod)...)
			p.take()
			for at := 0; at < len(message) && left() > 0; {
				n := min(p.window(id, at), left(), len(message)-at, 16<<10)
				if n <= 0 {
					t.Fatalf("stream %d is stuck after %d bytes", id, at)
				}
				p.data(id, 0, message[at:at+n])
				at += n
				total += n
				p.take()
			}
		}
		p.want("no complaints")
		if total < 17<<20 || total > 24<<20 {
			t.Errorf("the connection's window ended after %d bytes that nobody read", total)
		}
		p.data(id-2, 0, "x")
		p.wantEnd("past the connection's window", "GOAWAY …FLOW_CONTROL_ERROR…")
	})
}

// TestUnreadMessages: a handler that does not read stops its own stream, and
// gets everything later.
func TestUnreadMessages(t *testing.T) {
	needs(t, fastpath.LoneWindow)
	synctest.Test(t, func(t *testing.T) {
		read := make(chan struct{})
		var got []string
		p, _ := scriptClient(t, setup{service: &testService{
			unary: echo,
			stream: func(s h2grpc.ServerStream) error {
				<-read
				for {
					var m raw
					if err := s.RecvMsg(&m); err == io.EOF {
						return nil
					} else if err != nil {
						return err
					}
					got = append(got, string(m[:10]))
				}
			},
		}})
		p.headers(1, 0, request(bidiMethod)...)
		n := 0
		send := func() {
			p.data(1, 0, grpcMsg(fmt.Sprintf("%010d", n)+strings.Repeat("x", 1000)))
			n++
			p.take()
		}
		for p.window(1, n*1015) >= 1015 {
			send()
		}
		if n != loneWindow/1015 {
			t.Errorf("%d bytes were taken that nobody reads, want the initial window", n*1015)
		}
		p.headers(3, 0, request(unaryMethod)...)
		p.data(3, endStream, grpcMsg("x"))
		p.want("other calls go on", replied(3, "x")...)
		close(read)
		for n < 3000 {
			p.take()
			if p.window(1, n*1015) < 1015 {
				t.Fatalf("no more window after %d messages", n)
			}
			send()
		}
		p.data(1, endStream, "")
		p.want("all has arrived", "HEADERS 1 …grpc-status=0 END_STREAM")
		for i, m := range got {
			if m != fmt.Sprintf("%010d", i) {
				t.Fatalf("message %d is %q", i, m)
			}
		}
		if len(got) != 3000 {
			t.Errorf("%d messages arrived, want 3000", len(got))
		}
	})
}

// TestAssemblyBudget: 100 streams each announce a message at the limit and withhold
// its last byte. The server accepts one maximal message and a few MiB.
func TestAssemblyBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 4 << 20
		p, _ := scriptClient(t, setup{server: h2grpc.ServerConfig{MaxRecvMessageSize: size}})
		message := grpcMsg(strings.Repeat("x", size))
		at := map[uint32]int{}
		total, most := 0, 0
		window := func(id uint32) int {
			return min(p.window(id, at[id]), firstWindow+p.granted[0]-total, 256<<10, len(message)-1-at[id])
		}
		send := func(id uint32) bool {
			n := window(id)
			if n <= 0 {
				return false
			}
			p.data(id, 0, message[at[id]:at[id]+n])
			at[id] += n
			total += n
			p.take()
			return true
		}
		for id := uint32(1); id < 200; id += 2 {
			p.headers(id, 0, request(unaryMethod)...)
			p.take()
		}
		for again := true; again; {
			again = false
			for id := uint32(1); id < 200; id += 2 {
				again = send(id) || again
			}
		}
		most = 100*streamWindow + size + 4<<20
		if total > most {
			t.Errorf("the server took %d MiB of unfinished messages, want at most %d", total>>20, most>>20)
		}
		p.want("nobody is refused")
		if at[1] != len(message)-1 {
			t.Errorf("the oldest message got window for %d bytes, want all", at[1])
		}
		// Each that ends admits the next ones, until all have been answered.
		for id := uint32(1); id < 200; id += 2 {
			for send(id) {
			}
			if at[id] != len(message)-1 {
				t.Fatalf("stream %d is stuck after %d bytes", id, at[id])
			}
			p.data(id, endStream, "x")
			p.windowUpdate(0, size+5)
			p.windowUpdate(id, size+5)
			total++
			p.take()
			if sent(t, p.held, id) != len(message) {
				t.Fatalf("stream %d was not answered", id)
			}
			p.held = nil
		}
	})
}

// TestUnreadLargeMessage: one large message that is not read delays neither small
// calls nor other large messages.
func TestUnreadLargeMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := make(chan struct{})
		cc, _ := start(t, setup{server: h2grpc.ServerConfig{MaxRecvMessageSize: 24 << 20}, service: &testService{
			unary: echo,
			stream: func(s h2grpc.ServerStream) error {
				<-read
				return echoStream(s)
			},
		}})
		stream, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		large := raw(strings.Repeat("x", 20<<20))
		sent := make(chan error, 1)
		go func() { sent <- stream.SendMsg(&large) }()
		synctest.Wait()
		other := make(chan error, 1)
		go func() {
			var err error
			for range 2 {
				var out raw
				in := raw(strings.Repeat("y", 20<<20))
				if err = cc.Invoke(t.Context(), unaryMethod, &in, &out); err != nil {
					break
				}
			}
			other <- err
		}()
		synctest.Wait()
		select {
		case err := <-other:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("other calls wait for a reader that does not read")
		}
		close(read)
		if err := <-sent; err != nil {
			t.Error(err)
		}
		var back raw
		if err := stream.RecvMsg(&back); err != nil || len(back) != len(large) {
			t.Errorf("the large message came back as %d bytes, %v", len(back), err)
		}
		stream.CloseSend()
		if err := stream.RecvMsg(new(raw)); err != io.EOF {
			t.Error(err)
		}
	})
}

// TestLateData: what a server sent on streams that the client has cancelled
// does not end the connection, however many they were.
func TestLateData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		for range 300 {
			if _, err := cc.NewStream(ctx, &serverDesc, serverMethod); err != nil {
				t.Fatal(err)
			}
		}
		p.take()
		for id := uint32(1); id < 600; id += 2 {
			p.headers(id, 0, response()...)
		}
		cancel()
		p.take()
		p.held = nil
		for range 100 {
			for id := uint32(1); id < 600; id += 2 {
				p.data(id, 0, grpcMsg("late"))
			}
		}
		for id := uint32(1); id < 600; id += 2 {
			p.headers(id, endStream, "grpc-status=0")
		}
		call := invoke(t.Context(), cc, "q")
		p.want("the connection is as good as before", "HEADERS 601 …", "DATA 601 …")
		p.headers(601, 0, response()...)
		p.data(601, 0, grpcMsg("a"))
		p.headers(601, endStream, "grpc-status=0")
		if r := <-call; r.err != nil || r.reply != "a" {
			t.Errorf("got %q, %v", r.reply, r.err)
		}
	})
}

// TestLargeHeaderFrame: once a large message has made us advertise frames of 1 MiB, a
// header block may arrive in one frame as long as the limit of the list allows, and
// not before.
func TestLargeHeaderFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		p.headers(1, 0, request(unaryMethod)...)
		p.data(1, 0, grpcMsg(strings.Repeat("x", streamWindow))[:16<<10])
		p.want("a large message begins")
		p.headers(3, 0, request(unaryMethod, "big="+strings.Repeat("\x7f", 50_000))...)
		p.data(3, endStream, grpcMsg("x"))
		p.want("a header block of 50 kB in one frame", replied(3, "x")...)
	})
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		p.headers(1, 0, request(unaryMethod, "big="+strings.Repeat("\x7f", 50_000))...)
		p.wantEnd("a large frame that was not advertised", "GOAWAY …FRAME_SIZE_ERROR…")
	})
}
