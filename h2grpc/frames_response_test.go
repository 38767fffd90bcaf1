package h2grpc_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// requestFrames are the frames of a unary call with the request "q".
var requestFrames = []string{"HEADERS 1 :method=POST …", `DATA 1 "\x00\x00\x00\x00\x01q" END_STREAM`}

// answered makes a unary call of a client that accepts messages of 1000 bytes and
// headers of 2000, and answers it with frames. It returns the outcome of the call and
// the frames that the client sent in return.
func answered(t *testing.T, answer func(p *script)) (r result, frames []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{MaxRecvMessageSize: 1000, MaxHeaderListSize: 2000})
		call := invoke(t.Context(), cc, "q")
		p.want("a unary call is one HEADERS and one DATA", requestFrames...)
		answer(p)
		p.take()
		frames = p.held
		select {
		case r = <-call:
		default:
			t.Error("the call has not ended")
		}
		cc.Close()
	})
	return r, frames
}

// responseCase is how a server answers a unary call on stream 1, and the result on
// the client.
type responseCase struct {
	name   string
	answer func(p *script)
	code   codes.Code
	text   string   // of the reply or the error's message; "…" stands for anything
	frames []string // what the client sends in return
}

func responseCases() []responseCase {
	ok := func(p *script) { p.headers(1, endStream, "grpc-status=0") }
	head := func(p *script) { p.headers(1, 0, response()...) }
	const goAway = "GOAWAY 0 "
	return []responseCase{
		{"a well-formed response", func(p *script) { head(p); p.data(1, 0, grpcMsg("a")); ok(p) }, codes.OK, "a", nil},
		{"an empty message", func(p *script) { head(p); p.data(1, 0, grpcMsg("")); ok(p) }, codes.OK, "", nil},
		{"padded frames", func(p *script) {
			p.frame(http2.FrameHeaders, endHeaders|http2.FlagHeadersPadded, 1, "\x03"+p.block(response()...)+"\x00\x00\x00")
			p.frame(http2.FrameData, http2.FlagDataPadded, 1, "\x04"+grpcMsg("padded")[:7]+"\x00\x00\x00\x00")
			p.frame(http2.FrameData, http2.FlagDataPadded, 1, "\x00"+grpcMsg("padded")[7:])
			p.frame(http2.FrameData, http2.FlagDataPadded, 1, "\x02\x00\x00")
			ok(p)
		}, codes.OK, "padded", nil},
		{"1xx responses are skipped", func(p *script) {
			p.headers(1, 0, ":status=100")
			p.headers(1, 0, ":status=103", "link=x", "grpc-status=5")
			head(p)
			p.data(1, 0, grpcMsg("a"))
			ok(p)
		}, codes.OK, "a", nil},
		{"unknown frames and settings are skipped", func(p *script) {
			p.frame(0x0a, 0xff, 1, "what")
			p.frame(0xf0, 0, 0, "")
			head(p)
			p.settings(http2.Setting{ID: 0x99, Val: 1})
			p.data(1, 0, grpcMsg("a"))
			p.frame(http2.FramePriority, 0, 1, "\x00\x00\x00\x00\x10")
			ok(p)
		}, codes.OK, "a", []string{"SETTINGS ack"}},
		{"a status in the head does not count beside trailers", func(p *script) {
			p.headers(1, 0, response("grpc-status=5")...)
			p.data(1, 0, grpcMsg("a"))
			ok(p)
		}, codes.OK, "a", nil},
		{"other subtypes of gRPC", func(p *script) {
			p.headers(1, 0, ":status=200", "content-type=application/grpc+json")
			p.data(1, 0, grpcMsg("a"))
			ok(p)
		}, codes.OK, "a", nil},

		{"two messages in one frame", func(p *script) { head(p); p.data(1, 0, grpcMsg("a")+grpcMsg("b")); ok(p) },
			codes.Unimplemented, "…more than one message…", []string{"RST_STREAM 1 CANCEL"}},
		{"two messages in two frames", func(p *script) { head(p); p.data(1, 0, grpcMsg("a")); p.data(1, 0, grpcMsg("b")); ok(p) },
			codes.Unimplemented, "…more than one message…", []string{"RST_STREAM 1 CANCEL"}},
		{"no message", func(p *script) { head(p); ok(p) }, codes.Unimplemented, "…no message…", nil},
		{"no message, trailers only", func(p *script) { p.headers(1, endStream, response("grpc-status=0")...) },
			codes.Unimplemented, "…no message…", nil},
		{"a message and an error", func(p *script) {
			head(p)
			p.data(1, 0, grpcMsg("a"))
			p.headers(1, endStream, "grpc-status=9", "grpc-message=no%20%C3%BC%zz")
		}, codes.FailedPrecondition, "no ü%zz", nil},
		{"trailers only", func(p *script) { p.headers(1, endStream, response("grpc-status=5", "grpc-message=gone")...) }, codes.NotFound, "gone", nil},
		{"trailers without a status", func(p *script) { head(p); p.data(1, 0, grpcMsg("a")); p.headers(1, endStream, "x=y") },
			codes.Unknown, "…no grpc-status", nil},
		{"an unparsable status", func(p *script) { head(p); p.headers(1, endStream, "grpc-status=-1") }, codes.Unknown, `malformed grpc-status "-1"`, nil},
		{"a status that no int32 holds", func(p *script) { head(p); p.headers(1, endStream, "grpc-status=4294967296") }, codes.Unknown, "malformed…", nil},
		{"a status of tomorrow", func(p *script) { head(p); p.headers(1, endStream, "grpc-status=77") }, codes.Code(77), "", nil},
		{"no trailers", func(p *script) { head(p); p.data(1, endStream, grpcMsg("a")) }, codes.Internal, "…without trailers", nil},
		{"the end inside a prefix", func(p *script) { head(p); p.data(1, 0, "\x00\x00"); ok(p) }, codes.Internal, "…inside a message", nil},
		{"the end inside a message", func(p *script) { head(p); p.data(1, 0, grpcMsg("abc")[:7]); ok(p) }, codes.Internal, "…inside a message", nil},
		{"an unknown flag", func(p *script) { head(p); p.data(1, 0, "\x02\x00\x00\x00\x01a"); ok(p) },
			codes.Internal, "message with the flag 2…", []string{"RST_STREAM 1 CANCEL"}},
		{"compressed without an encoding", func(p *script) { head(p); p.data(1, 0, "\x01\x00\x00\x00\x01a"); ok(p) }, codes.Internal, "…compressed…", nil},
		{"an encoding that was not offered", func(p *script) {
			p.headers(1, 0, response("grpc-encoding=br")...)
			p.data(1, 0, grpcMsg("a"))
			ok(p)
		}, codes.Internal, `…no compressor called "br"`, nil},
		{"a message at the limit", func(p *script) { head(p); p.data(1, 0, grpcMsg(strings.Repeat("a", 1000))); ok(p) }, codes.OK, strings.Repeat("a", 1000), nil},
		{"a message above the limit", func(p *script) { head(p); p.data(1, 0, grpcMsg(strings.Repeat("a", 1001))); ok(p) },
			codes.ResourceExhausted, "received message of 1001 bytes is larger than the limit of 1000 (MaxRecvMessageSize of the client's ClientConfig, or MaxCallRecvMsgSize of the call)", []string{"RST_STREAM 1 CANCEL"}},
		{"a declared length of 4 GiB", func(p *script) { head(p); p.data(1, 0, "\x00\xff\xff\xff\xff") },
			codes.ResourceExhausted, "…4294967295…", []string{"RST_STREAM 1 CANCEL"}},
		{"headers above the limit", func(p *script) {
			p.headers(1, 0, response("x="+strings.Repeat("x", 2000))...)
			p.data(1, 0, grpcMsg("a"))
			ok(p)
		}, codes.ResourceExhausted, "…headers are larger…", nil},
		{"trailers above the limit", func(p *script) {
			head(p)
			p.data(1, 0, grpcMsg("a"))
			p.headers(1, endStream, "grpc-status=0", "x="+strings.Repeat("x", 2000))
		}, codes.ResourceExhausted, "…headers are larger…", nil},

		{"a second head", func(p *script) { head(p); head(p) }, codes.Internal, "…PROTOCOL_ERROR…", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"trailers without END_STREAM", func(p *script) { head(p); p.headers(1, 0, "grpc-status=0") },
			codes.Internal, "…second HEADERS without END_STREAM", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"a 1xx response with END_STREAM", func(p *script) { p.headers(1, endStream, ":status=100") }, codes.Internal, "…1xx…", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"DATA before HEADERS", func(p *script) { p.data(1, 0, grpcMsg("a")) }, codes.Internal, "…before HEADERS", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"no :status", func(p *script) { p.headers(1, 0, "content-type=application/grpc") }, codes.Internal, "…:status…", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"a broken :status", func(p *script) { p.headers(1, 0, ":status=20") }, codes.Internal, "…:status…", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{":status twice", func(p *script) { p.headers(1, 0, ":status=200", ":status=200") }, codes.Internal, "…twice…", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{":status in trailers", func(p *script) { head(p); p.headers(1, endStream, ":status=200", "grpc-status=0") },
			codes.Internal, "…where it may not be", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"a request's pseudo-header field", func(p *script) { p.headers(1, 0, ":status=200", ":path=/") }, codes.Internal, "…", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"an upper-case name", func(p *script) { p.headers(1, 0, response("X=y")...) }, codes.Internal, "…forbidden characters", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"a line end in a value", func(p *script) { p.headers(1, 0, response("x=a\r\nb: c")...) }, codes.Internal, "…forbidden characters", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"a connection-specific field", func(p *script) { p.headers(1, 0, response("connection=close")...) }, codes.Internal, "…", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"more bytes than content-length", func(p *script) { p.headers(1, 0, response("content-length=5")...); p.data(1, 0, grpcMsg("a")) },
			codes.Internal, "…longer than its content-length", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"fewer bytes than content-length", func(p *script) {
			p.headers(1, 0, response("content-length=7")...)
			p.data(1, 0, grpcMsg("a"))
			ok(p)
		}, codes.Internal, "…shorter than its content-length", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"content-length that is no number", func(p *script) { p.headers(1, 0, response("content-length=x")...) }, codes.Internal, "…", []string{"RST_STREAM 1 PROTOCOL_ERROR"}},

		{"a page of a web server", func(p *script) {
			p.headers(1, 0, ":status=200", "content-type=text/html")
			p.data(1, endStream, "<b>hello\x00")
		}, codes.Unknown, `…"text/html"…"<b>hello\x00"`, nil},
		{"a long page", func(p *script) {
			p.headers(1, 0, ":status=503", "content-type=text/html")
			p.data(1, 0, strings.Repeat("a", 10_000))
			p.data(1, endStream, strings.Repeat("b", 10_000))
		}, codes.Unavailable, "…503…aaa…", nil},
		{"a status beside an HTTP error", func(p *script) { p.headers(1, endStream, ":status=404", "grpc-status=7", "grpc-message=m") },
			codes.PermissionDenied, "m", nil},

		{"a header string above the limit", func(p *script) {
			p.headers(1, endStream, response("x="+strings.Repeat("x", 10_000), "grpc-status=0")...)
		},
			codes.ResourceExhausted, "…MaxHeaderListSize of the ClientConfig is 2000 bytes…", nil},
		{"a header string that no block has room for", func(p *script) { p.frame(http2.FrameHeaders, endHeaders, 1, "\x00\x01x\x7f\x81\xff\xff\x7f") },
			codes.Unavailable, "…ENHANCE_YOUR_CALM…string of more than…", []string{goAway + "ENHANCE_YOUR_CALM…"}},
		{"PUSH_PROMISE", func(p *script) {
			p.frame(http2.FramePushPromise, endHeaders, 1, u32(2)+p.block(request("/")...))
		}, codes.Unavailable, "…unexpected PUSH_PROMISE frame", []string{goAway + "PROTOCOL_ERROR…"}},
		{"a frame beyond the limit", func(p *script) { p.bytes([]byte{0x7f, 0xff, 0xff, 0, 0, 0, 0, 0, 1}) },
			codes.Unavailable, "…FRAME_SIZE_ERROR…", []string{goAway + "FRAME_SIZE_ERROR…"}},
		{"HEADERS for a stream nobody opened", func(p *script) { p.headers(3, 0, response()...) },
			codes.Unavailable, "…not opened", []string{goAway + "PROTOCOL_ERROR…"}},
		{"DATA for a stream nobody opened", func(p *script) { p.data(3, 0, "x") }, codes.Unavailable, "…not opened", []string{goAway + "PROTOCOL_ERROR…"}},
		{"a broken header block", func(p *script) { p.frame(http2.FrameHeaders, endHeaders, 1, "\xff\xff\xff\xff\xff\xff") },
			codes.Unavailable, "…COMPRESSION_ERROR…", []string{goAway + "COMPRESSION_ERROR…"}},
		{"padding longer than the frame", func(p *script) { head(p); p.frame(http2.FrameData, http2.FlagDataPadded, 1, "\x06abcd\x00") },
			codes.Unavailable, "…padding…", []string{goAway + "PROTOCOL_ERROR…"}},
		{"padding without its length", func(p *script) { head(p); p.frame(http2.FrameData, http2.FlagDataPadded, 1, "") },
			codes.Unavailable, "…pad length", []string{goAway + "FRAME_SIZE_ERROR…"}},
		{"ENABLE_PUSH", func(p *script) { p.settings(http2.Setting{ID: http2.SettingEnablePush, Val: 1}) },
			codes.Unavailable, "…PROTOCOL_ERROR…", []string{goAway + "PROTOCOL_ERROR…"}},
	}
}

// TestResponses checks the results of a server's answers to a unary call.
func TestResponses(t *testing.T) {
	for _, c := range responseCases() {
		t.Run(c.name, func(t *testing.T) {
			r, frames := answered(t, c.answer)
			text := r.reply
			if r.err != nil {
				text = status.Convert(r.err).Message()
			}
			if status.Code(r.err) != c.code || !matches(c.text, text) {
				t.Errorf("got %q, %.300v, want %v and %q", r.reply, r.err, c.code, c.text)
			}
			wantLines(t, frames, c.frames)
		})
	}
}

func wantLines(t *testing.T, got, want []string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		ok = matches(want[i], got[i])
	}
	if !ok {
		t.Errorf("the client sent\n\t%s\nwant\n\t%s", shorten(got), shorten(want))
	}
}

// TestHTTPStatus: gRPC's http-grpc-status-mapping document.
func TestHTTPStatus(t *testing.T) {
	want := map[int]codes.Code{
		204: codes.Unknown, 302: codes.Unknown, 400: codes.Internal, 401: codes.Unauthenticated, 403: codes.PermissionDenied, 404: codes.Unimplemented,
		408: codes.Unknown, 429: codes.Unavailable, 500: codes.Unknown, 502: codes.Unavailable, 503: codes.Unavailable, 504: codes.Unavailable, 999: codes.Unknown,
	}
	for number, code := range want {
		for _, only := range []bool{true, false} {
			r, _ := answered(t, func(p *script) {
				flags := http2.Flags(0)
				if only {
					flags = endStream
				}
				p.headers(1, flags, fmt.Sprintf(":status=%d", number), "content-type=application/grpc")
				if !only {
					p.headers(1, endStream, "x=y")
				}
			})
			if status.Code(r.err) != code || !strings.Contains(r.err.Error(), fmt.Sprint(number)) {
				t.Errorf("HTTP status %d: got %v, want %v", number, r.err, code)
			}
		}
	}
}

// TestResetCodes: gRPC's PROTOCOL-HTTP2 document, "Errors".
func TestResetCodes(t *testing.T) {
	want := map[http2.ErrCode]codes.Code{
		http2.ErrCodeNo: codes.Internal, http2.ErrCodeProtocol: codes.Internal, http2.ErrCodeInternal: codes.Internal, http2.ErrCodeFlowControl: codes.Internal,
		http2.ErrCodeSettingsTimeout: codes.Internal, http2.ErrCodeStreamClosed: codes.Internal, http2.ErrCodeFrameSize: codes.Internal, http2.ErrCodeCancel: codes.Canceled,
		http2.ErrCodeCompression: codes.Internal, http2.ErrCodeConnect: codes.Internal, http2.ErrCodeEnhanceYourCalm: codes.ResourceExhausted,
		http2.ErrCodeInadequateSecurity: codes.PermissionDenied, http2.ErrCodeHTTP11Required: codes.Internal, 0x99: codes.Unknown,
		http2.ErrCodeRefusedStream: codes.Unavailable,
	}
	for code, want := range want {
		for _, late := range []bool{false, true} {
			if code == http2.ErrCodeRefusedStream && !late {
				continue // tried again: TestTransparentRetry
			}
			r, frames := answered(t, func(p *script) {
				if late {
					p.headers(1, 0, response()...)
					p.data(1, 0, grpcMsg("a"))
				}
				p.reset(1, code)
			})
			if status.Code(r.err) != want {
				t.Errorf("RST_STREAM %v: got %v, want %v", code, r.err, want)
			}
			wantLines(t, frames, nil)
		}
	}
}

// TestSplitMessage cuts a response's bytes into two DATA frames at every
// offset, and into single bytes.
func TestSplitMessage(t *testing.T) {
	body := grpcMsg("hello")
	for cut := range len(body) + 1 {
		r, _ := answered(t, func(p *script) {
			p.headers(1, 0, response()...)
			p.data(1, 0, body[:cut])
			p.data(1, 0, body[cut:])
			p.headers(1, endStream, "grpc-status=0")
		})
		if r.err != nil || r.reply != "hello" {
			t.Errorf("cut at %d: got %q, %v", cut, r.reply, r.err)
		}
	}
	r, _ := answered(t, func(p *script) {
		p.headers(1, 0, response()...)
		for i := range body {
			p.data(1, 0, body[i:i+1])
		}
		p.headers(1, endStream, "grpc-status=0")
	})
	if r.err != nil || r.reply != "hello" {
		t.Errorf("single bytes: got %q, %v", r.reply, r.err)
	}
}
