package h2grpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestClientPreface: RFC 9113 §3.4.
func TestClientPreface(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(p *script)
		want string
	}{
		{"HTTP/1.1", func(p *script) { p.bytes([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) }, `GOAWAY 0 PROTOCOL_ERROR "not an HTTP/2 client preface: …`},
		{"another byte at the end", func(p *script) { p.bytes([]byte(http2.ClientPreface[:23] + "x")) }, "GOAWAY 0 PROTOCOL_ERROR …"},
		{"PING first", func(p *script) { p.bytes([]byte(http2.ClientPreface)); p.ping("12345678") }, `GOAWAY 0 PROTOCOL_ERROR "first frame is PING, not SETTINGS"`},
		{"HEADERS first", func(p *script) {
			p.bytes([]byte(http2.ClientPreface))
			p.headers(1, endStream, request(unaryMethod)...)
		}, "GOAWAY 0 PROTOCOL_ERROR …"},
		{"an acknowledgement first", func(p *script) {
			p.bytes([]byte(http2.ClientPreface))
			p.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, "")
		}, "GOAWAY 0 PROTOCOL_ERROR …"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := bareClient(t, setup{})
				c.send(p)
				p.wantEnd(c.name, "SETTINGS", c.want)
			})
		})
	}
	t.Run("cut short", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe()
			srv := h2grpc.NewServer(nil)
			served := make(chan error)
			go func() { served <- srv.ServeConn(t.Context(), b) }()
			go io.Copy(io.Discard, a)
			a.Write([]byte("PRI * HT"))
			a.Close()
			if err := <-served; err == nil {
				t.Errorf("got %v", err)
			}
		})
	})
}

// TestHandshakeTimeout: peers that send nothing, or only a part.
func TestHandshakeTimeout(t *testing.T) {
	for _, said := range []string{"", http2.ClientPreface[:10], http2.ClientPreface, http2.ClientPreface + "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00"} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := bareClient(t, setup{server: h2grpc.ServerConfig{HandshakeTimeout: 7 * time.Second}})
			p.bytes([]byte(said))
			advance(6 * time.Second)
			p.want("there is time left", "SETTINGS")
			advance(3 * time.Second)
			p.want(fmt.Sprintf("a client that says %q and no more", said), "GOAWAY 0 SETTINGS_TIMEOUT …", "closed")
		})
	}
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		go io.Copy(io.Discard, b)
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{
			Dial:           func(context.Context) (net.Conn, error) { return a, nil },
			ConnectTimeout: 7 * time.Second,
		})
		began := time.Now()
		err := cc.Connect(t.Context())
		if err == nil || !strings.Contains(err.Error(), "HTTP/2") || time.Since(began) > 8*time.Second {
			t.Errorf("a server that says nothing: got %v after %v", err, time.Since(began))
		}
		cc.Close()
	})
}

// TestSettingsAck: the connection of a peer that never acknowledges SETTINGS ends.
func TestSettingsAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := bareClient(t, setup{})
		p.bytes([]byte(http2.ClientPreface))
		p.settings()
		p.want("the preface", "SETTINGS", "SETTINGS ack")
		advance(40 * time.Second)
		p.want("no ack for 40 s", "GOAWAY 0 SETTINGS_TIMEOUT …", "closed")
	})
	// So does that of one that does not acknowledge the first SETTINGS, whatever follows
	// them.
	synctest.Test(t, func(t *testing.T) {
		p, cc := bareServer(t, h2grpc.ClientConfig{})
		p.settings()
		for range 10 {
			if _, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod); err != nil {
				t.Fatal(err)
			}
			advance(2 * time.Second)
		}
		advance(15 * time.Second)
		p.take()
		p.held = slices.DeleteFunc(p.held, func(l string) bool { return !strings.HasPrefix(l, "GOAWAY") && l != "closed" })
		p.want("no ack for 35 s", "GOAWAY 0 SETTINGS_TIMEOUT …", "closed")
	})
	// A client that a debugger has stopped when the server changes the windows is waited
	// for.
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		for id := uint32(1); id < 40; id += 2 {
			p.headers(id, 0, request(bidiMethod)...)
		}
		synctest.Wait()
		advance(4 * time.Minute)
		p.want("the acknowledgement, some minutes later")
		p.headers(41, 0, request(unaryMethod)...)
		p.data(41, endStream, grpcMsg("x"))
		p.want("a call", replied(41, "x")...)
	})
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		for id := uint32(1); id < 40; id += 2 {
			p.headers(id, 0, request(bidiMethod)...)
		}
		advance(6 * time.Minute)
		p.wantEnd("not for ever", "GOAWAY 39 SETTINGS_TIMEOUT …")
	})
}

