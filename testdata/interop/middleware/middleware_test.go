package middleware_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	validate "github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/protovalidate"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/retry"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/metadata"
	validatepb "github.com/grpc-ecosystem/go-grpc-middleware/v2/testing/testvalidate/v1"
	"github.com/tenonrpc/tenon/h2grpc/grpcbridge"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type (
	bidiServer = grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]
	user       struct{}
)

// both makes a unary call and a stream of one request, and returns their errors.
func both(t *testing.T, ctx context.Context, stub testpb.TestServiceClient, opts ...grpc.CallOption) [2]error {
	t.Helper()
	_, unary := stub.UnaryCall(ctx, &testpb.SimpleRequest{}, opts...)
	stream, err := stub.FullDuplexCall(ctx, opts...)
	if err == nil {
		stream.Send(&testpb.StreamingOutputCallRequest{}) // RecvMsg has the status
		stream.CloseSend()
		for err == nil {
			_, err = stream.Recv()
		}
	}
	if err == io.EOF {
		err = nil
	}
	return [2]error{unary, err}
}

// TestAuth: the interceptor reads the token from the metadata, ends calls without
// one, and gives the handler its context.
func TestAuth(t *testing.T) {
	check := func(ctx context.Context) (context.Context, error) {
		token, err := auth.AuthFromMD(ctx, "bearer")
		if err != nil {
			return nil, err
		}
		return context.WithValue(ctx, user{}, token), nil
	}
	var s setup
	s.server.UnaryInterceptors = []grpc.UnaryServerInterceptor{auth.UnaryServerInterceptor(check)}
	s.server.StreamInterceptors = []grpc.StreamServerInterceptor{auth.StreamServerInterceptor(check)}
	wants := func(ctx context.Context) error {
		if ctx.Value(user{}) != "somebody" {
			t.Errorf("the handler's context has %v", ctx.Value(user{}))
		}
		return nil
	}
	svc := &service{unary: wants, full: func(stream bidiServer) error { return wants(stream.Context()) }}
	stub := testpb.NewTestServiceClient(connect(t, svc.register, s))
	for _, err := range both(t, within(t), stub) {
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("without a token a call ends with %v", err)
		}
	}
	ctx := metadata.MD(grpcmetadata.Pairs("authorization", "bearer somebody")).ToOutgoing(within(t))
	if errs := both(t, ctx, stub); errs != [2]error{} {
		t.Errorf("with a token calls end with %v", errs)
	}
}

// TestRecovery: a panic becomes what the interceptor makes of it, and the server
// goes on.
func TestRecovery(t *testing.T) {
	handler := recovery.WithRecoveryHandler(func(p any) error { return status.Errorf(codes.DataLoss, "recovered from %v", p) })
	var s setup
	s.server.UnaryInterceptors = []grpc.UnaryServerInterceptor{recovery.UnaryServerInterceptor(handler)}
	s.server.StreamInterceptors = []grpc.StreamServerInterceptor{recovery.StreamServerInterceptor(handler)}
	svc := &service{unary: func(context.Context) error { panic("oh") }, full: func(bidiServer) error { panic("oh") }}
	stub := testpb.NewTestServiceClient(connect(t, svc.register, s))
	for range 2 {
		for _, err := range both(t, within(t), stub) {
			if st := status.Convert(err); st.Code() != codes.DataLoss || st.Message() != "recovered from oh" {
				t.Errorf("a call ends with %v", err)
			}
		}
	}
}

// lines collects what is logged, as one line each.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Log(_ context.Context, level logging.Level, msg string, fields ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var line strings.Builder
	fmt.Fprint(&line, int(level), " ", msg)
	for i := 0; i+1 < len(fields); i += 2 {
		switch fields[i] {
		case "grpc.component", "grpc.method", "grpc.method_type", "grpc.code":
			fmt.Fprint(&line, " ", fields[i+1])
		case "peer.address":
			fmt.Fprint(&line, " peer")
		}
	}
	l.all = append(l.all, line.String())
}

func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	slices.Sort(all)
	return all
}

// TestLogging: both ends' interceptors log every call with its code, and the server's
// with its peer.
func TestLogging(t *testing.T) {
	var client, server lines
	var s setup
	only := logging.WithLogOnEvents(logging.FinishCall)
	s.client.UnaryInterceptors = []grpc.UnaryClientInterceptor{logging.UnaryClientInterceptor(&client, only)}
	s.client.StreamInterceptors = []grpc.StreamClientInterceptor{logging.StreamClientInterceptor(&client, only)}
	s.server.UnaryInterceptors = []grpc.UnaryServerInterceptor{logging.UnaryServerInterceptor(&server, only)}
	s.server.StreamInterceptors = []grpc.StreamServerInterceptor{logging.StreamServerInterceptor(&server, only)}
	svc := &service{
		unary: func(context.Context) error { return status.Error(codes.NotFound, "gone") },
		full:  func(bidiServer) error { return nil },
	}
	both(t, within(t), testpb.NewTestServiceClient(connect(t, svc.register, s)))
	if got, want := client.take(), []string{"-4 finished call client FullDuplexCall bidi_stream OK", "-4 finished call client UnaryCall unary NotFound"}; !slices.Equal(got, want) {
		t.Errorf("the client logs %q; want %q", got, want)
	}
	if got, want := server.take(), []string{"0 finished call server FullDuplexCall bidi_stream peer OK", "0 finished call server UnaryCall unary peer NotFound"}; !slices.Equal(got, want) {
		t.Errorf("the server logs %q; want %q", got, want)
	}
}

