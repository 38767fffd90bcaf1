package h2grpc_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
)

// What will not be read any more must stop counting against what may wait for
// readers: otherwise the connection would stand still at the limit.

// TestHandlerEndsWithinAMessage: handlers return while a message for them is
// arriving.
func TestHandlerEndsWithinAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p, _ := scriptClient(t, setup{
			server:  h2grpc.ServerConfig{MaxRecvMessageSize: 20_000},
			service: &testService{stream: func(h2grpc.ServerStream) error { <-release; return nil }},
		})
		sent := 0
		message := grpcMsg(strings.Repeat("x", 16<<10-5))
		for id := uint32(1); id < 2*2000; id += 2 {
			if sent += len(message); sent > firstWindow+p.granted[0] {
				t.Fatalf("stream %d has no window: %d bytes were sent, %d granted", id, sent, firstWindow+p.granted[0])
			}
			p.headers(id, 0, request(bidiMethod)...)
			data := recorded(func(q *script) { q.data(id, 0, message) })
			p.bytes(data[:5000])
			synctest.Wait()
			release <- struct{}{}
			synctest.Wait()
			p.bytes(data[5000:])
			p.take()
			p.held = nil
		}
	})
}

// TestTooManyResponses: unary calls are answered with many messages.
func TestTooManyResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{MaxRecvMessageSize: 20_000})
		sent := 0
		messages := strings.Repeat(grpcMsg(strings.Repeat("x", 1500)), 10)
		for id := uint32(1); id < 2*2000; id += 2 {
			done := invoke(t.Context(), cc, "request")
			p.take()
			if sent += len(messages); sent > firstWindow+p.granted[0] {
				t.Fatalf("stream %d has no window: %d bytes were sent, %d granted", id, sent, firstWindow+p.granted[0])
			}
			p.headers(id, 0, response()...)
			p.data(id, 0, messages)
			if r := <-done; r.err == nil {
				t.Fatal("a call with ten responses succeeds")
			}
			p.take()
			p.held = nil
		}
	})
}

// TestLastResponseOfAShutdown: the response to the last request of a connection that
// is being shut down is sent before the connection is closed, although more was read
// with the request.
func TestLastResponseOfAShutdown(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			p, srv := scriptClient(t, setup{})
			var id uint32
			for id = 1; id < 10; id += 2 { // so that the method counts as quick
				p.headers(id, 0, request(unaryMethod)...)
				p.data(id, endStream, grpcMsg("x"))
				p.take()
			}
			p.headers(id, 0, request(unaryMethod)...)
			p.held = nil
			go srv.Shutdown(context.Background())
			p.want("a server that is shut down", "GOAWAY 2147483647 …", "PING …")
			p.frame(http2.FramePing, http2.FlagPingAck, 0, "\x01\x00\x00\x00\x00\x00\x00\x00")
			p.want("the client knows", "GOAWAY …")
			p.bytes(recorded(func(q *script) {
				q.data(id, endStream, grpcMsg("x"))
				for range 1500 {
					q.windowUpdate(0, 1)
				}
			}))
			p.take()
			advance(5 * time.Second)
			p.take()
			if len(p.held) < 3 || !matches("HEADERS … grpc-status=0 END_STREAM", p.held[2]) {
				t.Fatalf("the response to the last request is missing: %q", p.held)
			}
		})
	}
}
