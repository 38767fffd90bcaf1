package h2grpc_test

import (
	"context"
	"fmt"
	"net"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// A server and its client, without a plugin: any net.Listener and net.Conn will do.
func Example() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	server := h2grpc.NewServer(nil)
	kvpb.RegisterKVServer(server, kvshared.NewStore())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	client := h2grpc.NewClient(&h2grpc.ClientConfig{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", listener.Addr().String())
		},
	})
	kv := kvpb.NewKVClient(client)
	ctx := context.Background()
	if _, err := kv.Put(ctx, &kvpb.Entry{Key: "hello", Value: "world"}); err != nil {
		fmt.Println(err)
	}
	entry, err := kv.Get(ctx, &kvpb.GetRequest{Key: "hello"})
	if err != nil {
		fmt.Println(err)
	} else {
		fmt.Println(entry.Value)
	}

	if err := client.Close(); err != nil {
		fmt.Println(err)
	}
	if err := server.Shutdown(ctx); err != nil { // lets the calls in progress finish
		fmt.Println(err)
	}
	fmt.Println(<-served)
	// Output:
	// world
	// h2grpc: server closed
}
