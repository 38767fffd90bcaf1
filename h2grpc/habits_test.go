package h2grpc_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// What gRPC's other implementations do that is correct and uncommon.

// lastPossible is the id in a GOAWAY that only announces the end.
const lastPossible = 1<<31 - 1

// answers answers the call on a stream with a message.
func (p *script) answers(id uint32, reply string) {
	p.headers(id, 0, response()...)
	p.data(id, 0, grpcMsg(reply))
	p.headers(id, endStream, "grpc-status=0")
}

func wantReply(t *testing.T, sentence string, call <-chan result, want string) {
	t.Helper()
	if r := <-call; r.err != nil || r.reply != want {
		t.Errorf("%s: got %q, %v, want %q", sentence, r.reply, r.err, want)
	}
}

// TestServersThatGoAway checks the ways in which servers end.
func TestServersThatGoAway(t *testing.T) {
	for name, run := range map[string]func(t *testing.T, cc *h2grpc.ClientConn, next func() *script){
		// grpc-go, grpc-java, gRPC's C core from 1.46 on and Rust's h2 first announce the
		// end, learn from a PING when the client knows, and then send which calls they have
		// accepted.
		"in two steps": func(t *testing.T, cc *h2grpc.ClientConn, next func() *script) {
			first := invoke(t.Context(), cc, "q")
			p := next()
			p.want("a call", requestFrames...)
			p.goAway(lastPossible, http2.ErrCodeNo, "")
			p.ping("going...")
			p.want("the PING behind GOAWAY is answered", `PING ack "going..."`)
			second := invoke(t.Context(), cc, "q")
			q := next()
			q.want("a new call is for a new connection", requestFrames...)
			p.goAway(1, http2.ErrCodeNo, "")
			p.ping("gone....")
			p.want("and so is one behind the last GOAWAY", `PING ack "gone...."`)
			p.answers(1, "late")
			wantReply(t, "the call that was at work", first, "late")
			p.wantEnd("nothing is left to do", `GOAWAY 0 NO_ERROR ""`)
			q.answers(1, "a")
			wantReply(t, "the new call", second, "a")
		},
		// The same with a call that the server never accepted.
		"in two steps, short of a call": func(t *testing.T, cc *h2grpc.ClientConn, next func() *script) {
			first := invoke(t.Context(), cc, "q")
			p := next()
			second := invoke(t.Context(), cc, "q")
			p.want("two calls", append(requestFrames, "HEADERS 3 …", "DATA 3 …")...)
			p.goAway(lastPossible, http2.ErrCodeNo, "")
			p.want("an announcement ends no call")
			p.goAway(1, http2.ErrCodeNo, "")
			q := next()
			q.want("the call that was not taken is tried again", requestFrames...)
			q.answers(1, "again")
			wantReply(t, "the call that was not taken", second, "again")
			p.answers(1, "a")
			wantReply(t, "the call that was taken", first, "a")
		},
		// A server that is told to end while a client connects, or that has passed its
		// maximal age, as grpc-java's can.
		"before any call": func(t *testing.T, cc *h2grpc.ClientConn, next func() *script) {
			connected := make(chan error, 1)
			go func() { connected <- cc.Connect(t.Context()) }()
			p := next()
			if err := <-connected; err != nil {
				t.Fatal(err)
			}
			p.goAway(0, http2.ErrCodeNo, "")
			p.wantEnd("the connection has no use", `GOAWAY 0 NO_ERROR ""`)
			call := invoke(t.Context(), cc, "q")
			q := next()
			q.want("a call is for a new connection", requestFrames...)
			q.answers(1, "a")
			wantReply(t, "the call", call, "a")
		},
		// Python's h2 sends one GOAWAY, and its users close the connection after the last
		// answer, as grpclib does.
		"and hang up": func(t *testing.T, cc *h2grpc.ClientConn, next func() *script) {
			call := invoke(t.Context(), cc, "q")
			p := next()
			p.want("a call", requestFrames...)
			p.goAway(1, http2.ErrCodeNo, "")
			p.answers(1, "a")
			p.nc.Close()
			wantReply(t, "the call", call, "a")
			call = invoke(t.Context(), cc, "q")
			q := next()
			q.want("the next call", requestFrames...)
			q.answers(1, "b")
			wantReply(t, "the next call", call, "b")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cc, next := script2(t)
				run(t, cc, next)
			})
		})
	}
}

// TestResetBehindTrailers: nghttp2, which is Node's, and Netty reset a stream whose
// client may still send, after a complete answer.
func TestResetBehindTrailers(t *testing.T) {
	for _, code := range []codes.Code{codes.OK, codes.NotFound} {
		synctest.Test(t, func(t *testing.T) {
			p, cc := scriptServer(t, h2grpc.ClientConfig{})
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			p.headers(1, 0, response()...)
			p.data(1, 0, grpcMsg("a"))
			p.headers(1, endStream, fmt.Sprintf("grpc-status=%d", code))
			p.reset(1, http2.ErrCodeNo)
			p.want("the client gives the stream up, too, and nothing else", "HEADERS 1 …", "RST_STREAM 1 NO_ERROR")
			var got raw
			if err := s.RecvMsg(&got); err != nil || string(got) != "a" {
				t.Errorf("the message: %q, %v", got, err)
			}
			if err := s.RecvMsg(&got); (code == codes.OK) != (err == io.EOF) || (code != codes.OK && status.Code(err) != code) {
				t.Errorf("the end, which is %v: %v", code, err)
			}
		})
	}
}

