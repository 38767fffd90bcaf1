package h2grpc_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/h2grpc"
)

// TestWindowAtEnd checks that the window is not zero when the last byte of a message
// has arrived. Servers that use nghttp2, Node's among them, look for the end of a
// body, after which the trailers come, only while there is window: an exact grant
// would make them wait for ever.
func TestWindowAtEnd(t *testing.T) {
	for _, size := range []int{streamWindow - 6, streamWindow - 5, streamWindow - 4, streamWindow, loneWindow - 6, loneWindow - 5, loneWindow - 4, 3 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, cc := scriptServer(t, h2grpc.ClientConfig{})
				call := invoke(t.Context(), cc, "q")
				p.take()
				p.headers(1, 0, response()...)
				rest := grpcMsg(strings.Repeat("x", size))
				for sent := 0; len(rest) > 0; {
					n := min(p.window(1, sent), 16<<10, len(rest))
					if n <= 0 {
						t.Fatalf("the window is used up with %d bytes to go", len(rest))
					}
					p.data(1, 0, rest[:n])
					sent, rest = sent+n, rest[n:]
					p.take()
					if len(rest) == 0 && p.window(1, sent) < 1 {
						t.Error("there is no window left at the message's end")
					}
				}
				p.headers(1, endStream, "grpc-status=0")
				if got := <-call; got.err != nil || len(got.reply) != size {
					t.Errorf("%d bytes, %v", len(got.reply), got.err)
				}
			})
		})
	}
}
