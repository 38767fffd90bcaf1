// Package middleware_test runs what others have written for grpc-go on connections of
// h2grpc: interceptors, stats handlers and grpc-go's own interoperability tests.
package middleware_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/grpcbridge"
	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// patience is how long anything may take that is not to fail.
const patience = 30 * time.Second

// TestMain fails if the tests leave goroutines behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	// Those that are about to end get a moment.
	for end := time.Now().Add(5 * time.Second); code == 0 && runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			fmt.Printf("FAIL: %d goroutines before the tests, %d after\n", before, runtime.NumGoroutine())
			pprof.Lookup("goroutine").WriteTo(os.Stdout, 1)
			code = 1
		}
	}
	os.Exit(code)
}

// A setup is what the ends of a test have besides the defaults.
type setup struct {
	server grpcbridge.ServerConfig
	client grpcbridge.ClientConfig

	h2server h2grpc.ServerConfig
	h2client h2grpc.ClientConfig
}

// connect serves services and connects to them, both with h2grpc, for as long as the
// test lasts.
func connect(t *testing.T, register func(*grpcbridge.Registrar), s setup) *grpcbridge.ClientConn {
	t.Helper()
	return dial(t, serve(t, register, s), s)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return lis
}

func serve(t *testing.T, register func(*grpcbridge.Registrar), s setup) string {
	t.Helper()
	lis := listen(t)
	server := h2grpc.NewServer(&s.h2server)
	register(grpcbridge.NewRegistrar(server, &s.server))
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != h2grpc.ErrServerClosed {
			t.Error(err)
		}
	})
	return lis.Addr().String()
}

func dial(t *testing.T, address string, s setup) *grpcbridge.ClientConn {
	t.Helper()
	s.h2client.Dial = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
	cc := h2grpc.NewClient(&s.h2client)
	conn := grpcbridge.NewClient(cc, &s.client)
	t.Cleanup(func() {
		conn.Close()
		cc.Close()
	})
	return conn
}

// within is a context that lasts for as long as a test may.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A service is one whose methods tests fill in.
type service struct {
	testpb.UnimplementedTestServiceServer
	unary func(context.Context) error
	full  func(grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error
}

func (s *service) register(r *grpcbridge.Registrar) { testpb.RegisterTestServiceServer(r, s) }

func (s *service) UnaryCall(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{Payload: req.Payload}, s.unary(ctx)
}

func (s *service) FullDuplexCall(stream grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	return s.full(stream)
}
