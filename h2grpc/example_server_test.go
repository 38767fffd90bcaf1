package h2grpc_test

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// Interceptors wrap all calls of a server, the first outermost. This one admits only
// clients with the token; there is one for streams as well, so that no call bypasses
// it.
func ExampleUnaryServerInterceptor() {
	allowed := func(ctx context.Context) error {
		token := metadata.ValueFromIncomingContext(ctx, "token")
		// The duration must not reveal how much of a guess is right.
		if len(token) != 1 || subtle.ConstantTimeCompare([]byte(token[0]), []byte("sesame")) != 1 {
			return status.Error(codes.Unauthenticated, "who are you?")
		}
		return nil
	}
	server := h2grpc.NewServer(&h2grpc.ServerConfig{
		UnaryInterceptors: []h2grpc.UnaryServerInterceptor{
			func(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
				if err := allowed(ctx); err != nil {
					return nil, err
				}
				return handler(ctx, req)
			},
		},
		StreamInterceptors: []h2grpc.StreamServerInterceptor{
			func(srv any, stream h2grpc.ServerStream, info *h2grpc.StreamServerInfo, handler h2grpc.StreamHandler) error {
				if err := allowed(stream.Context()); err != nil {
					return err
				}
				return handler(srv, stream)
			},
		},
	})
	kvpb.RegisterKVServer(server, kvshared.NewStore())
	dial, end := serveOn(server)
	defer end()
	client := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial})
	defer client.Close()
	kv := kvpb.NewKVClient(client)

	ctx := context.Background()
	_, err := kv.Put(ctx, &kvpb.Entry{Key: "hello"})
	fmt.Println(err)
	_, err = kv.Put(metadata.AppendToOutgoingContext(ctx, "token", "sesame"), &kvpb.Entry{Key: "hello"})
	fmt.Println(err)
	stream, err := kv.List(ctx, &kvpb.ListRequest{})
	if err == nil {
		_, err = stream.Recv() // where a stream's status is
	}
	fmt.Println(status.Code(err))
	// Output:
	// rpc error: code = Unauthenticated desc = who are you?
	// <nil>
	// Unauthenticated
}

// An interceptor of a client wraps its calls: this one adds metadata to each.
func ExampleUnaryClientInterceptor() {
	kv, end := connectFull(h2grpc.ClientConfig{
		UnaryInterceptors: []h2grpc.UnaryClientInterceptor{
			func(ctx context.Context, method string, req, reply any, cc *h2grpc.ClientConn, invoke h2grpc.UnaryInvoker, opts ...h2grpc.CallOption) error {
				ctx = metadata.AppendToOutgoingContext(ctx, "user", "grace")
				return invoke(ctx, method, req, reply, cc, opts...)
			},
		},
	})
	defer end()

	entry, err := kv.Get(context.Background(), &kvpb.GetRequest{Key: "hello"})
	fmt.Println(entry.GetValue(), err)
	// Output: asked for by ["grace"] <nil>
}

// The limits bound what a peer can make a server keep; zero means a default. A
// message that is too large fails its call, and the connection goes on.
func ExampleServerConfig_limits() {
	server := h2grpc.NewServer(&h2grpc.ServerConfig{
		MaxRecvMessageSize:   1 << 10,
		MaxConcurrentStreams: 16,
		MaxConnections:       4,
	})
	kvpb.RegisterKVServer(server, kvshared.NewStore())
	dial, end := serveOn(server)
	defer end()
	client := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial})
	defer client.Close()
	kv := kvpb.NewKVClient(client)

	for _, size := range []int{2000, 1000} {
		_, err := kv.Put(context.Background(), &kvpb.Entry{Key: "hello", Value: string(make([]byte, size))})
		fmt.Println(size, status.Code(err))
	}
	// Output:
	// 2000 ResourceExhausted
	// 1000 OK
}

// MapError is the one place that gives an application's errors their codes.
func ExampleServerConfig_mapError() {
	server := h2grpc.NewServer(&h2grpc.ServerConfig{
		MapError: func(err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return status.Error(codes.NotFound, err.Error())
			}
			return err
		},
	})
	kvpb.RegisterKVServer(server, files{})
	dial, end := serveOn(server)
	defer end()
	client := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial})
	defer client.Close()

	_, err := kvpb.NewKVClient(client).Get(context.Background(), &kvpb.GetRequest{Key: "hello"})
	fmt.Println(err)
	// Output: rpc error: code = NotFound desc = open hello: file does not exist
}

// files is a KV that returns the errors of files.
type files struct{ kvpb.UnimplementedKVServer }

func (files) Get(_ context.Context, in *kvpb.GetRequest) (*kvpb.Entry, error) {
	return nil, &fs.PathError{Op: "open", Path: in.Key, Err: fs.ErrNotExist}
}
