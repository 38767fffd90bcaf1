package h2grpc_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
)

// replied are the frames of a unary call's answer.
func replied(id uint32, payload string) []string {
	return []string{
		fmt.Sprintf("HEADERS %d :status=200 content-type=application/grpc", id),
		fmt.Sprintf("DATA %d %q", id, grpcMsg(payload)),
		fmt.Sprintf("HEADERS %d grpc-status=0 END_STREAM", id),
	}
}

// requestCase is what a client sends on stream 1 and what a server answers.
type requestCase struct {
	name    string
	request func(p *script)
	want    []string // the last one a GOAWAY: the connection ends
}

func requestCases() []requestCase {
	open := func(p *script, more ...string) { p.headers(1, 0, request(unaryMethod, more...)...) }
	text := func(status string) string {
		return "HEADERS 1 :status=" + status + " content-type=text/plain; charset=utf-8 grpc-status="
	}
	trailersOnly := "HEADERS 1 :status=200 content-type=application/grpc grpc-status="
	const protocolError = "RST_STREAM 1 PROTOCOL_ERROR"
	return []requestCase{
		{"a call", func(p *script) { open(p); p.data(1, endStream, grpcMsg("q")) }, replied(1, "q")},
		{"an empty message", func(p *script) { open(p); p.data(1, endStream, grpcMsg("")) }, replied(1, "")},
		{"END_STREAM in a frame of its own", func(p *script) { open(p); p.data(1, 0, grpcMsg("q")); p.data(1, endStream, "") }, replied(1, "q")},
		{"END_STREAM in trailers", func(p *script) { open(p); p.data(1, 0, grpcMsg("q")); p.headers(1, endStream, "x=y") }, replied(1, "q")},
		{"padded frames", func(p *script) {
			p.frame(http2.FrameHeaders, endHeaders|http2.FlagHeadersPadded|http2.FlagHeadersPriority, 1, "\x02\x00\x00\x00\x00\x10"+p.block(request(unaryMethod)...)+"\x00\x00")
			p.frame(http2.FrameData, http2.FlagDataPadded, 1, "\x02"+grpcMsg("q")+"\x00\x00")
			p.frame(http2.FrameData, http2.FlagDataPadded|endStream, 1, "\x05\x00\x00\x00\x00\x00")
		}, replied(1, "q")},
		{"CONTINUATION", func(p *script) {
			block := p.block(request(unaryMethod)...)
			p.frame(http2.FrameHeaders, 0, 1, block[:1])
			p.frame(http2.FrameContinuation, 0, 1, "")
			p.frame(http2.FrameContinuation, 0, 1, block[1:4])
			p.frame(http2.FrameContinuation, endHeaders, 1, block[4:])
			p.data(1, endStream, grpcMsg("q"))
		}, replied(1, "q")},
		{"a content length", func(p *script) { open(p, "content-length=6"); p.data(1, endStream, grpcMsg("q")) }, replied(1, "q")},
		{"values with white space around, as grpc-go sends them", func(p *script) { open(p, "x= y\t"); p.data(1, endStream, grpcMsg("q")) }, replied(1, "q")},
		{"host in place of :authority", func(p *script) {
			p.headers(1, 0, ":method=POST", ":scheme=http", ":path="+unaryMethod, "host=h", "content-type=application/grpc")
			p.data(1, endStream, grpcMsg("q"))
		}, replied(1, "q")},
		{"a subtype", func(p *script) {
			p.headers(1, 0, ":method=POST", ":scheme=http", ":path="+unaryMethod, "content-type=application/grpc+proto;y=z")
			p.data(1, endStream, grpcMsg("q"))
		}, replied(1, "q")},

		{"an unknown method", func(p *script) { p.headers(1, endStream, request("/test.Service/Nothing")...) },
			[]string{trailersOnly + "12 grpc-accept-encoding=identity grpc-message=unknown method \"Nothing\"…END_STREAM"}},
		{"an unknown service", func(p *script) { p.headers(1, endStream, request("/test.Nothing/Unary")...) },
			[]string{trailersOnly + "12 …unknown service…END_STREAM"}},
		{"an unknown method, the client not done", func(p *script) { p.headers(1, 0, request("/test.Service/Nothing")...) },
			[]string{trailersOnly + "12 …END_STREAM", "RST_STREAM 1 NO_ERROR"}},
		{"an unknown encoding", func(p *script) { open(p, "grpc-encoding=br"); p.data(1, endStream, grpcMsg("q")) },
			[]string{trailersOnly + "12 grpc-accept-encoding=identity …END_STREAM", "RST_STREAM 1 NO_ERROR"}},
		{"compressed without an encoding", func(p *script) { open(p); p.data(1, endStream, "\x01\x00\x00\x00\x01a") }, []string{trailersOnly + "13 …compress…END_STREAM"}},
		{"no message", func(p *script) { open(p); p.data(1, endStream, "") }, []string{trailersOnly + "12 …no message…END_STREAM"}},
		{"no message, HEADERS alone", func(p *script) { p.headers(1, endStream, request(unaryMethod)...) }, []string{trailersOnly + "12 …no message…END_STREAM"}},
		{"two messages", func(p *script) { open(p); p.data(1, 0, grpcMsg("q")); p.data(1, 0, grpcMsg("r")) },
			[]string{trailersOnly + "12 …more than one message…END_STREAM", "RST_STREAM 1 NO_ERROR"}},
		{"two messages in one frame", func(p *script) { open(p); p.data(1, 0, grpcMsg("q")+grpcMsg("r")) },
			[]string{trailersOnly + "12 …more than one message…END_STREAM", "RST_STREAM 1 NO_ERROR"}},
		{"a truncated message", func(p *script) { open(p); p.data(1, endStream, grpcMsg("quest")[:7]) }, []string{trailersOnly + "13 …inside a message…END_STREAM"}},
		{"a truncated prefix", func(p *script) { open(p); p.data(1, endStream, "\x00\x00") }, []string{trailersOnly + "13 …inside a message…END_STREAM"}},
		{"an unknown flag", func(p *script) { open(p); p.data(1, endStream, "\x07\x00\x00\x00\x00") }, []string{trailersOnly + "13 …flag 7…END_STREAM…"}},
		{"a message above the limit", func(p *script) { open(p); p.data(1, 0, "\x00\x00\x00\x03\xe9") },
			[]string{trailersOnly + "8 …1001 bytes…1000…END_STREAM", "RST_STREAM 1 NO_ERROR"}},
		{"a deadline of zero", func(p *script) { open(p, "grpc-timeout=0n"); p.data(1, endStream, grpcMsg("q")) },
			[]string{trailersOnly + "4 …END_STREAM", "RST_STREAM 1 NO_ERROR"}},
		{"a malformed time-out", func(p *script) { open(p, "grpc-timeout=123456789S") }, []string{text("400") + "13…", "DATA 1 …END_STREAM", "RST_STREAM 1 NO_ERROR"}},
		{"a time-out without a unit", func(p *script) { open(p, "grpc-timeout=1") }, []string{text("400") + "13…", "DATA 1 …END_STREAM", "RST_STREAM 1 NO_ERROR"}},
		{"a huge time-out", func(p *script) { open(p, "grpc-timeout=99999999H"); p.data(1, endStream, grpcMsg("q")) }, replied(1, "q")},
		{"malformed base64", func(p *script) { open(p, "x-bin=???") }, []string{text("400") + "13…", "DATA 1 …END_STREAM", "RST_STREAM 1 NO_ERROR"}},

		{"GET", func(p *script) { p.headers(1, endStream, ":method=GET", ":scheme=http", ":path=/", ":authority=h") }, []string{text("405") + "13…", "DATA 1 …END_STREAM"}},
		{"another content type", func(p *script) {
			p.headers(1, endStream, ":method=POST", ":scheme=http", ":path="+unaryMethod, "content-type=application/grpc-web")
		}, []string{text("415") + "13…", `DATA 1 "…application/grpc-web…" END_STREAM`}},
		{"no content type", func(p *script) { p.headers(1, endStream, ":method=POST", ":scheme=http", ":path="+unaryMethod) }, []string{text("415") + "13…", "DATA 1 …END_STREAM"}},
		{"headers above the limit", func(p *script) { open(p, "x="+strings.Repeat("x", 2000)) }, []string{text("431") + "8…", "DATA 1 …END_STREAM", "RST_STREAM 1 NO_ERROR"}},
		{"a header string above the limit", func(p *script) { open(p, "x="+strings.Repeat("x", 10_000)) }, []string{text("431") + "8…", "DATA 1 …END_STREAM", "RST_STREAM 1 NO_ERROR"}},
		{"a header string that no block has room for", func(p *script) { p.frame(http2.FrameHeaders, endHeaders, 1, "\x00\x01x\x7f\x81\xff\xff\x7f") },
			[]string{`GOAWAY 1 ENHANCE_YOUR_CALM "header block with a string of more than…`}},
		{"two hosts", func(p *script) { open(p, "host=a", "host=b") }, []string{text("400") + "13…", "DATA 1 …END_STREAM", "RST_STREAM 1 NO_ERROR"}},

		{"a path without a slash", func(p *script) { p.headers(1, 0, request(unaryMethod[1:])...) }, []string{protocolError}},
		{"an empty path", func(p *script) { p.headers(1, 0, request("")...) }, []string{protocolError}},
		{"no path", func(p *script) { p.headers(1, 0, ":method=POST", ":scheme=http", "content-type=application/grpc") }, []string{protocolError}},
		{"no method", func(p *script) { p.headers(1, 0, ":scheme=http", ":path=/", "content-type=application/grpc") }, []string{protocolError}},
		{"no scheme", func(p *script) { p.headers(1, 0, ":method=POST", ":path=/", "content-type=application/grpc") }, []string{protocolError}},
		{"a path twice", func(p *script) { p.headers(1, 0, ":method=POST", ":path=/", ":path=/", ":scheme=http") }, []string{protocolError}},
		{"a pseudo-header field after a regular one", func(p *script) { p.headers(1, 0, ":method=POST", ":path=/", "x=y", ":scheme=http") }, []string{protocolError}},
		{"an unknown pseudo-header field", func(p *script) { open(p, ":x=y") }, []string{protocolError}},
		{"a response's pseudo-header field", func(p *script) { p.headers(1, 0, ":status=200", ":method=POST", ":path=/", ":scheme=http") }, []string{protocolError}},
		{"an upper-case name", func(p *script) { open(p, "X=y") }, []string{protocolError}},
		{"a name with a space", func(p *script) { open(p, "x y=z") }, []string{protocolError}},
		{"a value with a NUL", func(p *script) { open(p, "x=\x00") }, []string{protocolError}},
		{"a value with white space around, as grpc-go sends it", func(p *script) { open(p, "x= y "); p.data(1, endStream, grpcMsg("q")) }, replied(1, "q")},
		{"connection", func(p *script) { open(p, "connection=keep-alive") }, []string{protocolError}},
		{"transfer-encoding", func(p *script) { open(p, "transfer-encoding=chunked") }, []string{protocolError}},
		{"te other than trailers", func(p *script) {
			p.headers(1, 0, ":method=POST", ":scheme=http", ":path="+unaryMethod, "te=gzip", "content-type=application/grpc")
		}, []string{protocolError}},
		{"a stream that depends on itself", func(p *script) {
			p.frame(http2.FrameHeaders, endHeaders|http2.FlagHeadersPriority, 1, "\x00\x00\x00\x01\x10"+p.block(request(unaryMethod)...))
		}, []string{protocolError}},
		{"PRIORITY of a stream on itself", func(p *script) { open(p); p.frame(http2.FramePriority, 0, 1, "\x00\x00\x00\x01\x10") }, []string{protocolError}},
		{"more than content-length", func(p *script) { open(p, "content-length=5"); p.data(1, 0, grpcMsg("q")) }, []string{protocolError}},
		{"less than content-length", func(p *script) { open(p, "content-length=7"); p.data(1, endStream, grpcMsg("q")) }, []string{protocolError}},
		{"content-length below zero", func(p *script) { open(p, "content-length=-1") }, []string{protocolError}},
		{"a second HEADERS without END_STREAM", func(p *script) { open(p); p.headers(1, 0, "x=y") }, []string{protocolError}},
		{"pseudo-header fields in trailers", func(p *script) { open(p); p.data(1, 0, grpcMsg("q")); p.headers(1, endStream, ":path=/") }, []string{protocolError}},
		{"a stream's window of zero more", func(p *script) { open(p); p.windowUpdate(1, 0) }, []string{protocolError}},
		{"a stream's window above 2³¹−1", func(p *script) { open(p); p.windowUpdate(1, 1<<31-1) }, []string{"RST_STREAM 1 FLOW_CONTROL_ERROR"}},
		{"DATA after the end of the stream", func(p *script) {
			p.headers(1, endStream, request(bidiMethod)...)
			p.pause()
			p.data(1, 0, "x")
		}, []string{trailersOnly + "0 END_STREAM", "RST_STREAM 1 STREAM_CLOSED"}},

		{"CONTINUATION of another stream", func(p *script) {
			p.frame(http2.FrameHeaders, 0, 1, p.block(request(unaryMethod)...))
			p.frame(http2.FrameContinuation, endHeaders, 3, "")
		}, []string{"GOAWAY 1 PROTOCOL_ERROR…"}},
		{"DATA inside a header block", func(p *script) { p.frame(http2.FrameHeaders, 0, 1, ""); p.data(1, 0, "x") }, []string{"GOAWAY 1 PROTOCOL_ERROR…"}},
		{"PING inside a header block", func(p *script) { p.frame(http2.FrameHeaders, 0, 1, ""); p.ping("12345678") }, []string{"GOAWAY 1 PROTOCOL_ERROR…"}},
		{"CONTINUATION without HEADERS", func(p *script) { open(p); p.frame(http2.FrameContinuation, endHeaders, 1, "") }, []string{"GOAWAY 1 PROTOCOL_ERROR…"}},
		{"a broken header block", func(p *script) { p.frame(http2.FrameHeaders, endHeaders, 1, "\xff\xff\xff\xff\xff\xff") }, []string{"GOAWAY 1 COMPRESSION_ERROR…"}},
		{"a header block cut short", func(p *script) { p.frame(http2.FrameHeaders, endHeaders, 1, "\x40\x05ab") }, []string{"GOAWAY 1 COMPRESSION_ERROR…"}},
		{"padding of HEADERS longer than the frame", func(p *script) { p.frame(http2.FrameHeaders, endHeaders|http2.FlagHeadersPadded, 1, "\x09a") },
			[]string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"padding of DATA longer than the frame", func(p *script) { open(p); p.frame(http2.FrameData, http2.FlagDataPadded, 1, "\x04ab\x00") },
			[]string{"GOAWAY 1 PROTOCOL_ERROR…"}},
		{"an even stream", func(p *script) { p.headers(2, endStream, request(unaryMethod)...) }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"stream zero", func(p *script) { p.headers(0, endStream, request(unaryMethod)...) }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"DATA for stream zero", func(p *script) { p.data(0, 0, "x") }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"DATA for a stream that is idle", func(p *script) { p.data(1, 0, "x") }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"RST_STREAM for a stream that is idle", func(p *script) { p.reset(1, http2.ErrCodeCancel) }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"WINDOW_UPDATE for a stream that is idle", func(p *script) { p.windowUpdate(1, 1) }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"RST_STREAM of the wrong length", func(p *script) { open(p); p.frame(http2.FrameRSTStream, 0, 1, "abc") }, []string{"GOAWAY 1 FRAME_SIZE_ERROR…"}},
		{"the connection's window of zero more", func(p *script) { p.windowUpdate(0, 0) }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"the connection's window above 2³¹−1", func(p *script) { p.windowUpdate(0, 1<<31-1) }, []string{"GOAWAY 0 FLOW_CONTROL_ERROR…"}},
		{"PING of the wrong length", func(p *script) { p.ping("1234567") }, []string{"GOAWAY 0 FRAME_SIZE_ERROR…"}},
		{"PING on a stream", func(p *script) { p.frame(http2.FramePing, 0, 1, "12345678") }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"SETTINGS on a stream", func(p *script) { p.frame(http2.FrameSettings, 0, 1, "") }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"SETTINGS of the wrong length", func(p *script) { p.frame(http2.FrameSettings, 0, 0, "abcde") }, []string{"GOAWAY 0 FRAME_SIZE_ERROR…"}},
		{"an acknowledgement with content", func(p *script) { p.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, "abcdef") }, []string{"GOAWAY 0 FRAME_SIZE_ERROR…"}},
		{"a window of 2³¹", func(p *script) { p.settings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}) }, []string{"GOAWAY 0 FLOW_CONTROL_ERROR…"}},
		{"frames of zero", func(p *script) { p.settings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 0}) }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"frames of 2²⁴", func(p *script) { p.settings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 24}) }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"ENABLE_PUSH of two", func(p *script) { p.settings(http2.Setting{ID: http2.SettingEnablePush, Val: 2}) }, []string{"GOAWAY 0 PROTOCOL_ERROR…"}},
		{"PUSH_PROMISE", func(p *script) { open(p); p.frame(http2.FramePushPromise, endHeaders, 1, u32(2)+"\x82") }, []string{"GOAWAY 1 PROTOCOL_ERROR…"}},
		{"PRIORITY of the wrong length", func(p *script) { open(p); p.frame(http2.FramePriority, 0, 1, "abc") }, []string{"RST_STREAM 1 FRAME_SIZE_ERROR"}},
		{"a frame beyond the limit", func(p *script) { p.bytes([]byte{0x20, 0, 0, 0, 0, 0, 0, 0, 1}) }, []string{"GOAWAY 0 FRAME_SIZE_ERROR…"}},
		{"HEADERS for a stream that is closed", func(p *script) {
			p.headers(1, endStream, request("/a/b")...)
			p.pause()
			p.headers(1, endStream, request("/a/b")...)
		}, []string{trailersOnly + "…", "GOAWAY 1 STREAM_CLOSED…"}},
		{"an id that goes down", func(p *script) {
			p.headers(5, endStream, request("/a/b")...)
			p.headers(1, endStream, request("/a/b")...)
		}, []string{"HEADERS 5…", "GOAWAY 5 …"}},
	}
}

// TestRequests checks the answers of a server that accepts messages of 1000 bytes and
// headers of 2000, and that it still answers a call on stream 3 unless the connection
// has ended.
func TestRequests(t *testing.T) {
	for _, c := range requestCases() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := scriptClient(t, setup{server: h2grpc.ServerConfig{MaxRecvMessageSize: 1000, MaxHeaderListSize: 2000}})
				c.request(p)
				if last := c.want[len(c.want)-1]; strings.Contains(last, "GOAWAY") {
					p.wantEnd(c.name, c.want...)
					return
				}
				p.want(c.name, c.want...)
				p.headers(3, 0, request(unaryMethod)...)
				p.data(3, endStream, grpcMsg("next"))
				p.want("the next call works", replied(3, "next")...)
			})
		})
	}
}
