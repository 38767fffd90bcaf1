package h2grpc_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// silent is a Logger that drops everything.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

// warnings is a Logger that keeps warnings.
type warnings struct {
	silent
	mu   sync.Mutex
	list []string // guarded by mu
}

func (w *warnings) Warn(text string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, fmt.Sprint(text, args))
}

func (w *warnings) take() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list, w.list = w.list, nil
	return list
}

// TestParkedStreams: as many idle streams as the server allows. They go on working;
// further calls wait, within their deadlines, and that is logged after a while; and
// when a stream ends, a waiting call goes on, one after the other.
func TestParkedStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 50
		log := new(warnings)
		cc, _ := start(t, setup{
			server:  h2grpc.ServerConfig{MaxConcurrentStreams: limit},
			client:  h2grpc.ClientConfig{Logger: log},
			service: &testService{unary: echo, stream: echoStream},
		})
		if err := cc.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		var parked []h2grpc.ClientStream
		for range limit {
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			parked = append(parked, s)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := cc.Invoke(short, unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a call beyond the limit: %v", err)
		}
		if _, err := cc.NewStream(short, &bidiDesc, bidiMethod); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a stream beyond the limit: %v", err)
		}
		if list := log.take(); list != nil {
			t.Errorf("a second of waiting is logged: %q", list)
		}
		calls := []<-chan result{invoke(t.Context(), cc, "0"), invoke(t.Context(), cc, "1")}
		advance(15 * time.Second)
		if list := log.take(); len(list) != 1 || !strings.Contains(list[0], "[allowed 50 waiting 2]") {
			t.Errorf("after 15 seconds the log has %q", list)
		}
		calls = append(calls, invoke(t.Context(), cc, "2"))
		advance(time.Minute)
		if list := log.take(); len(list) > 1 {
			t.Errorf("a minute later the log has %q", list)
		}
		for i, s := range parked {
			want := fmt.Sprint("message ", i)
			var got raw
			if err := s.SendMsg(msg(want)); err != nil {
				t.Fatal(err)
			}
			if err := s.RecvMsg(&got); err != nil || string(got) != want {
				t.Fatalf("parked stream %d: %q, %v", i, got, err)
			}
		}
		for i := range calls {
			if len(calls[i]) > 0 {
				t.Errorf("call %d did not wait", i)
			}
		}
		parked[0].CloseSend()
		if err := parked[0].RecvMsg(new(raw)); err != io.EOF {
			t.Errorf("the end of a stream: %v", err)
		}
		for i := range calls {
			if r := <-calls[i]; r.err != nil || r.reply != fmt.Sprint(i) {
				t.Errorf("call %d: %q, %v", i, r.reply, r.err)
			}
		}
	})
}

// TestClientSendWindows: a server changes SETTINGS_INITIAL_WINDOW_SIZE and grants
// window while a client sends (RFC 9113 §6.9.2).
func TestClientSendWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		wrote := make(chan error, 1)
		go func() { wrote <- s.SendMsg(msg(strings.Repeat("x", 1_000_000))) }()
		got := 0
		want := func(sentence string, n int) {
			t.Helper()
			p.take()
			if i := slices.IndexFunc(p.held, func(l string) bool { return strings.Contains(l, "RST") || strings.Contains(l, "GOAWAY") }); i >= 0 {
				t.Fatalf("%s: got %s", sentence, p.held[i])
			}
			got += sent(t, p.held, 1)
			p.held = nil
			if got != n {
				t.Fatalf("%s: %d bytes were sent, want %d", sentence, got, n)
			}
		}
		want("the initial window is 100", 100)
		p.windowUpdate(1, 1)
		want("one more", 101)
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 150})
		want("the initial window is 150 now", 151)
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		want("windows may become negative", 151)
		p.windowUpdate(1, 150)
		want("and are paid back first", 151)
		p.windowUpdate(1, 2)
		want("paid back", 153)
		p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 2 << 20})
		want("now the connection's window ends", firstWindow)
		p.windowUpdate(0, 1<<20)
		want("everything", 1_000_005)
		if err := <-wrote; err != nil {
			t.Error(err)
		}
	})
}

