package grpcbridge_test

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
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// patience is how long anything may take without failing.
const patience = 30 * time.Second

// TestMain fails if the tests leave goroutines behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	// Goroutines that are about to end get a moment.
	for end := time.Now().Add(5 * time.Second); code == 0 && runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			fmt.Printf("FAIL: %d goroutines before the tests, %d after\n", before, runtime.NumGoroutine())
			pprof.Lookup("goroutine").WriteTo(os.Stdout, 1)
			code = 1
		}
	}
	os.Exit(code)
}

// A library is what a server or a client is made with.
type library int

const (
	ours   library = iota // h2grpc, with the bridge
	theirs                // grpc-go by itself
)

func (l library) String() string { return [...]string{"h2grpc", "grpc-go"}[l] }

// everyPair runs a test with each library at either end. grpc-go with itself shows
// what is right.
func everyPair(t *testing.T, test func(t *testing.T, client, server library)) {
	for _, client := range []library{ours, theirs} {
		for _, server := range []library{ours, theirs} {
			t.Run(fmt.Sprintf("%v to %v", client, server), func(t *testing.T) { test(t, client, server) })
		}
	}
}

// A setup is what the ends of a test have in addition to the defaults.
type setup struct {
	server grpcbridge.ServerConfig
	client grpcbridge.ClientConfig

	h2server h2grpc.ServerConfig
	h2client h2grpc.ClientConfig
}

// serve serves a service for as long as the test lasts, and returns its address.
func serve(t *testing.T, with library, register func(grpc.ServiceRegistrar), s setup) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	if with == theirs {
		server := grpc.NewServer(grpc.ChainUnaryInterceptor(s.server.UnaryInterceptors...), grpc.ChainStreamInterceptor(s.server.StreamInterceptors...))
		register(server)
		go func() { done <- server.Serve(lis) }()
		t.Cleanup(func() { server.Stop(); <-done })
		return lis.Addr().String()
	}
	server := h2grpc.NewServer(&s.h2server)
	register(grpcbridge.NewRegistrar(server, &s.server))
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

// dial connects to a server for as long as the test lasts.
func dial(t *testing.T, with library, address string, s setup) grpc.ClientConnInterface {
	t.Helper()
	if with == theirs {
		cc, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithChainUnaryInterceptor(s.client.UnaryInterceptors...), grpc.WithChainStreamInterceptor(s.client.StreamInterceptors...))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cc.Close() })
		return cc
	}
	if s.h2client.Dial == nil {
		s.h2client.Dial = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", address)
		}
	}
	cc := h2grpc.NewClient(&s.h2client)
	conn := grpcbridge.NewClient(cc, &s.client)
	t.Cleanup(func() {
		conn.Close()
		cc.Close()
	})
	return conn
}

// within returns a context that lasts for as long as a test may.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A service implements a service of another module, with methods that tests fill in.
type service struct {
	testpb.UnimplementedTestServiceServer
	unary  func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error)
	output func(*testpb.StreamingOutputCallRequest, grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error
	input  func(grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error
	full   func(grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error
}

func (s *service) register(r grpc.ServiceRegistrar) { testpb.RegisterTestServiceServer(r, s) }

func (s *service) UnaryCall(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return s.unary(ctx, req)
}

func (s *service) StreamingOutputCall(req *testpb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	return s.output(req, stream)
}

func (s *service) StreamingInputCall(stream grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
	return s.input(stream)
}

func (s *service) FullDuplexCall(stream grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	return s.full(stream)
}

func payload(body string) *testpb.Payload { return &testpb.Payload{Body: []byte(body)} }

// wantMD checks the values of one key.
func wantMD(t *testing.T, where string, md metadata.MD, key string, want ...string) {
	t.Helper()
	if got := md.Get(key); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s have %q of %s; want %q", where, got, key, want)
	}
}

// wantStatus checks the code and the message of an error, as grpc-go sees it.
func wantStatus(t *testing.T, err error, want *status.Status) {
	t.Helper()
	got, ok := status.FromError(err)
	if !ok || got.Code() != want.Code() || got.Message() != want.Message() || len(got.Details()) != len(want.Details()) {
		t.Errorf("the call ends with %v (details %v); want %v (details %v)", err, got.Details(), want, want.Details())
	}
}
