package grpcbridge_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	h2codes "github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/grpcbridge"
	h2health "github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	h2status "github.com/tenonrpc/tenon/h2grpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// A journal records the order of events.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// noting returns interceptors of both kinds, for either end, that record their names.
func noting(j *journal, names ...string) setup {
	var s setup
	for _, name := range names {
		s.client.UnaryInterceptors = append(s.client.UnaryInterceptors, func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			j.note(name + " " + cc.Target())
			return invoker(ctx, method, req, reply, cc, opts...)
		})
		s.client.StreamInterceptors = append(s.client.StreamInterceptors, func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			j.note(name + " " + cc.Target())
			return streamer(ctx, desc, cc, method, opts...)
		})
		s.server.UnaryInterceptors = append(s.server.UnaryInterceptors, func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			j.note(name + " " + info.FullMethod)
			return handler(ctx, req)
		})
		s.server.StreamInterceptors = append(s.server.StreamInterceptors, func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			j.note(fmt.Sprint(name, " ", info.FullMethod, " ", info.IsClientStream, " ", info.IsServerStream))
			return handler(srv, ss)
		})
	}
	return s
}

// TestInterceptors: they run in order, within h2grpc's on a server, and see what
// those have changed; a client's get the target.
func TestInterceptors(t *testing.T) {
	var j journal
	s := noting(&j, "first", "second")
	s.client.Target = "there"
	s.h2server.UnaryInterceptors = []h2grpc.UnaryServerInterceptor{func(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
		j.note("h2grpc " + info.FullMethod)
		reply, err := handler(metadata.NewIncomingContext(ctx, metadata.Pairs("by", "h2grpc")), req)
		if err == nil {
			return reply, nil
		}
		if h2status.Code(err) != h2codes.OutOfRange {
			t.Errorf("h2grpc's interceptor sees %v", err)
		}
		return reply, fmt.Errorf("seen: %w", err)
	}}
	svc := &service{
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			md, _ := grpcmetadata.FromIncomingContext(ctx)
			wantMD(t, "the handler", md, "by", "h2grpc")
			return nil, status.Error(codes.OutOfRange, "far")
		},
		full: func(grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
			return status.Error(codes.OutOfRange, "far")
		},
	}
	stub := testpb.NewTestServiceClient(dial(t, ours, serve(t, ours, svc.register, s), s))
	_, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{})
	wantStatus(t, err, status.New(codes.OutOfRange, "seen: rpc error: code = OutOfRange desc = far"))
	method := testpb.TestService_UnaryCall_FullMethodName
	if got, want := j.take(), []string{"first passthrough:///there", "second passthrough:///there", "h2grpc " + method, "first " + method, "second " + method}; !slices.Equal(got, want) {
		t.Errorf("a unary call passes %q; want %q", got, want)
	}
	stream, err := stub.FullDuplexCall(within(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantStatus(t, err, status.New(codes.OutOfRange, "far"))
	method = testpb.TestService_FullDuplexCall_FullMethodName + " true true"
	if got, want := j.take(), []string{"first passthrough:///there", "second passthrough:///there", "first " + method, "second " + method}; !slices.Equal(got, want) {
		t.Errorf("a stream passes %q; want %q", got, want)
	}
}

// TestIdleConn: the connection that interceptors are given never connects, fails
// calls with the reason, and ends with the ClientConn.
func TestIdleConn(t *testing.T) {
	var seen *grpc.ClientConn
	conn := grpcbridge.NewClient(h2grpc.NewClient(&h2grpc.ClientConfig{}), &grpcbridge.ClientConfig{
		UnaryInterceptors: []grpc.UnaryClientInterceptor{func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, _ grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if seen = cc; cc.GetState() != connectivity.Idle {
				t.Errorf("the connection is %v", cc.GetState())
			}
			return cc.Invoke(ctx, method, req, reply, opts...)
		}},
	})
	if err := conn.Invoke(within(t), "/a/b", &testpb.Empty{}, &testpb.Empty{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a call on the connection that stands for another ends with %v", err)
	}
	for range 2 {
		if err := conn.Close(); err != nil || seen.GetState() != connectivity.Shutdown {
			t.Errorf("Close returns %v and leaves a connection that is %v", err, seen.GetState())
		}
	}
}

// TestSideBySide: one server has services of both kinds, and clients of both
// libraries call either.
func TestSideBySide(t *testing.T) {
	everyPair(t, func(t *testing.T, client, server library) {
		if server == theirs {
			t.Skip("grpc-go's server has no services of h2grpc's")
		}
		svc := &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return &testpb.SimpleResponse{Username: "theirs"}, nil
		}}
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := h2grpc.NewServer(nil)
		h2health.NewServer().Register(s)
		r := grpcbridge.NewRegistrar(s, nil)
		svc.register(r)
		done := make(chan error)
		go func() { done <- s.Serve(lis) }()
		defer func() { s.Close(); <-done }()
		conn := dial(t, client, lis.Addr().String(), setup{})
		if got, err := testpb.NewTestServiceClient(conn).UnaryCall(within(t), &testpb.SimpleRequest{}); err != nil || got.Username != "theirs" {
			t.Error(got, err)
		}
		if got, err := healthpb.NewHealthClient(conn).Check(within(t), &healthpb.HealthCheckRequest{}); err != nil || got.Status != healthpb.HealthCheckResponse_SERVING {
			t.Error(got, err)
		}
		if info := r.GetServiceInfo(); len(info) != 1 || len(info["grpc.testing.TestService"].Methods) != len(s.ServiceInfo()["grpc.testing.TestService"].Methods) {
			t.Errorf("the registrar has %v, the server %v", info, s.ServiceInfo())
		}
	})
}

