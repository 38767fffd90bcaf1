package h2grpc_test

import (
	"context"
	"fmt"
	"io"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// lister has a method with one request and any number of responses.
type lister struct{ *kvshared.Store }

func (l lister) List(in *kvpb.ListRequest, stream h2grpc.ServerStreamingServer[kvpb.Entry]) error {
	for _, entry := range l.Entries(in.Prefix) {
		if err := stream.Send(entry); err != nil {
			return err // the client has gone, or has cancelled
		}
	}
	return nil
}

// The server sends until its handler returns; the client reads until io.EOF. A client
// that does not read to the end cancels its context, which frees the stream.
func ExampleServerStreamingClient() {
	server := h2grpc.NewServer(nil)
	kvpb.RegisterKVServer(server, lister{kvshared.NewStore()})
	dial, end := serveOn(server)
	defer end()
	client := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial})
	defer client.Close()
	kv := kvpb.NewKVClient(client)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, key := range []string{"sea/north", "land", "sea/baltic"} {
		if _, err := kv.Put(ctx, &kvpb.Entry{Key: key}); err != nil {
			fmt.Println(err)
			return
		}
	}
	stream, err := kv.List(ctx, &kvpb.ListRequest{Prefix: "sea/"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		entry, err := stream.Recv()
		if err == io.EOF {
			break // the handler returned nil
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(entry.Key)
	}
	// Output:
	// sea/baltic
	// sea/north
}