// TestClientWindowsFollowStreams: a client changes its own initial window while
// streams are open, and accepts what it has granted.
func TestClientWindowsFollowStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		first := p.initial
		var streams []h2grpc.ClientStream
		for range 100 {
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			streams = append(streams, s)
			p.take()
		}
		if p.initial >= first {
			t.Errorf("a hundred streams have windows of %d bytes, as the first had", p.initial)
		}
		p.held = nil
		// What the windows allow is accepted on each of them.
		size := make([]int, len(streams))
		for i := range streams {
			id := uint32(2*i + 1)
			size[i] = min(p.window(id, 0), 10_000) - 5
			p.headers(id, 0, response()...)
			p.data(id, 0, grpcMsg(strings.Repeat("y", size[i])))
		}
		for i, s := range streams {
			var out raw
			if err := s.RecvMsg(&out); err != nil || len(out) != size[i] {
				t.Fatalf("stream %d: %d bytes, %v", i, len(out), err)
			}
			p.headers(uint32(2*i+1), endStream, "grpc-status=0")
			if err := s.RecvMsg(&out); err != io.EOF {
				t.Fatalf("the end of stream %d: %v", i, err)
			}
		}
		p.take()
		p.held = nil
		advance(2 * time.Second)
		for id := uint32(201); id < 210; id += 2 {
			call := invoke(t.Context(), cc, "x")
			p.want("a call", fmt.Sprintf("HEADERS %d …", id), fmt.Sprintf("DATA %d …", id))
			p.headers(id, 0, response()...)
			p.data(id, 0, grpcMsg("z"))
			p.headers(id, endStream, "grpc-status=0")
			if r := <-call; r.err != nil {
				t.Fatal(r.err)
			}
		}
		if p.initial != first {
			t.Errorf("after a while windows are %d bytes, want %d", p.initial, first)
		}
	})
}

// TestPaddingCounts: padding uses window like data, and is granted again like
// data (RFC 9113 §6.9.1), on both ends.
func TestPaddingCounts(t *testing.T) {
	const frames = 20_000 // 5 MB of padding, which is more than any window
	send := func(t *testing.T, p *script, id uint32, body string) {
		t.Helper()
		total, conn := 0, firstWindow
		for i := range len(body) {
			const size = 1 + 1 + 255
			if p.window(id, total) < size || conn+p.granted[0]-total < size {
				p.take()
			}
			if w, c := p.window(id, total), conn+p.granted[0]-total; w < size || c < size {
				t.Fatalf("after %d frames the stream's window is %d and the connection's %d", i, w, c)
			}
			p.frame(http2.FrameData, http2.FlagDataPadded, id, "\xff"+body[i:i+1]+strings.Repeat("\x00", 255))
			total += size
		}
	}
	body := grpcMsg(strings.Repeat("x", frames))
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
			return msg(fmt.Sprint(len(*in))), nil
		}}})
		p.headers(1, 0, request(unaryMethod)...)
		send(t, p, 1, body)
		p.data(1, endStream, "")
		p.want("the server has it all", replied(1, fmt.Sprint(frames))...)
	})
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		call := invoke(t.Context(), cc, "q")
		p.want("a call", "HEADERS 1 …", "DATA 1 …")
		p.headers(1, 0, response()...)
		send(t, p, 1, body)
		p.headers(1, endStream, "grpc-status=0")
		if r := <-call; r.err != nil || len(r.reply) != frames {
			t.Errorf("the client has %d bytes, %v", len(r.reply), r.err)
		}
	})
}

// TestClientManyFields: the number of small fields is bounded, in headers and in
// trailers, and the compression state stays correct.
func TestClientManyFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{MaxHeaderListSize: 1 << 20})
		many := strings.Repeat("\x00\x01c\x00", 1025)
		for i, c := range []struct {
			head, trailer string
			want          codes.Code
		}{{many, "", codes.ResourceExhausted}, {"", many, codes.ResourceExhausted}, {"", "", codes.OK}} {
			id := uint32(2*i + 1)
			call := invoke(t.Context(), cc, "x")
			p.take()
			p.held = nil
			p.frame(http2.FrameHeaders, endHeaders, id, p.block(response("x=y")...)+c.head)
			p.data(id, 0, grpcMsg("a"))
			p.frame(http2.FrameHeaders, endHeaders|endStream, id, p.block("grpc-status=0", "x=y")+c.trailer)
			if r := <-call; status.Code(r.err) != c.want {
				t.Errorf("call %d: %v, want %v", i, r.err, c.want)
			}
		}
	})
}
