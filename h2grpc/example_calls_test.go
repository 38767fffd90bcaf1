package h2grpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// fullKV is a KV whose handlers show what they receive.
type fullKV struct{ kvpb.UnimplementedKVServer }

func (fullKV) Get(ctx context.Context, in *kvpb.GetRequest) (*kvpb.Entry, error) {
	// The request's metadata, and the response's: headers and trailers.
	who := metadata.ValueFromIncomingContext(ctx, "user")
	err := errors.Join(
		h2grpc.SetHeader(ctx, metadata.Pairs("store", "memory")),
		h2grpc.SetTrailer(ctx, metadata.Pairs("took", "no time")),
	)
	return &kvpb.Entry{Key: in.Key, Value: fmt.Sprintf("asked for by %q", who)}, err
}

func (fullKV) Put(context.Context, *kvpb.Entry) (*kvpb.PutResponse, error) {
	s, err := status.New(codes.ResourceExhausted, "the store is full").
		WithDetails(&kvpb.Quota{Used: 1000, Allowed: 1000})
	if err != nil {
		return nil, err
	}
	return nil, s.Err()
}

func (fullKV) Open(ctx context.Context, _ *kvpb.OpenRequest) (*kvpb.OpenResponse, error) {
	<-ctx.Done() // as for a client that has cancelled
	return nil, ctx.Err()
}

// connectFull returns a client of a fullKV, and a function that ends both.
func connectFull(config h2grpc.ClientConfig) (kv kvpb.KVClient, end func()) {
	server := h2grpc.NewServer(nil)
	kvpb.RegisterKVServer(server, fullKV{})
	dial, endServer := serveOn(server)
	config.Dial = dial
	client := h2grpc.NewClient(&config)
	return kvpb.NewKVClient(client), func() {
		client.Close()
		endServer()
	}
}

// Metadata is sent with the context of a call, and returned through options of the
// call. A handler reads and sets it: see the file of this example.
func ExampleHeader() {
	kv, end := connectFull(h2grpc.ClientConfig{})
	defer end()

	ctx := metadata.AppendToOutgoingContext(context.Background(), "user", "ada")
	var header, trailer metadata.MD
	entry, err := kv.Get(ctx, &kvpb.GetRequest{Key: "hello"}, h2grpc.Header(&header), h2grpc.Trailer(&trailer))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(entry.Value)
	fmt.Println(header["store"], trailer["took"])
	// Output:
	// asked for by ["ada"]
	// [memory] [no time]
}

// The deadline of a context is sent with the call and holds at both ends: it also
// ends the handler's context.
func ExampleClientConn_deadline() {
	kv, end := connectFull(h2grpc.ClientConfig{})
	defer end()

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := kv.Open(ctx, &kvpb.OpenRequest{}) // which never answers
	fmt.Println(status.Code(err))
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// DeadlineExceeded
	// true
}

// A status has details for programs beside its text for people: any messages that
// both ends know.
func ExampleClientConn_status() {
	kv, end := connectFull(h2grpc.ClientConfig{})
	defer end()

	_, err := kv.Put(context.Background(), &kvpb.Entry{Key: "hello"})
	s := status.Convert(err)
	fmt.Println(s.Code(), "-", s.Message())
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *kvpb.Quota:
			fmt.Println(d.Used, "of", d.Allowed, "are used")
		case error: // of a type that this program does not link
			fmt.Println(d)
		}
	}
	// Output:
	// ResourceExhausted - the store is full
	// 1000 of 1000 are used
}

// A call that finds no server fails at once, with UNAVAILABLE, unless it may wait.
func ExampleWaitForReady() {
	server := h2grpc.NewServer(nil)
	kvpb.RegisterKVServer(server, fullKV{})
	dial, end := serveOn(server)
	defer end()
	tries := 0
	client := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
		if tries++; tries < 3 {
			return nil, os.ErrNotExist // no server yet
		}
		return dial(ctx)
	}})
	defer client.Close()
	kv := kvpb.NewKVClient(client)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := kv.Get(ctx, &kvpb.GetRequest{Key: "hello"})
	fmt.Println(status.Code(err))
	_, err = kv.Get(ctx, &kvpb.GetRequest{Key: "hello"}, h2grpc.WaitForReady(true))
	fmt.Println(status.Code(err))
	// Output:
	// Unavailable
	// OK
}
