package h2grpc_test

import (
	"context"
	"fmt"
	"io"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// pass returns a handler that makes each call that it receives to another server,
// without knowing its type.
func pass(to *h2grpc.ClientConn) func(method string, from h2grpc.ServerStream) error {
	return func(method string, from h2grpc.ServerStream) error {
		ctx, cancel := context.WithCancel(from.Context())
		defer cancel() // frees the stream
		if md, ok := metadata.FromIncomingContext(ctx); ok {
			ctx = metadata.NewOutgoingContext(ctx, md)
		}
		stream, err := to.NewStream(ctx, &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
		if err != nil {
			return err
		}
		go func() {
			var message h2grpc.Raw
			for {
				switch err := from.RecvMsg(&message); {
				case err == io.EOF:
					stream.CloseSend()
					return
				case err != nil:
					cancel() // requests are missing, which CloseSend would deny
					return
				}
				if stream.SendMsg(&message) != nil {
					return // RecvMsg below returns the status
				}
			}
		}()
		if header, err := stream.Header(); err == nil && header != nil {
			if err := from.SendHeader(header); err != nil {
				return err
			}
		}
		var message h2grpc.Raw
		for {
			if err := stream.RecvMsg(&message); err != nil {
				from.SetTrailer(stream.Trailer())
				if err == io.EOF {
					return nil
				}
				return err // a status, with its details
			}
			if err := from.SendMsg(&message); err != nil {
				return err
			}
		}
	}
}

// A proxy passes calls on without decoding them, unary ones as well as streams.
func ExampleRaw() {
	server := h2grpc.NewServer(nil)
	kvpb.RegisterKVServer(server, lister{kvshared.NewStore()})
	dial, end := serveOn(server)
	defer end()
	behind := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial})
	defer behind.Close()

	proxy := h2grpc.NewServer(&h2grpc.ServerConfig{Unknown: pass(behind)})
	dialProxy, endProxy := serveOn(proxy)
	defer endProxy()
	client := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dialProxy})
	defer client.Close()

	kv, ctx := kvpb.NewKVClient(client), context.Background()
	if _, err := kv.Put(ctx, &kvpb.Entry{Key: "hello"}); err != nil {
		fmt.Println(err)
		return
	}
	stream, err := kv.List(ctx, &kvpb.ListRequest{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		entry, err := stream.Recv()
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(entry.Key)
	}
	_, err = kv.Get(ctx, &kvpb.GetRequest{Key: "goodbye"})
	fmt.Println(status.Code(err))
	// Output:
	// hello
	// EOF
	// NotFound
}
