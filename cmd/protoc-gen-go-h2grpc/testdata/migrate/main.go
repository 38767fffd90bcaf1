// Migrate calls every method of the example over an in-memory connection and prints the
// results. The tests run it with our stubs, and with those of protoc-gen-go-grpc
// instead. It refers to the ends of streams in the way that works with all of them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// store implements all methods but Delete.
type store struct {
	kv.UnimplementedKVServer
}

func (store) Put(_ context.Context, in *kv.PutRequest) (*kv.PutResponse, error) {
	return &kv.PutResponse{Replaced: in.Key == "old"}, nil
}

func (store) Get(_ context.Context, in *kv.GetRequest) (*kv.GetResponse, error) {
	return nil, status.Errorf(codes.NotFound, "no key %q", in.Key)
}

func (store) Watch(in *kv.WatchRequest, stream kv.KV_WatchServer) error {
	if in.Prefix == "refused" {
		return status.Error(codes.PermissionDenied, "not yours to watch")
	}
	for _, key := range []string{"a", "b"} {
		if err := stream.Send(&kv.WatchResponse{Key: in.Prefix + key}); err != nil {
			return err
		}
	}
	return nil
}

func (store) PutAll(stream kv.KV_PutAllServer) error {
	answer := new(kv.PutAllResponse)
	for {
		if _, err := stream.Recv(); err == io.EOF {
			return stream.SendAndClose(answer)
		} else if err != nil {
			return err
		}
		answer.Stored++
	}
}

func (store) GetAll(stream kv.KV_GetAllServer) error {
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(&kv.GetAllResponse{Key: in.Key, Value: []byte("value of " + in.Key)}); err != nil {
			return err
		}
	}
}

func (store) Say(context.Context, *kv.SayRequest) (*kv.SayResponse, error) {
	return &kv.SayResponse{}, nil
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "migrate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	server := h2grpc.NewServer(&h2grpc.ServerConfig{UnaryInterceptors: []h2grpc.UnaryServerInterceptor{
		func(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
			if info.FullMethod == kv.KV_Say_FullMethodName {
				fmt.Fprintf(out, "interceptor: %s of %T\n", info.FullMethod, info.Server)
			}
			return handler(ctx, req)
		},
	}})
	kv.RegisterKVServer(server, store{})

	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- server.ServeConn(ctx, theirs) }()
	conn := h2grpc.NewClient(&h2grpc.ClientConfig{
		Dial: func(context.Context) (net.Conn, error) { return ours, nil },
	})
	if err := calls(ctx, kv.NewKVClient(conn), out); err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	<-served // its error only says that the connection has ended
	return server.Close()
}

func calls(ctx context.Context, client kv.KVClient, out io.Writer) error {
	put, err := client.Put(ctx, &kv.PutRequest{Key: "old"})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Put: replaced", put.Replaced)

	_, err = client.Get(ctx, &kv.GetRequest{Key: "none"})
	fmt.Fprintln(out, "Get:", status.Code(err), status.Convert(err).Message())

	_, err = client.Delete(ctx, &kv.DeleteRequest{Key: "none"})
	fmt.Fprintln(out, "Delete:", status.Code(err))

	if _, err = client.Say(ctx, &kv.SayRequest{}); err != nil {
		return err
	}

	for _, prefix := range []string{"x/", "refused"} {
		watch, err := client.Watch(ctx, &kv.WatchRequest{Prefix: prefix})
		if err != nil {
			return fmt.Errorf("a server stream that is refused fails on Recv, not before: %w", err)
		}
		for {
			event, err := watch.Recv()
			if err == io.EOF {
				fmt.Fprintln(out, "Watch: end")
				break
			} else if err != nil {
				fmt.Fprintln(out, "Watch:", status.Code(err), status.Convert(err).Message())
				break
			}
			fmt.Fprintln(out, "Watch:", event.Key)
		}
	}

	putAll, err := client.PutAll(ctx)
	if err != nil {
		return err
	}
	for range 3 {
		if err := putAll.Send(&kv.PutRequest{}); err != nil {
			return err
		}
	}
	stored, err := putAll.CloseAndRecv()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "PutAll: stored", stored.Stored)

	getAll, err := client.GetAll(ctx)
	if err != nil {
		return err
	}
	for _, key := range []string{"c", "d"} {
		if err := getAll.Send(&kv.GetRequest{Key: key}); err != nil {
			return err
		}
		got, err := getAll.Recv()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "GetAll: %s\n", got.Value)
	}
	if err := getAll.CloseSend(); err != nil {
		return err
	}
	if _, err := getAll.Recv(); err != io.EOF {
		return errors.Join(errors.New("GetAll does not end"), err)
	}
	fmt.Fprintln(out, "GetAll: end")
	return nil
}
