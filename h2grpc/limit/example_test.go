package limit_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/limit"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
)

// store is a KV that knows one answer.
type store struct{ kvpb.UnimplementedKVServer }

func (store) Get(context.Context, *kvpb.GetRequest) (*kvpb.Entry, error) {
	return &kvpb.Entry{Value: "a value"}, nil
}

// get makes a call. If it is refused, it waits as long as the server says, unless ctx
// ends before that.
func get(ctx context.Context, kv kvpb.KVClient, key string) (*kvpb.Entry, error) {
	for {
		entry, err := kv.Get(ctx, &kvpb.GetRequest{Key: key})
		delay, ok := limit.RetryDelay(err)
		if !ok {
			return entry, err
		}
		if end, set := ctx.Deadline(); set && time.Until(end) < delay {
			return nil, err
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// A method with a limit of one call an hour, and two at once, of a server that handles
// a hundred calls at a time.
func Example() {
	limiter, err := limit.New(&limit.Config{
		Server:  limit.Limits{InFlight: 100},
		Methods: map[string]limit.Limits{kvpb.KV_Get_FullMethodName: {Rate: 1.0 / 3600, Burst: 2}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	clientEnd, serverEnd := net.Pipe()
	server := h2grpc.NewServer(&h2grpc.ServerConfig{
		UnaryInterceptors:  []h2grpc.UnaryServerInterceptor{limiter.Unary},
		StreamInterceptors: []h2grpc.StreamServerInterceptor{limiter.Stream},
	})
	kvpb.RegisterKVServer(server, store{})
	go server.ServeConn(context.Background(), serverEnd)
	defer server.Close()
	client := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(context.Context) (net.Conn, error) { return clientEnd, nil }})
	defer client.Close()
	kv := kvpb.NewKVClient(client)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	for range 3 {
		entry, err := get(ctx, kv, "a key")
		if delay, ok := limit.RetryDelay(err); ok {
			fmt.Println(status.Code(err), "for", delay.Round(time.Hour))
			continue
		}
		fmt.Println(entry.GetValue(), err)
	}
	// Output:
	// a value <nil>
	// a value <nil>
	// ResourceExhausted for 1h0m0s
}
