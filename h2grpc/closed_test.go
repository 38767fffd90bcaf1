package h2grpc_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestForeignRequest: a request that is not gRPC is answered when it has ended, or
// after a moment, whatever its body is.
func TestForeignRequest(t *testing.T) {
	const head, body = "HEADERS 1 :status=405 content-type=text/plain; charset=utf-8 grpc-status=13…", "DATA 1 …END_STREAM"
	begin := func(t *testing.T) *script {
		p, _ := scriptClient(t, setup{})
		p.headers(1, 0, ":method=PUT", ":scheme=http", ":path=/", ":authority=h")
		p.want("a request that has not ended")
		return p
	}
	synctest.Test(t, func(t *testing.T) {
		p := begin(t)
		p.data(1, 0, "a text that is no gRPC message")
		p.want("a request whose body has begun")
		p.data(1, endStream, "")
		p.want("a request that has ended", head, body)
	})
	synctest.Test(t, func(t *testing.T) {
		p := begin(t)
		p.data(1, 0, "\x00\x00\x10\x00\x00 what looks like the beginning of a message")
		advance(time.Second)
		p.want("a request that does not end", head, body, "RST_STREAM 1 NO_ERROR")
	})
	synctest.Test(t, func(t *testing.T) {
		p := begin(t)
		p.reset(1, http2.ErrCodeCancel)
		advance(time.Second)
		p.want("a request that was cancelled")
	})
}

// TestUnknownFormat: messages in a format other than proto are not decoded as
// proto.
func TestUnknownFormat(t *testing.T) {
	for _, ct := range []string{"application/grpc+json", "application/grpc+protobuf", "application/grpc+"} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := scriptClient(t, setup{})
			p.headers(1, endStream, ":method=POST", ":scheme=http", ":path="+unaryMethod, "content-type="+ct)
			p.want(ct, "HEADERS 1 :status=200 content-type=application/grpc grpc-status=12 …the messages' format…END_STREAM")
		})
	}
}

// TestAfterReset: RFC 9113 §5.1. A client that has reset a stream must send nothing
// more on it, even if the server reset it at the same time.
func TestAfterReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{})
		p.headers(1, 0, request("/test.Service/Nothing")...)
		p.want("a request for nothing", "HEADERS 1 …grpc-status=12 …END_STREAM", "RST_STREAM 1 NO_ERROR")
		p.data(1, 0, grpcMsg("sent before the reset was known"))
		p.want("what was on its way")
		p.reset(1, http2.ErrCodeCancel)
		p.data(1, 0, grpcMsg("x"))
		p.want("DATA after the client's own reset", "RST_STREAM 1 STREAM_CLOSED")
	})
}

// TestAfterServerClosed checks what a client does with frames on a stream that the
// server has closed itself.
func TestAfterServerClosed(t *testing.T) {
	end := func(p *script) {
		p.headers(1, 0, response()...)
		p.data(1, 0, grpcMsg("a"))
		p.headers(1, endStream, "grpc-status=0")
	}
	reset := func(p *script) { p.reset(1, http2.ErrCodeCancel) }
	both := func(p *script) { end(p); p.reset(1, http2.ErrCodeNo) } // gRPC's C core, at the end of a deadline
	for _, c := range []struct {
		name  string
		close func(*script)
		after func(*script)
		want  string
	}{
		{"DATA after END_STREAM", end, func(p *script) { p.data(1, 0, "x") }, "GOAWAY 0 STREAM_CLOSED …after its end…"},
		{"HEADERS after END_STREAM", end, func(p *script) { p.headers(1, endStream, "x=y") }, "GOAWAY 0 STREAM_CLOSED …after its end…"},
		{"HEADERS after both", both, func(p *script) { p.headers(1, endStream, "grpc-status=1") }, "RST_STREAM 1 STREAM_CLOSED"},
		{"DATA after RST_STREAM", reset, func(p *script) { p.data(1, 0, "x") }, "RST_STREAM 1 STREAM_CLOSED"},
		{"HEADERS after RST_STREAM", reset, func(p *script) { p.headers(1, 0, response()...) }, "RST_STREAM 1 STREAM_CLOSED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cc := scriptServer(t, h2grpc.ClientConfig{})
				call := invoke(t.Context(), cc, "q")
				p.want("a unary call is one HEADERS and one DATA", requestFrames...)
				c.close(p)
				p.want("the call has ended")
				<-call
				c.after(p)
				p.want(c.name, c.want)
				cc.Close()
			})
		})
	}
}

// TestSendOnEndedStream: generated code sends the one request of a call before it
// hands the stream over. If the call has already ended, RecvMsg returns the status.
func TestSendOnEndedStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i, c := range []struct {
			desc *h2grpc.StreamDesc
			want error
		}{{&h2grpc.StreamDesc{ServerStreams: true}, nil}, {&h2grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, io.EOF}} {
			stream, err := cc.NewStream(ctx, c.desc, serverMethod)
			if err != nil {
				t.Fatal(err)
			}
			p.take()
			p.held = nil
			p.headers(uint32(2*i+1), endStream, response("grpc-status=5", "grpc-message=gone")...)
			synctest.Wait()
			if err := stream.SendMsg(msg("x")); err != c.want {
				t.Errorf("%+v: SendMsg on a stream that has ended gave %v, want %v", *c.desc, err, c.want)
			}
			if err := stream.RecvMsg(new(raw)); status.Code(err) != codes.NotFound {
				t.Errorf("%+v: RecvMsg gave %v, want the server's NOT_FOUND", *c.desc, err)
			}
		}
	})
}
