package h2grpc_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// A call whose frames arrive in one piece, with header blocks that have arrived
// before, ends like one whose frames arrive one by one, whatever is wrong with them.

// wholeResponseCases are answers to a call on stream 1 that are nearly usual.
func wholeResponseCases() []responseCase {
	head := func(p *script) { p.headers(1, 0, response()...) }
	ok := func(p *script) { p.headers(1, endStream, "grpc-status=0") }
	usual := func(p *script) { head(p); p.data(1, 0, grpcMsg("a")); ok(p) }
	between := func(f func(p *script)) func(*script) {
		return func(p *script) {
			head(p)
			f(p)
			p.data(1, 0, grpcMsg("a"))
			f(p)
			ok(p)
			f(p)
		}
	}
	data := func(flags http2.Flags, payload string) func(*script) {
		return func(p *script) { head(p); p.frame(http2.FrameData, flags, 1, payload); ok(p) }
	}
	list := []responseCase{{name: "the usual", answer: usual}}
	for name, answer := range map[string]func(p *script){
		"twice":                       func(p *script) { usual(p); usual(p) },
		"a call that has ended":       func(p *script) { p.shift -= 2; usual(p); p.shift += 2 },
		"a call that has not begun":   func(p *script) { p.shift += 2; usual(p); p.shift -= 2 },
		"an even stream":              func(p *script) { p.shift++; usual(p); p.shift-- },
		"PING between":                between(func(p *script) { p.ping("12345678") }),
		"RST_STREAM between":          between(func(p *script) { p.reset(1, http2.ErrCodeCancel) }),
		"WINDOW_UPDATE between":       between(func(p *script) { p.windowUpdate(1, 1) }),
		"GOAWAY between":              between(func(p *script) { p.goAway(0, http2.ErrCodeNo, "bye") }),
		"an unknown frame between":    between(func(p *script) { p.frame(0xf0, 0, 1, "x") }),
		"empty DATA between":          between(func(p *script) { p.data(1, 0, "") }),
		"a message more between":      between(func(p *script) { p.data(1, 0, grpcMsg("b")) }),
		"DATA of another call":        func(p *script) { head(p); p.data(3, 0, grpcMsg("a")); ok(p) },
		"trailers of another call":    func(p *script) { head(p); p.data(1, 0, grpcMsg("a")); p.headers(3, endStream, "grpc-status=0") },
		"trailers without END_STREAM": func(p *script) { head(p); p.data(1, 0, grpcMsg("a")); p.headers(1, 0, "grpc-status=0") },
		"trailers as a head":          func(p *script) { p.headers(1, 0, "grpc-status=0"); p.data(1, 0, grpcMsg("a")); ok(p) },
		"a head as trailers":          func(p *script) { head(p); p.data(1, 0, grpcMsg("a")); p.headers(1, endStream, response()...) },
		"no trailers":                 func(p *script) { head(p); p.data(1, endStream, grpcMsg("a")) },
		"no message":                  func(p *script) { head(p); ok(p) },
		"trailers that go on": func(p *script) {
			head(p)
			p.data(1, 0, grpcMsg("a"))
			p.frame(http2.FrameHeaders, endStream, 1, p.block("grpc-status=0"))
		},
		"an error": func(p *script) {
			head(p)
			p.data(1, 0, grpcMsg("a"))
			p.headers(1, endStream, "grpc-status=5", "grpc-message=no")
		},
		"not gRPC": func(p *script) {
			p.headers(1, 0, ":status=200", "content-type=text/html")
			p.data(1, 0, grpcMsg("a"))
			ok(p)
		},
		"another HTTP status": func(p *script) {
			p.headers(1, 0, ":status=503", "content-type=application/grpc")
			p.data(1, 0, grpcMsg("a"))
			ok(p)
		},
		"a 1xx response":             func(p *script) { p.headers(1, 0, ":status=103"); p.data(1, 0, grpcMsg("a")); ok(p) },
		"a compression not offered":  func(p *script) { p.headers(1, 0, response("grpc-encoding=zip")...); p.data(1, 0, grpcMsg("a")); ok(p) },
		"the right content-length":   func(p *script) { p.headers(1, 0, response("content-length=6")...); p.data(1, 0, grpcMsg("a")); ok(p) },
		"a wrong content-length":     func(p *script) { p.headers(1, 0, response("content-length=7")...); p.data(1, 0, grpcMsg("a")); ok(p) },
		"no content-length":          func(p *script) { p.headers(1, 0, response("content-length=x")...); p.data(1, 0, grpcMsg("a")); ok(p) },
		"a forbidden field":          func(p *script) { p.headers(1, 0, response("te=no")...); p.data(1, 0, grpcMsg("a")); ok(p) },
		"padding":                    data(http2.FlagDataPadded, "\x01"+grpcMsg("a")+"\x00"),
		"flags that mean nothing":    data(0x42, grpcMsg("a")),
		"two messages":               data(0, grpcMsg("a")+grpcMsg("b")),
		"part of a message":          data(0, grpcMsg("abc")[:7]),
		"part of a prefix":           data(0, "\x00\x00"),
		"a message and more":         data(0, grpcMsg("a")+"\x00"),
		"a compressed message":       data(0, "\x01"+grpcMsg("a")[1:]),
		"a flag that is not gRPC's":  data(0, "\x02"+grpcMsg("a")[1:]),
		"a long message":             data(0, grpcMsg(strings.Repeat("a", 900))),
		"a message that is too long": data(0, grpcMsg(strings.Repeat("a", 1001))),
		"a very long message":        data(0, grpcMsg(strings.Repeat("a", 10_000))),
	} {
		list = append(list, responseCase{name: name, answer: answer})
	}
	return list
}