// TestUnfinishedHeaderBlock: a header block delays the connection, so it must end,
// even if its parts go on arriving. A client that a debugger has stopped in the
// middle of one is waited for.
func TestUnfinishedHeaderBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		block := p.block(request("/a/b")...)
		p.frame(http2.FrameHeaders, endStream, 1, block[:10])
		advance(4 * time.Minute)
		p.frame(http2.FrameContinuation, endHeaders, 1, block[10:])
		p.want("the rest, some minutes later", "HEADERS 1 …grpc-status=12 …")
		p.frame(http2.FrameHeaders, 0, 3, p.block(request(unaryMethod)...))
		for range 31 {
			time.Sleep(10 * time.Second)
			p.frame(http2.FrameContinuation, 0, 3, "")
		}
		p.wantEnd("no end for more than 5 minutes", "GOAWAY 3 ENHANCE_YOUR_CALM …")
	})
}

// TestAbortInsideHeaderBlock: a connection that is being ended is not kept alive
// by a header block that begins then and never ends.
func TestAbortInsideHeaderBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := bareClient(t, setup{})
		p.bytes([]byte(http2.ClientPreface))
		p.settings()
		p.want("a server begins with SETTINGS, which are not acknowledged", "SETTINGS", "SETTINGS ack")
		advance(30*time.Second - time.Microsecond)
		// One write: the reader has all of it when it rests, and the time has passed.
		p.bytes(recorded(func(p *script) {
			for range 1000 {
				p.windowUpdate(0, 1)
			}
			p.frame(http2.FrameHeaders, 0, 1, "")
		}))
		for range 8 {
			time.Sleep(time.Second)
			p.frame(http2.FrameContinuation, 0, 1, "")
		}
		p.want("the connection does not go on", "GOAWAY 1 SETTINGS_TIMEOUT …", "closed")
	})
}

// TestServerFirstFrame: a client's error for a server that does not speak HTTP/2.
func TestServerFirstFrame(t *testing.T) {
	for first, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n\r\n":             "HTTP/1",
		"\x15\x03\x01\x00\x02\x02\x16":                 "TLS",
		"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678": "first frame is PING",
		"1|5|unix|/tmp/x|grpc\n":                       "…",
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := net.Pipe()
			go io.Copy(io.Discard, b)
			go func() {
				b.Write([]byte(first))
				time.Sleep(time.Second)
				b.Close()
			}()
			cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(context.Context) (net.Conn, error) { return a, nil }})
			err := cc.Invoke(t.Context(), unaryMethod, msg("q"), new(raw))
			if status.Code(err) != codes.Unavailable || (want != "…" && !strings.Contains(err.Error(), want)) {
				t.Errorf("a server that begins with %q: got %v, want UNAVAILABLE and %q", first, err, want)
			}
			cc.Close()
		})
	}
}

// TestHeaderTableSize: SETTINGS_HEADER_TABLE_SIZE in the middle of a connection
// (RFC 9113 §6.5.2).
func TestHeaderTableSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		id := uint32(1)
		for _, size := range []uint32{4096, 0, 0, 4096, 1 << 20, 64, 0} {
			p.settings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: size})
			p.want("SETTINGS are acknowledged", "SETTINGS ack")
			p.table.Store(min(size, 4096))
			for range 3 {
				p.headers(id, 0, request(unaryMethod)...)
				p.data(id, endStream, grpcMsg("x"))
				p.want(fmt.Sprintf("an answer for a table of %d bytes", size), replied(id, "x")...)
				id += 2
			}
		}
	})
}

func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		p.ping("abcdefgh")
		p.ping("\x00\xff\x00\xff\x00\xff\x00\xff")
		p.want("PINGs are answered exactly", `PING ack "abcdefgh"`, `PING ack "\x00\xff\x00\xff\x00\xff\x00\xff"`)
	})
}