// TestTwice: Serve returns a mistake of the registration.
func TestTwice(t *testing.T) {
	s := h2grpc.NewServer(nil)
	r := grpcbridge.NewRegistrar(s, nil)
	(&service{}).register(r)
	(&service{}).register(r)
	defer s.Close()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(lis); err == nil || err == h2grpc.ErrServerClosed {
		t.Errorf("Serve returns %v", err)
	}
}

// TestTLS: both ends find the other's TLS state in grpc-go's types.
func TestTLS(t *testing.T) {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS() // for its certificate
	defer certified.Close()
	svc := &service{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		p, _ := peer.FromContext(ctx)
		info, ok := p.AuthInfo.(credentials.TLSInfo)
		if !ok || info.State.Version != tls.VersionTLS13 || info.SecurityLevel != credentials.PrivacyAndIntegrity {
			t.Errorf("the handler's peer has %v", p.AuthInfo)
		}
		return &testpb.SimpleResponse{}, nil
	}}
	var s setup
	s.h2server.TLS = &tls.Config{Certificates: certified.TLS.Certificates}
	s.h2client.TLS = &tls.Config{InsecureSkipVerify: true}
	stub := testpb.NewTestServiceClient(dial(t, ours, serve(t, ours, svc.register, s), s))
	var p peer.Peer
	if _, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{}, grpc.Peer(&p)); err != nil {
		t.Fatal(err)
	}
	if info, ok := p.AuthInfo.(credentials.TLSInfo); !ok || info.State.Version != tls.VersionTLS13 {
		t.Errorf("the call's peer has %v", p.AuthInfo)
	}
}

// events records the events of a stats handler.
type events struct {
	journal
	tag   string
	ended chan struct{}
}

type tagged struct{}

func (e *events) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	e.note("tag " + info.FullMethodName)
	in, _ := grpcmetadata.FromIncomingContext(ctx)
	ctx = grpcmetadata.NewIncomingContext(ctx, grpcmetadata.Join(in, grpcmetadata.Pairs("in", e.tag)))
	return grpcmetadata.AppendToOutgoingContext(context.WithValue(ctx, tagged{}, e.tag), e.tag, "yes")
}