func wholeRequestCases() []requestCase {
	head := func(p *script) { p.headers(1, 0, request(unaryMethod)...) }
	usual := func(p *script) { head(p); p.data(1, endStream, grpcMsg("q")) }
	with := func(fields ...string) func(*script) {
		return func(p *script) { p.headers(1, 0, fields...); p.data(1, endStream, grpcMsg("q")) }
	}
	data := func(flags http2.Flags, payload string) func(*script) {
		return func(p *script) { head(p); p.frame(http2.FrameData, flags, 1, payload) }
	}
	list := []requestCase{{name: "the usual", request: usual}}
	for name, request := range map[string]func(p *script){
		"twice":                    func(p *script) { usual(p); usual(p) },
		"a stream that was used":   func(p *script) { p.shift -= 2; usual(p); p.shift += 2 },
		"an even stream":           func(p *script) { p.shift++; usual(p); p.shift-- },
		"the next stream":          func(p *script) { p.shift += 2; usual(p); p.shift -= 2; usual(p) },
		"GOAWAY before":            func(p *script) { p.goAway(0, http2.ErrCodeNo, "bye"); usual(p) },
		"reset":                    func(p *script) { usual(p); p.reset(1, http2.ErrCodeCancel) },
		"reset before its message": func(p *script) { head(p); p.reset(1, http2.ErrCodeCancel); p.data(1, endStream, grpcMsg("q")) },
		"DATA of another call":     func(p *script) { head(p); p.data(3, endStream, grpcMsg("q")) },
		"without END_STREAM":       func(p *script) { head(p); p.data(1, 0, grpcMsg("q")) },
		"END_STREAM afterwards":    func(p *script) { head(p); p.data(1, 0, grpcMsg("q")); p.data(1, endStream, "") },
		"END_STREAM with the head": func(p *script) { p.headers(1, endStream, request(unaryMethod)...); p.data(1, endStream, grpcMsg("q")) },
		"a head that goes on": func(p *script) {
			p.frame(http2.FrameHeaders, 0, 1, p.block(request(unaryMethod)...))
			p.data(1, endStream, grpcMsg("q"))
		},
		"DATA after the end":         func(p *script) { usual(p); p.data(1, endStream, grpcMsg("q")) },
		"a stream's method":          with(request(bidiMethod)...),
		"an unknown method":          with(request("/no/no")...),
		"no path":                    with(":method=POST", ":scheme=http", "content-type=application/grpc"),
		"a response's head":          with(response()...),
		"GET":                        with(":method=GET", ":scheme=http", ":path="+unaryMethod, "content-type=application/grpc"),
		"not gRPC":                   with(":method=POST", ":scheme=http", ":path="+unaryMethod, "content-type=text/html"),
		"an unknown compression":     with(request(unaryMethod, "grpc-encoding=zip")...),
		"a deadline":                 with(request(unaryMethod, "grpc-timeout=1H")...),
		"a deadline that has passed": with(request(unaryMethod, "grpc-timeout=0n")...),
		"the right content-length":   with(request(unaryMethod, "content-length=6")...),
		"a wrong content-length":     with(request(unaryMethod, "content-length=7")...),
		"padding":                    data(http2.FlagDataPadded|endStream, "\x01"+grpcMsg("q")+"\x00"),
		"flags that mean nothing":    data(0x42|endStream, grpcMsg("q")),
		"two messages":               data(endStream, grpcMsg("q")+grpcMsg("r")),
		"part of a message":          data(endStream, grpcMsg("qrs")[:7]),
		"part of a prefix":           data(endStream, "\x00\x00"),
		"no message":                 data(endStream, ""),
		"a message and more":         data(endStream, grpcMsg("q")+"\x00"),
		"a compressed message":       data(endStream, "\x01"+grpcMsg("q")[1:]),
		"a flag that is not gRPC's":  data(endStream, "\x02"+grpcMsg("q")[1:]),
		"a long message":             data(endStream, grpcMsg(strings.Repeat("q", 900))),
		"a message that is too long": data(endStream, grpcMsg(strings.Repeat("q", 1001))),
		"a very long message":        data(endStream, grpcMsg(strings.Repeat("q", 10_000))),
	} {
		list = append(list, requestCase{name: name, request: request})
	}
	return list
}