// TestClientGoAway: RFC 9113 §6.8 on a client.
func TestClientGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		stream := &h2grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
		first, err := cc.NewStream(t.Context(), stream, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		second, err := cc.NewStream(t.Context(), stream, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		p.want("two streams", "HEADERS 1 …", "HEADERS 3 …")
		p.goAway(1, http2.ErrCodeEnhanceYourCalm, "calm \"down\"\n")
		synctest.Wait()
		err = second.RecvMsg(new(raw))
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), `ENHANCE_YOUR_CALM: "calm \"down\"\n"`) {
			t.Errorf("a stream above the last id: got %v", err)
		}
		p.headers(1, 0, response()...)
		p.data(1, 0, grpcMsg("a"))
		if err := first.RecvMsg(new(raw)); err != nil {
			t.Errorf("the last stream goes on: got %v", err)
		}
		if err := first.SendMsg(msg("b")); err != nil {
			t.Errorf("the last stream can send: got %v", err)
		}
		p.want("on the wire", `DATA 1 "\x00\x00\x00\x00\x01b"`)
		if err := cc.Invoke(t.Context(), unaryMethod, msg(""), new(raw)); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "one connection") {
			t.Errorf("a new call makes a new connection, which fails here: got %v", err)
		}
		p.headers(1, endStream, "grpc-status=0")
		if err := first.RecvMsg(new(raw)); err != io.EOF {
			t.Errorf("the last stream ends well: got %v", err)
		}
		p.want("the client has not half-closed, and closes after its last stream", "RST_STREAM 1 NO_ERROR", "GOAWAY 0 NO_ERROR …", "closed")
	})
}

// TestGoAwayThenLoss: the text of the GOAWAY explains the loss of the other calls.
func TestGoAwayThenLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		call := invoke(t.Context(), cc, "q")
		p.want("a call", requestFrames...)
		p.goAway(1, http2.ErrCodeInternal, "out of memory")
		p.nc.Close()
		if r := <-call; status.Code(r.err) != codes.Unavailable || !strings.Contains(r.err.Error(), "out of memory") {
			t.Errorf("got %v", r.err)
		}
	})
}

func TestGoAwayOfAnEvenStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptServer(t, h2grpc.ClientConfig{})
		p.goAway(2, http2.ErrCodeNo, "")
		p.wantEnd("a server has no streams of its own", "GOAWAY 0 PROTOCOL_ERROR …")
	})
}

// script2 gives a client several scripted connections in turn.
func script2(t *testing.T, settings ...http2.Setting) (*h2grpc.ClientConn, func() *script) {
	conns := make(chan net.Conn, 10)
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(context.Context) (net.Conn, error) {
		a, b := net.Pipe()
		conns <- b
		return a, nil
	}})
	t.Cleanup(func() { cc.Close() })
	return cc, func() *script {
		t.Helper()
		synctest.Wait()
		var b net.Conn
		select {
		case b = <-conns:
		default:
			t.Fatal("the client does not connect")
		}
		if _, err := io.CopyN(io.Discard, b, int64(len(http2.ClientPreface))); err != nil {
			t.Fatal(err)
		}
		p := newScript(t, b)
		go p.read()
		p.settings(settings...)
		p.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, "")
		p.take()
		p.held = p.held[2:]
		return p
	}
}

