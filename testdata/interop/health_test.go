//go:build !oldgoplugin

package interop_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/status"
	tenon "github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/upstream"
)

// TestUpstreamSeesHealth has a host of go-plugin look at a plugin that says how it is:
// its Ping is about the connection alone, and grpc-go's client gets the statuses.
func TestUpstreamSeesHealth(t *testing.T) {
	current := health.NewServer()
	r := serveTest(t, current)
	client := attachUpstream(r, true, cases.Mode{})
	defer client.Kill()
	proto, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), cases.Timeout)
	defer cancel()
	rpc := grpc_health_v1.NewHealthClient(proto.(*plugin.GRPCClient).Conn)
	request := &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName}
	watch, err := rpc.Watch(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		change func()
		want   grpc_health_v1.HealthCheckResponse_ServingStatus
	}{
		{func() {}, grpc_health_v1.HealthCheckResponse_SERVING},
		{func() { current.SetServingStatus(tenon.HealthService, health.NotServing) }, grpc_health_v1.HealthCheckResponse_NOT_SERVING},
		{func() {
			current.SetCheck(tenon.HealthService, func(context.Context) health.Status { return health.Serving })
		}, grpc_health_v1.HealthCheckResponse_SERVING},
		{current.Shutdown, grpc_health_v1.HealthCheckResponse_NOT_SERVING},
		{current.Resume, grpc_health_v1.HealthCheckResponse_SERVING},
	} {
		s.change()
		if got, err := watch.Recv(); err != nil || got.Status != s.want {
			t.Fatalf("Watch gave %v, %v, want %v", got, err, s.want)
		}
		if got, err := rpc.Check(ctx, request); err != nil || got.Status != s.want {
			t.Errorf("Check gave %v, %v, want %v", got, err, s.want)
		}
		if err := proto.Ping(); err != nil {
			t.Errorf("Ping of a plugin that is %v: %v", s.want, err)
		}
	}
	if _, err := rpc.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "kv"}); grpcstatus.Code(err) != grpccodes.NotFound {
		t.Errorf("Check of an unknown service gave %v", err)
	}
	list, err := rpc.List(ctx, &grpc_health_v1.HealthListRequest{})
	if err != nil || len(list.Statuses) != 2 || list.Statuses[plugin.GRPCServiceName].GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("List gave %v, %v", list, err)
	}
}

// TestHealthOfUpstream asks plugins of go-plugin with this library. Their health
// service is go-plugin's own, which always serves, so an interceptor puts grpc-go's
// in its place.
func TestHealthOfUpstream(t *testing.T) {
	current := grpchealth.NewServer()
	current.SetServingStatus(plugin.GRPCServiceName, grpc_health_v1.HealthCheckResponse_SERVING)
	r := serveUpstreamTest(t, func(options []grpc.ServerOption) *grpc.Server {
		return upstream.NewServer(append(options,
			grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				if info.FullMethod == grpc_health_v1.Health_Check_FullMethodName {
					return current.Check(ctx, req.(*grpc_health_v1.HealthCheckRequest))
				}
				return next(ctx, req)
			})))
	})
	c := attach(t, r)
	echo(t, c)
	current.Shutdown()
	if err := c.Ping(t.Context()); !errors.Is(err, host.ErrNotServing) {
		t.Errorf("Ping of a plugin that is not serving: %v", err)
	}
	current.Resume()
	echo(t, c)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestHealthOfGRPC asks servers of grpc-go, with and without a health service.
func TestHealthOfGRPC(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), cases.Timeout)
	defer cancel()
	current := grpchealth.NewServer()
	with, without := serveGRPC(t, current), serveGRPC(t, nil)
	var got []health.Status
	for is, err := range health.Watch(ctx, with, "kv") {
		if err != nil {
			t.Fatal(err)
		}
		switch got = append(got, is); len(got) {
		case 1:
			if _, err := health.Check(ctx, with, "kv"); status.Code(err) != codes.NotFound {
				t.Errorf("Check of an unknown service: %v", err)
			}
			current.SetServingStatus("kv", grpc_health_v1.HealthCheckResponse_SERVING)
			continue
		case 2:
			current.SetServingStatus("kv", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
			continue
		case 3:
			if is, err := health.Check(ctx, with, "kv"); is != health.NotServing || err != nil {
				t.Errorf("Check gave %v, %v", is, err)
			}
		}
		break
	}
	if want := []health.Status{health.ServiceUnknown, health.Serving, health.NotServing}; !slices.Equal(got, want) {
		t.Errorf("Watch gave %v, want %v", got, want)
	}
	if _, err := health.Check(ctx, without, "kv"); status.Code(err) != codes.Unimplemented {
		t.Errorf("Check without a health service: %v", err)
	}
	for _, err := range health.Watch(ctx, without, "kv") {
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("Watch without a health service: %v", err)
		}
	}
}

// serveGRPC serves a health service, if it is not nil, with grpc-go, and connects to it.
func serveGRPC(t *testing.T, current grpc_health_v1.HealthServer) *h2grpc.ClientConn {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	if current != nil {
		grpc_health_v1.RegisterHealthServer(server, current)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(lis) }()
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", lis.Addr().String())
	}})
	t.Cleanup(func() {
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return cc
}
