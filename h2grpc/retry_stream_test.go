package h2grpc_test

import (
	"io"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestStreamRetry: gRFC A6 for streams. A stream of which only the headers, or the
// headers and the only request, were sent is tried once more.
func TestStreamRetry(t *testing.T) {
	open := func(t *testing.T, cc *h2grpc.ClientConn, desc *h2grpc.StreamDesc, method string) h2grpc.ClientStream {
		t.Helper()
		stream, err := cc.NewStream(t.Context(), desc, method)
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	recv := func(stream h2grpc.ClientStream) <-chan result {
		done := make(chan result, 1)
		go func() {
			var m raw
			err := stream.RecvMsg(&m)
			done <- result{string(m), err}
		}()
		return done
	}
	t.Run("the only request is sent again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, cc := scriptServer(t, h2grpc.ClientConfig{})
			stream := open(t, cc, &serverDesc, serverMethod)
			if err := stream.SendMsg(msg("q")); err != nil {
				t.Fatal(err)
			}
			p.want("the call", "HEADERS 1 …", "DATA 1 …END_STREAM")
			got := recv(stream)
			p.reset(1, http2.ErrCodeRefusedStream)
			p.want("the call again", "HEADERS 3 …", "DATA 3 …END_STREAM")
			p.headers(3, 0, response()...)
			p.data(3, 0, grpcMsg("a"))
			p.headers(3, endStream, "grpc-status=0")
			if r := <-got; r.err != nil || r.reply != "a" {
				t.Errorf("got %q, %v", r.reply, r.err)
			}
			if err := stream.RecvMsg(new(raw)); err != io.EOF {
				t.Errorf("at the end: %v, want io.EOF", err)
			}
		})
	})
	t.Run("once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, cc := scriptServer(t, h2grpc.ClientConfig{})
			stream := open(t, cc, &bidiDesc, bidiMethod)
			p.want("the call", "HEADERS 1 …")
			got := recv(stream)
			p.reset(1, http2.ErrCodeRefusedStream)
			p.want("the call again", "HEADERS 3 …")
			p.reset(3, http2.ErrCodeRefusedStream)
			p.want("not a third time")
			if r := <-got; status.Code(r.err) != codes.Unavailable {
				t.Errorf("got %q, %v, want UNAVAILABLE", r.reply, r.err)
			}
		})
	})
	t.Run("not after one of several requests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, cc := scriptServer(t, h2grpc.ClientConfig{})
			stream := open(t, cc, &bidiDesc, bidiMethod)
			if err := stream.SendMsg(msg("q")); err != nil {
				t.Fatal(err)
			}
			p.want("the call and a request", "HEADERS 1 …", "DATA 1 …")
			got := recv(stream)
			p.reset(1, http2.ErrCodeRefusedStream)
			p.want("nothing more")
			if r := <-got; status.Code(r.err) != codes.Unavailable {
				t.Errorf("got %q, %v, want UNAVAILABLE", r.reply, r.err)
			}
		})
	})
	t.Run("not after the response's head", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, cc := scriptServer(t, h2grpc.ClientConfig{})
			stream := open(t, cc, &bidiDesc, bidiMethod)
			p.want("the call", "HEADERS 1 …")
			p.headers(1, 0, response()...)
			got := recv(stream)
			p.reset(1, http2.ErrCodeRefusedStream)
			p.want("nothing more")
			if r := <-got; status.Code(r.err) != codes.Unavailable {
				t.Errorf("got %q, %v, want UNAVAILABLE", r.reply, r.err)
			}
		})
	})
}