// TestTransparentRetry: gRFC A6. A unary call that the server certainly did not
// process is tried once more, and others are not.
func TestTransparentRetry(t *testing.T) {
	answer := func(p *script, id uint32) {
		p.headers(id, 0, response()...)
		p.data(id, 0, grpcMsg("a"))
		p.headers(id, endStream, "grpc-status=0")
	}
	wantOK := func(t *testing.T, call <-chan result) {
		t.Helper()
		if r := <-call; r.err != nil || r.reply != "a" {
			t.Errorf("got %q, %v", r.reply, r.err)
		}
	}
	wantCode := func(t *testing.T, call <-chan result, code codes.Code) {
		t.Helper()
		if r := <-call; status.Code(r.err) != code {
			t.Errorf("got %q, %v, want %v", r.reply, r.err, code)
		}
	}
	again := []string{"HEADERS 3 …", "DATA 3 …END_STREAM"}
	for name, run := range map[string]func(t *testing.T, p *script, next func() *script, call <-chan result){
		"REFUSED_STREAM": func(t *testing.T, p *script, _ func() *script, call <-chan result) {
			p.reset(1, http2.ErrCodeRefusedStream)
			p.want("a refused call is tried again", again...)
			answer(p, 3)
			wantOK(t, call)
		},
		"REFUSED_STREAM twice": func(t *testing.T, p *script, _ func() *script, call <-chan result) {
			p.reset(1, http2.ErrCodeRefusedStream)
			p.want("a refused call is tried again", again...)
			p.reset(3, http2.ErrCodeRefusedStream)
			p.want("once")
			wantCode(t, call, codes.Unavailable)
		},
		"REFUSED_STREAM after the response's head": func(t *testing.T, p *script, _ func() *script, call <-chan result) {
			p.headers(1, 0, response()...)
			p.reset(1, http2.ErrCodeRefusedStream)
			p.want("not again")
			wantCode(t, call, codes.Unavailable)
		},
		"CANCEL": func(t *testing.T, p *script, _ func() *script, call <-chan result) {
			p.reset(1, http2.ErrCodeCancel)
			p.want("not again")
			wantCode(t, call, codes.Canceled)
		},
		"GOAWAY below the call": func(t *testing.T, p *script, next func() *script, call <-chan result) {
			p.goAway(0, http2.ErrCodeNo, "")
			q := next()
			q.want("tried again on a new connection", requestFrames...)
			answer(q, 1)
			wantOK(t, call)
		},
		"GOAWAY at the call, then the end": func(t *testing.T, p *script, _ func() *script, call <-chan result) {
			p.goAway(1, http2.ErrCodeNo, "")
			p.nc.Close()
			wantCode(t, call, codes.Unavailable)
		},
		"the connection is lost": func(t *testing.T, p *script, _ func() *script, call <-chan result) {
			p.nc.Close()
			wantCode(t, call, codes.Unavailable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cc, next := script2(t)
				call := invoke(t.Context(), cc, "q")
				p := next()
				p.want("the first try", requestFrames...)
				run(t, p, next, call)
			})
		})
	}
}

// TestServerShutdownFrames: a server sends GOAWAY twice, so that calls on their way
// are not lost.
func TestServerShutdownFrames(t *testing.T) {
	for _, acks := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p, srv := scriptClient(t, setup{})
			p.headers(1, 0, request(bidiMethod)...)
			done := make(chan error, 1)
			go func() { done <- srv.Shutdown(context.Background()) }()
			p.take()
			if len(p.held) != 2 || p.held[0] != `GOAWAY 2147483647 NO_ERROR ""` || !strings.HasPrefix(p.held[1], "PING ") {
				t.Fatalf("a graceful end begins with GOAWAY and PING: %q", p.held)
			}
			var ping [8]byte
			fmt.Sscanf(p.held[1], "PING %q", (*quoted)(&ping))
			p.held = nil
			p.headers(3, 0, request(unaryMethod)...)
			p.data(3, endStream, grpcMsg("late"))
			p.want("a call that was on its way is served", replied(3, "late")...)
			if acks {
				p.frame(http2.FramePing, http2.FlagPingAck, 0, string(ping[:]))
			} else {
				advance(6 * time.Second)
			}
			p.want("then the real last id", `GOAWAY 3 NO_ERROR ""`)
			p.headers(5, 0, request(unaryMethod)...)
			p.data(5, 0, grpcMsg("too late")[:3])
			p.data(5, endStream, grpcMsg("too late")[3:])
			p.windowUpdate(5, 1)
			p.reset(5, http2.ErrCodeCancel)
			p.want("a later call is ignored")
			p.data(1, endStream, grpcMsg("bye"))
			p.wantEnd("the stream that was open ends well", replied(1, "bye")...)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

type quoted [8]byte

func (q *quoted) Scan(s fmt.ScanState, _ rune) error {
	var text string
	if _, err := fmt.Fscanf(s, "%q", &text); err != nil || len(text) != 8 {
		return errors.New("not 8 bytes")
	}
	copy(q[:], text)
	return nil
}
