package h2grpc_test

import (
	"context"
	"fmt"
	"io"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// finder has a method with any number of messages in both directions.
type finder struct{ *kvshared.Store }

func (f finder) Lookup(stream h2grpc.BidiStreamingServer[kvpb.GetRequest, kvpb.Entry]) error {
	for {
		request, err := stream.Recv()
		if err == io.EOF {
			return nil // the client called CloseSend
		}
		if err != nil {
			return err
		}
		entry, err := f.Get(stream.Context(), request)
		if err != nil {
			entry = &kvpb.Entry{Key: request.Key, Value: "(none)"}
		}
		if err := stream.Send(entry); err != nil {
			return err
		}
	}
}

// One goroutine may send while another receives. Here one does both in turn;
// CloseSend makes the server's Recv return io.EOF.
func ExampleBidiStreamingClient() {
	server := h2grpc.NewServer(nil)
	kvpb.RegisterKVServer(server, finder{kvshared.NewStore()})
	dial, end := serveOn(server)
	defer end()
	client := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial})
	defer client.Close()
	kv := kvpb.NewKVClient(client)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // frees the stream, should this return early
	if _, err := kv.Put(ctx, &kvpb.Entry{Key: "one", Value: "1"}); err != nil {
		fmt.Println(err)
		return
	}
	stream, err := kv.Lookup(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range []string{"one", "two"} {
		if err := stream.Send(&kvpb.GetRequest{Key: key}); err != nil && err != io.EOF {
			fmt.Println(err)
			return
		}
		entry, err := stream.Recv()
		if err != nil {
			fmt.Println(err) // also the reason why Send returned io.EOF
			return
		}
		fmt.Println(entry.Key, entry.Value)
	}
	if err := stream.CloseSend(); err != nil {
		fmt.Println(err)
		return
	}
	_, err = stream.Recv()
	fmt.Println("the end:", err)
	// Output:
	// one 1
	// two (none)
	// the end: EOF
}