// TestRetry: calls are made again as the interceptor is told, options of single calls
// included, which mean nothing to a connection without it.
func TestRetry(t *testing.T) {
	var calls atomic.Int32
	var attempts []string
	fails := func(ctx context.Context) error {
		attempts = append(attempts, metadata.ExtractIncoming(ctx).Get(retry.AttemptMetadataKey))
		if calls.Add(1)%3 != 0 {
			return status.Error(codes.Unavailable, "not yet")
		}
		return nil
	}
	svc := &service{unary: fails}
	var s setup
	at := retry.WithBackoff(retry.BackoffLinear(time.Microsecond))
	s.client.UnaryInterceptors = []grpc.UnaryClientInterceptor{retry.UnaryClientInterceptor(retry.WithMax(2), at)}
	address := serve(t, svc.register, s)
	stub := testpb.NewTestServiceClient(dial(t, address, s))
	for _, retries := range []uint{2, 3} {
		if _, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{}, retry.WithMax(retries+1)); err != nil {
			t.Errorf("with %d retries the call ends with %v", retries, err)
		}
	}
	if want := []string{"", "1", "2", "", "1", "2"}; !slices.Equal(attempts, want) {
		t.Errorf("the attempts say %q; want %q", attempts, want)
	}
	plain := testpb.NewTestServiceClient(dial(t, address, setup{}))
	if _, err := plain.UnaryCall(within(t), &testpb.SimpleRequest{}, retry.WithMax(3)); status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "not yet" {
		t.Errorf("without the interceptor the call ends with %v", err)
	}
}

// TestRetryStream: a stream of responses that fails before its first one is begun
// again.
func TestRetryStream(t *testing.T) {
	svc := &outputs{}
	var s setup
	s.client.StreamInterceptors = []grpc.StreamClientInterceptor{retry.StreamClientInterceptor(retry.WithMax(3), retry.WithBackoff(retry.BackoffLinear(time.Microsecond)))}
	stub := testpb.NewTestServiceClient(connect(t, func(r *grpcbridge.Registrar) { testpb.RegisterTestServiceServer(r, svc) }, s))
	stream, err := stub.StreamingOutputCall(within(t), &testpb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Error(err)
	}
	if _, err := stream.Recv(); err != io.EOF || svc.calls.Load() != 3 {
		t.Errorf("after %d calls the stream ends with %v", svc.calls.Load(), err)
	}
}

type outputs struct {
	testpb.UnimplementedTestServiceServer
	calls atomic.Int32
}

func (o *outputs) StreamingOutputCall(_ *testpb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	if o.calls.Add(1) < 3 {
		return status.Error(codes.Unavailable, "not yet")
	}
	return stream.Send(&testpb.StreamingOutputCallResponse{})
}

// mail is the middleware's own service for tests of validation.
type mail struct {
	validatepb.UnimplementedTestValidateServiceServer
}

func (mail) Send(context.Context, *validatepb.SendRequest) (*validatepb.SendResponse, error) {
	return &validatepb.SendResponse{}, nil
}

func (mail) SendStream(_ *validatepb.SendStreamRequest, stream grpc.ServerStreamingServer[validatepb.SendStreamResponse]) error {
	return stream.Send(&validatepb.SendStreamResponse{})
}

// TestProtovalidate: requests that break the rules of their messages are refused with
// the violations as details.
func TestProtovalidate(t *testing.T) {
	validator, err := protovalidate.New()
	if err != nil {
		t.Fatal(err)
	}
	var s setup
	s.server.UnaryInterceptors = []grpc.UnaryServerInterceptor{validate.UnaryServerInterceptor(validator)}
	s.server.StreamInterceptors = []grpc.StreamServerInterceptor{validate.StreamServerInterceptor(validator)}
	stub := validatepb.NewTestValidateServiceClient(connect(t, func(r *grpcbridge.Registrar) { validatepb.RegisterTestValidateServiceServer(r, mail{}) }, s))
	send := func(to string) [2]error {
		_, unary := stub.Send(within(t), &validatepb.SendRequest{Message: to})
		stream, err := stub.SendStream(within(t), &validatepb.SendStreamRequest{Message: to})
		if err == nil {
			_, err = stream.Recv()
		}
		return [2]error{unary, err}
	}
	if errs := send("somebody@example.com"); errs != [2]error{} {
		t.Errorf("a valid request ends with %v", errs)
	}
	for _, err := range send("nobody") {
		if st := status.Convert(err); st.Code() != codes.InvalidArgument || len(st.Details()) != 1 || !strings.Contains(fmt.Sprint(st.Details()[0]), "email") {
			t.Errorf("an invalid request ends with %v and %v", err, st.Details())
		}
	}
}
