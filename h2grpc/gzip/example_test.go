package gzip_test

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/gzip"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// logged is a KV that prints how its requests were compressed.
type logged struct{ kvpb.UnimplementedKVServer }

func (logged) Put(ctx context.Context, in *kvpb.Entry) (*kvpb.PutResponse, error) {
	fmt.Printf("%s: %d bytes, compressor %q\n", in.Key, len(in.Value), h2grpc.RequestCompressor(ctx))
	return &kvpb.PutResponse{}, nil
}

// Both sides are given the compressor, and a call asks for it.
func Example() {
	clientEnd, serverEnd := net.Pipe()
	server := h2grpc.NewServer(&h2grpc.ServerConfig{Compressors: []h2grpc.Compressor{gzip.New()}})
	kvpb.RegisterKVServer(server, logged{})
	go server.ServeConn(context.Background(), serverEnd)
	defer server.Close()
	client := h2grpc.NewClient(&h2grpc.ClientConfig{
		Dial:        func(context.Context) (net.Conn, error) { return clientEnd, nil },
		Compressors: []h2grpc.Compressor{gzip.New()},
	})
	defer client.Close()
	kv := kvpb.NewKVClient(client)

	ctx := context.Background()
	text := strings.Repeat("hello ", 1000)
	if _, err := kv.Put(ctx, &kvpb.Entry{Key: "as it is", Value: text}); err != nil {
		fmt.Println(err)
	}
	if _, err := kv.Put(ctx, &kvpb.Entry{Key: "smaller", Value: text}, h2grpc.UseCompressor(gzip.Name)); err != nil {
		fmt.Println(err)
	}
	// Output:
	// as it is: 6000 bytes, compressor ""
	// smaller: 6000 bytes, compressor "gzip"
}
