package h2grpc_test

import (
	"context"
	"fmt"
	"net"

	"github.com/tenonrpc/tenon/h2grpc"
)

// serveOn serves on a local port, for the other examples. It returns the Dial of its
// clients, and a function that ends it.
func serveOn(server *h2grpc.Server) (dial func(context.Context) (net.Conn, error), end func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go server.Serve(listener) // until end closes it
	dial = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", listener.Addr().String())
	}
	end = func() {
		if err := server.Close(); err != nil {
			fmt.Println(err)
		}
	}
	return dial, end
}
