package grpcbridge_test

import (
	"context"
	"fmt"
	"net"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/grpcbridge"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// A service and a stub of grpc-go's own module, and an interceptor that was written
// for grpc-go, on a connection of h2grpc.
func Example() {
	server := h2grpc.NewServer(nil)
	healthpb.RegisterHealthServer(grpcbridge.NewRegistrar(server, nil), health.NewServer())
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- server.Serve(lis) }()

	cc := h2grpc.NewClient(&h2grpc.ClientConfig{
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", lis.Addr().String())
		},
	})
	conn := grpcbridge.NewClient(cc, &grpcbridge.ClientConfig{
		UnaryInterceptors: []grpc.UnaryClientInterceptor{logged},
	})
	answer, err := healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{})
	fmt.Println(answer.GetStatus(), err)

	conn.Close()
	cc.Close()
	server.Close()
	<-done
	// Output:
	// calling /grpc.health.v1.Health/Check
	// SERVING <nil>
}

func logged(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	fmt.Println("calling", method)
	return invoker(ctx, method, req, reply, cc, opts...)
}