func TestWholeResponseIsAsItsFrames(t *testing.T) {
	for _, c := range append(wholeResponseCases(), responseCases()...) {
		asItsFrames(t, c.name, func(t *testing.T, gather bool) []string { return wholeResponse(t, c, gather) })
	}
}

func TestWholeRequestIsAsItsFrames(t *testing.T) {
	needs(t, fastpath.HeaderMemo, fastpath.WholeExchange, fastpath.HandlersOnReader)
	for _, c := range append(wholeRequestCases(), requestCases()...) {
		asItsFrames(t, c.name, func(t *testing.T, gather bool) []string {
			got := wholeRequest(t, c, gather)
			// This call is complete before the frame that resets its stream, and its handler
			// is not the reader's: whether its answer is sent first is up to who runs first.
			if c.name == "END_STREAM with the head" && len(got) > 1 && strings.HasPrefix(got[0], "HEADERS 7 ") && strings.Contains(got[0], "grpc-status=12 ") {
				got = got[1:]
			}
			return got
		})
	}
}

// asItsFrames fails unless run has the same result with and without gathering the
// frames.
func asItsFrames(t *testing.T, name string, run func(t *testing.T, gather bool) []string) {
	t.Run(name, func(t *testing.T) {
		apart, together := run(t, false), run(t, true)
		if !slices.Equal(apart, together) {
			t.Errorf("frames one by one: got\n\t%s\nin one piece:\n\t%s", shorten(apart), shorten(together))
		}
	})
}

// wholeResponse returns the outcome of a call that is answered as in c, with what the
// client sends in return.
func wholeResponse(t *testing.T, c responseCase, gather bool) (got []string) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{MaxRecvMessageSize: 1000, MaxHeaderListSize: 2000})
		call := func(answer func(p *script)) {
			r := invoke(t.Context(), cc, "q")
			p.take()
			p.held = nil
			answer(p)
			p.take()
			select {
			case r := <-r:
				got = append(got, fmt.Sprint(r.reply, r.err))
			default:
				got = append(got, "the call has not ended")
			}
		}
		teach(c.answer, func(fields []string) {
			call(func(p *script) { p.headers(1, 0, fields...); p.reset(1, http2.ErrCodeCancel) })
			p.shift += 2
			call(func(p *script) {
				p.headers(1, 0, response()...)
				p.data(1, 0, grpcMsg("a"))
				p.headers(1, endStream, fields...)
			})
			p.shift += 2
		})
		p.gather = gather
		call(c.answer)
		got = append(got[len(got)-1:], p.held...)
		cc.Close()
	})
	return got
}

// teach has every header block that run sends sent before, so often that it arrives
// as references to the table and is remembered.
func teach(run func(p *script), send func(fields []string)) {
	p := new(script)
	p.enc = hpack.NewEncoder(&p.buf)
	run(p)
	for range 3 {
		for _, fields := range p.blocks {
			send(fields)
		}
	}
}

// wholeRequest returns what a server sends in return to c's request.
func wholeRequest(t *testing.T, c requestCase, gather bool) (got []string) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{server: h2grpc.ServerConfig{MaxRecvMessageSize: 1000, MaxHeaderListSize: 2000}})
		teach(c.request, func(fields []string) {
			p.headers(1, 0, fields...)
			p.data(1, endStream, grpcMsg("q"))
			p.take()
			p.shift += 2
		})
		p.held = nil
		p.gather = gather
		c.request(p)
		p.take()
		advance(time.Minute)
		p.take()
		got = p.held
	})
	return got
}

// TestWholeRequestsGrowWindows: a window that shrank in a burst of streams grows
// again beside calls that are handled whole.
func TestWholeRequestsGrowWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		p.take()
		most := p.initial
		id := uint32(1)
		for ; id < 40; id += 2 {
			p.headers(id, 0, request(bidiMethod)...)
		}
		p.take()
		if p.initial >= most {
			t.Fatalf("with 20 streams that may send the window is %d, not less than %d", p.initial, most)
		}
		for id := uint32(1); id < 40; id += 2 {
			p.reset(id, http2.ErrCodeCancel)
		}
		p.headers(id, 0, request(bidiMethod)...) // an upload
		call := func() {
			id += 2
			p.headers(id, 0, request(unaryMethod)...)
			p.data(id, endStream, grpcMsg("q"))
			p.take()
		}
		for range 3 {
			call()
		}
		advance(2 * time.Second)
		p.gather = true
		call()
		if p.initial != most {
			t.Errorf("when they have ended the window is %d, want %d", p.initial, most)
		}
	})
}