func (e *events) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if ctx.Value(tagged{}) != e.tag {
		e.note("without its tag:")
	}
	line := fmt.Sprintf("%T", s)
	switch s := s.(type) {
	case *stats.InPayload:
		line += fmt.Sprint(" ", s.Length, " ", s.WireLength)
	case *stats.OutPayload:
		line += fmt.Sprint(" ", s.Length, " ", s.WireLength)
	case *stats.InHeader:
		if !s.Client {
			line += fmt.Sprint(" ", s.FullMethod, s.Header.Get("mark"), s.RemoteAddr != nil)
		}
	case *stats.OutHeader:
		line += fmt.Sprint(" ", s.FullMethod, s.Header.Get("mark"))
	case *stats.End:
		line += fmt.Sprint(" ", status.Code(s.Error), !s.EndTime.Before(s.BeginTime))
	}
	e.note(line)
	if _, ok := s.(*stats.End); ok {
		e.ended <- struct{}{}
	}
}

func (e *events) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (e *events) HandleConn(context.Context, stats.ConnStats)                       {}

// TestStats: the stats handlers of both ends are told of a call. Metadata that a
// client's handler adds is sent; metadata that a server's handler adds is found by
// the service's handler.
func TestStats(t *testing.T) {
	client, server := &events{tag: "mark", ended: make(chan struct{}, 1)}, &events{tag: "other", ended: make(chan struct{}, 1)}
	var s setup
	s.h2client.Stats, s.h2server.Stats = grpcbridge.Stats(client), grpcbridge.Stats(server)
	svc := &service{unary: func(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		if ctx.Value(tagged{}) != "other" {
			t.Error("the handler's context is not TagRPC's")
		}
		in, _ := grpcmetadata.FromIncomingContext(ctx)
		wantMD(t, "the handler", in, "in", "other")
		wantMD(t, "the handler", in, "mark", "yes")
		ours, _ := metadata.FromIncomingContext(ctx)
		wantMD(t, "the handler, by h2grpc,", grpcmetadata.MD(ours), "in", "other")
		if req.ResponseSize < 0 {
			return nil, status.Error(codes.InvalidArgument, "less than nothing")
		}
		return &testpb.SimpleResponse{Payload: payload("twelve bytes")}, nil
	}}
	stub := testpb.NewTestServiceClient(dial(t, ours, serve(t, ours, svc.register, s), s))
	method := testpb.TestService_UnaryCall_FullMethodName
	for _, c := range []struct {
		size           int32
		client, server []string
	}{
		{1, []string{"tag " + method, "*stats.Begin", "*stats.OutHeader " + method + "[yes]", "*stats.OutPayload 2 7", "*stats.InHeader", "*stats.InPayload 16 21", "*stats.End OK true"},
			[]string{"tag " + method, "*stats.Begin", "*stats.InHeader " + method + "[yes] true", "*stats.InPayload 2 7", "*stats.OutHeader []", "*stats.OutPayload 16 21", "*stats.End OK true"}},
		{-1, []string{"tag " + method, "*stats.Begin", "*stats.OutHeader " + method + "[yes]", "*stats.OutPayload 11 16", "*stats.InHeader", "*stats.End InvalidArgument true"},
			[]string{"tag " + method, "*stats.Begin", "*stats.InHeader " + method + "[yes] true", "*stats.InPayload 11 16", "*stats.OutHeader []", "*stats.End InvalidArgument true"}},
	} {
		_, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{ResponseSize: c.size})
		if (err == nil) != (c.size > 0) {
			t.Fatal(err)
		}
		<-client.ended
		<-server.ended // which may be after the client has its answer
		if got := client.take(); !slices.Equal(got, c.client) {
			t.Errorf("the client's handler is told\n%q; want\n%q", got, c.client)
		}
		if got := server.take(); !slices.Equal(got, c.server) {
			t.Errorf("the server's handler is told\n%q; want\n%q", got, c.server)
		}
	}
}
