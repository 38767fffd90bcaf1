package h2grpc_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// TestPingStrikes: gRPC's keepalive document. A third early PING ends the connection
// if the server sets a time.
func TestPingStrikes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{server: h2grpc.ServerConfig{MinPingInterval: time.Minute}})
		acks := func(n int) []string { return slices.Repeat([]string{`PING ack "12345678"`}, n) }
		pings := func(n int) {
			for range n {
				p.ping("12345678")
			}
		}
		for range 5 {
			pings(1)
			advance(time.Minute)
		}
		p.want("PINGs a minute apart are in time", acks(5)...)
		pings(1)
		for range 100 {
			advance(59 * time.Second)
			pings(1)
			advance(61 * time.Second)
			pings(1)
		}
		p.want("so are those that are a minute apart on average", acks(201)...)
		advance(time.Hour)
		pings(60)
		p.want("and those of an hour that come when a debugger lets the server go on", acks(60)...)
		p.headers(1, endStream, request("/a/b")...)
		p.want("an answer", "HEADERS 1 …grpc-status=12 …")
		pings(3)
		p.want("after it the first is free, and two are too many but borne", acks(3)...)
		pings(1)
		p.wantEnd("the third is not", `GOAWAY 1 ENHANCE_YOUR_CALM "too_many_pings"`)
	})
}

// TestUnlimitedPings: without a limit a client may send any number of PINGs, and all
// that it sent while a debugger had stopped the server are answered.
func TestUnlimitedPings(t *testing.T) {
	for _, every := range []time.Duration{0, 10 * time.Millisecond, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := scriptClient(t, setup{})
			const pings = 5000
			for range pings {
				p.ping("12345678")
				time.Sleep(every)
			}
			p.take()
			advance(time.Second)
			p.take()
			if len(p.held) != pings {
				t.Errorf("%d of %d PINGs every %v are answered", len(p.held), pings, every)
			}
			p.held = nil
		})
	}
}

// TestPingsOnData: grpc-go's clients measure the connection with a PING whenever they
// receive something, and get no strikes for it.
func TestPingsOnData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{
			server:  h2grpc.ServerConfig{MinPingInterval: 5 * time.Minute},
			service: &testService{stream: echoStream},
		})
		p.headers(1, 0, request(bidiMethod)...)
		for i := range 1000 {
			p.data(1, 0, grpcMsg("x"))
			p.take()
			if len(p.held) == 0 || !strings.HasPrefix(p.held[len(p.held)-1], "DATA 1 ") {
				t.Fatalf("message %d: got %v", i, p.held)
			}
			p.held = nil
			p.ping("estimate")
			p.want("the PING is answered", `PING ack "estimate"`)
			p.windowUpdate(0, 6)
			p.windowUpdate(1, 6)
		}
		p.data(1, endStream, "")
		p.want("the call ends as it should", "HEADERS 1 grpc-status=0 END_STREAM")
	})
}

// TestHeaderBudget: calls with many headers are refused once all of them take too
// much, and accepted again when others have ended.
func TestHeaderBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			<-s.Context().Done()
			return nil
		}}})
		fields := request(bidiMethod, "big="+strings.Repeat("x", 15_000))
		id, open := uint32(1), 0
		for ; len(p.held) == 0; id += 2 {
			p.headers(id, 0, fields...)
			p.take()
			if open++; open > 1000 {
				t.Fatal("a thousand calls with 15 KB of headers each")
			}
		}
		if open < 100 {
			t.Errorf("only %d calls with 15 KB of headers were taken", open-1)
		}
		p.want("there is no room for one more", fmt.Sprintf("RST_STREAM %d REFUSED_STREAM", id-2))
		p.headers(id, 0, request(bidiMethod)...)
		p.want("one with few headers is taken")
		p.reset(1, http2.ErrCodeCancel)
		p.take()
		p.held = nil
		p.headers(id+2, 0, fields...)
		p.want("the first has ended")
	})
}

// TestTooManySettings: RFC 9113 defines six settings.
func TestTooManySettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		many := make([]http2.Setting, 101)
		for i := range many {
			many[i] = http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)}
		}
		p.settings(many[:100]...)
		p.want("a hundred are taken", "SETTINGS ack")
		p.settings(many...)
		p.wantEnd("more are not", "GOAWAY 0 ENHANCE_YOUR_CALM …")
	})
}

// TestSmallMessages: messages that wait share memory, and arrive one by one as
// they were sent.
func TestSmallMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := make(chan struct{})
		var got []string
		p, _ := scriptClient(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			<-read
			for {
				var m raw
				if err := s.RecvMsg(&m); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				got = append(got, string(m))
			}
		}}})
		p.headers(1, 0, request(bidiMethod)...)
		var want []string
		for _, size := range []int{0, 1, 3000, 2, 0, 0, 500, 5000, 0, 1} {
			var frames strings.Builder
			for i := range 7 {
				m := strings.Repeat(string(rune('a'+i)), size)
				want = append(want, m)
				frames.WriteString(grpcMsg(m))
			}
			p.data(1, 0, frames.String())
		}
		p.take()
		close(read)
		p.data(1, endStream, "")
		p.want("the call ends", "HEADERS 1 …grpc-status=0 END_STREAM")
		if len(got) != len(want) {
			t.Fatalf("%d messages arrived, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("message %d is %.20q of %d bytes, want %.20q of %d", i, got[i], len(got[i]), want[i], len(want[i]))
			}
		}
	})
}

