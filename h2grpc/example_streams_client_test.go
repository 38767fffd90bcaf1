package h2grpc_test

import (
	"context"
	"fmt"
	"io"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// importer has a method with any number of requests and one response.
type importer struct{ *kvshared.Store }

func (i importer) Import(stream h2grpc.ClientStreamingServer[kvpb.Entry, kvpb.ImportResponse]) error {
	var stored int64
	for {
		entry, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&kvpb.ImportResponse{Stored: stored})
		}
		if err != nil {
			return err
		}
		if _, err := i.Put(stream.Context(), entry); err != nil {
			return err // the client's next Send returns io.EOF, and CloseAndRecv the status
		}
		stored++
	}
}

// The client sends as many messages as it likes, and gets its response at the end, or
// earlier if the server refuses.
func ExampleClientStreamingClient() {
	server := h2grpc.NewServer(nil)
	kvpb.RegisterKVServer(server, importer{kvshared.NewStore()})
	dial, end := serveOn(server)
	defer end()
	client := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial})
	defer client.Close()
	kv := kvpb.NewKVClient(client)

	for _, keys := range [][]string{{"one", "two", "three"}, {"four", ""}} {
		stream, err := kv.Import(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, key := range keys {
			if err := stream.Send(&kvpb.Entry{Key: key}); err == io.EOF {
				break // the call has ended: CloseAndRecv returns the status
			} else if err != nil {
				fmt.Println(err)
				return
			}
		}
		answer, err := stream.CloseAndRecv()
		fmt.Println(answer.GetStored(), err)
	}
	// Output:
	// 3 <nil>
	// 0 rpc error: code = InvalidArgument desc = the key is empty
}