// TestPeersWithoutWindow: peers whose streams begin with no window, or with one byte.
// gRPC's C core has none to grant when its memory is scarce, and grants what it is
// ready to read, or sends new SETTINGS, when there is some again.
func TestPeersWithoutWindow(t *testing.T) {
	window := func(n uint32) http2.Setting {
		return http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}
	}
	const request5 = `"\x00\x00\x00\x00\x01q"`
	for _, initial := range []uint32{0, 1} {
		// drip grants single bytes, an hour apart, and returns what was sent.
		drip := func(p *script, id uint32, n int) (data string) {
			for range n {
				p.take()
				for _, l := range p.held {
					var got uint32
					var text string
					if c, _ := fmt.Sscanf(l, "DATA %d %q", &got, &text); c != 2 || got != id || len(text) > 1 {
						p.t.Fatalf("got %s, want one byte on stream %d", l, id)
					}
					data += text
				}
				p.held = nil
				advance(time.Hour)
				p.windowUpdate(id, 1)
			}
			return data
		}
		t.Run(fmt.Sprint("a client's call, ", initial), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cc := scriptServer(t, h2grpc.ClientConfig{}, window(initial))
				call := invoke(t.Context(), cc, "q")
				p.take()
				if len(p.held) == 0 || !matches("HEADERS 1 …", p.held[0]) {
					t.Fatalf("headers need no window: got %q", p.held)
				}
				p.held = p.held[1:]
				data := drip(p, 1, 6-int(initial))
				p.want("the last byte ends the request", `DATA 1 "q" END_STREAM`)
				if want := "\x00\x00\x00\x00\x01"; data != want {
					t.Errorf("the request began with %q, want %q", data, want)
				}
				p.answers(1, "a")
				wantReply(t, "the call", call, "a")
			})
		})
		t.Run(fmt.Sprint("a client's stream, ", initial), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cc := scriptServer(t, h2grpc.ClientConfig{}, window(initial))
				s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.CloseSend(); err != nil {
					t.Fatal(err)
				}
				p.want("the end alone needs no window", "HEADERS 1 …", `DATA 1 "" END_STREAM`)
			})
		})
		t.Run(fmt.Sprint("a server's answer, ", initial), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := scriptClient(t, setup{server: h2grpc.ServerConfig{StallTimeout: -1}}, window(initial))
				p.headers(1, 0, request(unaryMethod)...)
				p.data(1, endStream, grpcMsg("q"))
				p.take()
				if len(p.held) == 0 || !matches("HEADERS 1 …", p.held[0]) {
					t.Fatalf("headers need no window: got %q", p.held)
				}
				p.held = p.held[1:]
				data := drip(p, 1, 6-int(initial))
				p.want("the last byte, and the trailers behind it", `DATA 1 "q"`, "HEADERS 1 grpc-status=0 END_STREAM")
				if want := "\x00\x00\x00\x00\x01"; data != want {
					t.Errorf("the answer began with %q, want %q", data, want)
				}
				p.headers(3, endStream, request("/no/method")...)
				p.want("an error needs no window", "HEADERS 3 …grpc-status=12 …END_STREAM")
			})
		})
	}
	t.Run("new SETTINGS", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, cc := scriptServer(t, h2grpc.ClientConfig{}, window(0))
			call := invoke(t.Context(), cc, "q")
			p.want("headers need no window", "HEADERS 1 …")
			advance(time.Hour)
			p.settings(window(1 << 20))
			p.want("SETTINGS open streams", "SETTINGS ack", "DATA 1 "+request5+" END_STREAM")
			p.answers(1, "a")
			wantReply(t, "the call", call, "a")
		})
	})
}

// TestNoUnaskedPings: the servers of grpc-go, grpc-java and gRPC's C core end a
// connection, with ENHANCE_YOUR_CALM and too_many_pings, on which PINGs arrive more
// often than every five minutes, or every two hours without a call. A client that is
// not configured to sends none, whatever happens, and neither does a server.
func TestNoUnaskedPings(t *testing.T) {
	quiet := func(p *script, sentence string) {
		p.t.Helper()
		advance(24 * time.Hour)
		p.take()
		for _, l := range p.held {
			if strings.HasPrefix(l, "PING") || strings.HasPrefix(l, "GOAWAY") || l == "closed" {
				p.t.Errorf("%s: got %s", sentence, l)
			}
		}
		p.held = nil
	}
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{MaxRecvMessageSize: 32 << 20})
		quiet(p, "a day without a call")
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		quiet(p, "a day with a call that rests")
		p.headers(1, 0, response()...)
		rest, sent := grpcMsg(strings.Repeat("x", 16<<20)), 0
		got := make(chan error, 1)
		go func() { got <- s.RecvMsg(new(raw)) }()
		for len(rest) > 0 {
			n := min(p.window(1, sent), p.granted[0]+firstWindow-sent, 16<<10, len(rest))
			if n <= 0 {
				t.Fatalf("the window is used up with %d bytes to go", len(rest))
			}
			p.data(1, 0, rest[:n])
			sent, rest = sent+n, rest[n:]
			p.take()
		}
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		quiet(p, "a message of 16 MiB")
	})
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		quiet(p, "a day without a call")
		p.headers(1, 0, request(bidiMethod)...)
		p.data(1, 0, grpcMsg(strings.Repeat("x", 1<<14)))
		quiet(p, "a day with a call that rests")
	})
}