// TestStalledResponse: a unary response that gets no window is reset, and one that
// gets some is not.
func TestStalledResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{
			server:  h2grpc.ServerConfig{StallTimeout: time.Minute},
			service: &testService{unary: echo, stream: echoStream},
		}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		p.headers(1, 0, request(unaryMethod)...)
		p.data(1, endStream, grpcMsg("hello"))
		p.headers(3, 0, request(unaryMethod)...)
		p.data(3, endStream, grpcMsg("hello"))
		p.headers(5, 0, request(bidiMethod)...)
		p.data(5, 0, grpcMsg("hello"))
		p.take()
		p.held = nil // the heads
		for range 10 {
			advance(50 * time.Second)
			p.windowUpdate(3, 1)
		}
		p.take()
		resets := 0
		for _, l := range p.held {
			switch {
			case l == "RST_STREAM 1 CANCEL":
				resets++
			case !strings.HasPrefix(l, "DATA 3 ") && !strings.HasPrefix(l, "HEADERS 3 "):
				t.Errorf("got %s", l)
			}
		}
		if resets != 1 {
			t.Errorf("got %v, want a reset of stream 1 among it", p.held)
		}
		p.held = nil
		p.windowUpdate(5, 100)
		p.want("a stream waits for ever", `DATA 5 "\x00\x00\x00\x00\x05hello"`)
		p.data(5, endStream, "")
		p.want("and ends as it should", "HEADERS 5 grpc-status=0 END_STREAM")
	})
}

// TestUntakenResponses: if a client reads no responses, no more of its calls begin;
// all of them begin once it reads.
func TestUntakenResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls, size = 200, 100 << 10
		var begun atomic.Int32
		p, _ := scriptClient(t, setup{service: &testService{unary: func(context.Context, *raw) (*raw, error) {
			begun.Add(1)
			return msg(strings.Repeat("x", size)), nil
		}}}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		// One after the other: calls that come at once may all begin before the
		// first has anything to send.
		for i := range uint32(calls) {
			p.headers(2*i+1, 0, request(unaryMethod)...)
			p.data(2*i+1, endStream, grpcMsg("x"))
			advance(2 * time.Millisecond)
		}
		if n := begun.Load(); n > 4<<20/size+5 {
			t.Errorf("%d of %d calls have begun although no response is taken", n, calls)
		}
		// One that is cancelled while it waits does not begin later.
		p.reset(2*calls-1, http2.ErrCodeCancel)
		p.windowUpdate(0, 1<<30)
		got := 0
		for i := range uint32(calls) {
			p.windowUpdate(2*i+1, size+5)
			p.take()
		}
		advance(time.Second)
		p.take()
		for _, l := range p.held {
			if strings.Contains(l, "grpc-status=0") {
				got++
			}
		}
		p.held = nil
		if n := begun.Load(); got != calls-1 || n != calls-1 {
			t.Errorf("%d calls were answered and %d begun, want %d", got, n, calls-1)
		}
	})
}

// TestWindowsFollowStreams: the more streams may send, the smaller their windows,
// and they grow again.
func TestWindowsFollowStreams(t *testing.T) {
	needs(t, fastpath.LoneWindow)
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{service: &testService{unary: echo, stream: echoStream}})
		const streams = 100
		for i := range uint32(streams) {
			p.headers(2*i+1, 0, request(bidiMethod)...)
		}
		for range 5 {
			p.take() // each acknowledgement may bring a smaller window
		}
		p.want("a hundred streams are taken")
		if p.initial > 16<<10 {
			t.Errorf("a hundred streams have windows of %d bytes", p.initial)
		}
		for i := range uint32(streams) {
			p.data(2*i+1, endStream, "")
		}
		p.take()
		p.held = nil
		if p.initial > 16<<10 {
			t.Errorf("windows grow to %d bytes at once", p.initial)
		}
		advance(2 * time.Second)
		p.headers(2*streams+1, 0, request(unaryMethod)...)
		p.data(2*streams+1, endStream, grpcMsg("x"))
		p.want("one more call", replied(2*streams+1, "x")...)
		if p.initial != loneWindow {
			t.Errorf("after a while windows are %d bytes, want %d", p.initial, loneWindow)
		}
		p.headers(2*streams+3, 0, request(unaryMethod)...)
		p.data(2*streams+3, endStream, grpcMsg(strings.Repeat("x", loneWindow-5)))
		p.windowUpdate(2*streams+3, loneWindow)
		p.windowUpdate(0, loneWindow)
		p.take()
		if n := sent(t, p.held, 2*streams+3); n != loneWindow {
			t.Errorf("a message as large as the window came back as %d bytes", n)
		}
		p.held = nil
	})
}
