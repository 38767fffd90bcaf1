package grpcbridge_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/grpcbridge"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	grpccodes "google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	grpcmetadata "google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	grpcstatus "google.golang.org/grpc/status"
)

type custom struct{ error }

// TestErrors: an error has the status for the other library and is still in the
// chain; translated back it is the error itself.
func TestErrors(t *testing.T) {
	st, err := status.New(codes.Aborted, "again").WithDetails(&errdetails.RetryInfo{})
	if err != nil {
		t.Fatal(err)
	}
	theirs := grpcbridge.GRPCError(st.Err())
	if got := grpcstatus.Convert(theirs); got.Code() != grpccodes.Aborted || got.Message() != "again" || len(got.Details()) != 1 {
		t.Errorf("for grpc-go the status is %v with %v", got, got.Details())
	}
	if theirs.Error() != st.Err().Error() || !errors.Is(theirs, grpcstatus.Convert(theirs).Err()) || errors.Is(theirs, grpcstatus.Error(grpccodes.Aborted, "else")) {
		t.Errorf("the error %v is not what it should be", theirs)
	}
	if status.Code(theirs) != codes.Aborted || status.Code(grpcbridge.H2Error(theirs)) != codes.Aborted {
		t.Errorf("for h2grpc the code is %v and %v", status.Code(theirs), status.Code(grpcbridge.H2Error(theirs)))
	}
	if late := grpcbridge.GRPCError(status.Error(codes.DeadlineExceeded, "late")); !errors.Is(late, context.DeadlineExceeded) {
		t.Errorf("%v is no context.DeadlineExceeded any more", late)
	}

	wrapped := custom{fmt.Errorf("the plugin died: %w", st.Err())}
	if _, ok := errors.AsType[custom](grpcbridge.GRPCError(wrapped)); !ok {
		t.Error("the chain has lost an error")
	}

	back := grpcbridge.H2Error(grpcstatus.Error(grpccodes.NotFound, "gone"))
	if got := status.Convert(back); got.Code() != codes.NotFound || got.Message() != "gone" {
		t.Errorf("for h2grpc the status is %v", got)
	}
	if again := grpcbridge.GRPCError(back); again != errors.Unwrap(back) {
		t.Errorf("there and back is %v", again)
	}
	if ours := st.Err(); grpcbridge.H2Error(grpcbridge.GRPCError(ours)) != ours || grpcbridge.H2Error(ours) != ours {
		t.Error("there and back is not the error itself")
	}
	for _, err := range []error{nil, io.EOF, errors.New("plain"), context.Canceled} {
		if grpcbridge.GRPCError(err) != err || grpcbridge.H2Error(err) != err {
			t.Errorf("%v has no status, and does not stay what it is", err)
		}
	}
}

// TestContexts: the other library finds what one library has put into a context.
func TestContexts(t *testing.T) {
	addr := &net.TCPAddr{Port: 1}
	state := &tls.ConnectionState{ServerName: "there"}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("in", "1"))
	ctx = metadata.NewOutgoingContext(ctx, metadata.Pairs("out", "2"))
	ctx = grpcbridge.GRPCContext(peer.NewContext(ctx, &peer.Peer{Addr: addr, TLS: state}))
	in, _ := grpcmetadata.FromIncomingContext(ctx)
	out, _ := grpcmetadata.FromOutgoingContext(ctx)
	p, ok := grpcpeer.FromContext(ctx)
	if fmt.Sprint(in.Get("in"), out.Get("out")) != "[1] [2]" || !ok || p.Addr != addr || p.AuthInfo.(credentials.TLSInfo).State.ServerName != "there" {
		t.Errorf("grpc-go finds %v, %v and %v", in, out, p)
	}

	ctx = grpcmetadata.NewIncomingContext(t.Context(), grpcmetadata.Pairs("in", "3"))
	ctx = grpcmetadata.AppendToOutgoingContext(ctx, "out", "4")
	ctx = grpcbridge.H2Context(grpcpeer.NewContext(ctx, p))
	got, _ := metadata.FromIncomingContext(ctx)
	sent, _ := metadata.FromOutgoingContext(ctx)
	from, ok := peer.FromContext(ctx)
	if fmt.Sprint(got, sent) != "map[in:[3]] map[out:[4]]" || !ok || from.Addr != addr || from.TLS.ServerName != "there" {
		t.Errorf("h2grpc finds %v, %v and %v", got, sent, from)
	}
	if grpcbridge.H2Context(t.Context()) != t.Context() || grpcbridge.GRPCContext(t.Context()) != t.Context() {
		t.Error("a context that has nothing is made another")
	}
}

// TestBothSend: a call sends the metadata of both libraries, and a key that is in
// both once.
func TestBothSend(t *testing.T) {
	check := func(ctx context.Context) {
		md, _ := grpcmetadata.FromIncomingContext(ctx)
		wantMD(t, "the call", md, "one", "1")
		wantMD(t, "the call", md, "two", "2")
		wantMD(t, "the call", md, "both", "grpc-go's")
	}
	svc := &service{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		check(ctx)
		return &testpb.SimpleResponse{}, nil
	}, full: func(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
		check(s.Context())
		return nil
	}}
	stub := testpb.NewTestServiceClient(dial(t, ours, serve(t, ours, svc.register, setup{}), setup{}))
	ctx := metadata.AppendToOutgoingContext(within(t), "one", "1", "both", "h2grpc's")
	ctx = grpcmetadata.AppendToOutgoingContext(ctx, "two", "2", "both", "grpc-go's")
	if _, err := stub.UnaryCall(ctx, &testpb.SimpleRequest{}); err != nil {
		t.Error(err)
	}
	stream, err := stub.FullDuplexCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Error(err)
	}
}

// TestWaitForReady: a call that does not wait fails when dialling fails; one that
// waits fails when its context ends.
func TestWaitForReady(t *testing.T) {
	var s setup
	s.h2client.Dial = func(context.Context) (net.Conn, error) { return nil, errors.New("nobody is there") }
	stub := testpb.NewTestServiceClient(dial(t, ours, "", s))
	for wait, want := range map[bool]grpccodes.Code{false: grpccodes.Unavailable, true: grpccodes.DeadlineExceeded} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, err := stub.UnaryCall(ctx, &testpb.SimpleRequest{}, grpc.WaitForReady(wait)); grpcstatus.Code(err) != want {
			t.Errorf("with WaitForReady(%v) the call ends with %v; want %v", wait, err, want)
		}
		cancel()
	}
}

// The options of other packages' interceptors look like these.
type (
	foreignOption struct{ grpc.EmptyCallOption }
	foreignHeader struct{ grpc.HeaderCallOption }
	foreignAny    struct{ grpc.CallOption }
)

// TestOptions: an option without support fails its call with an error that names it;
// one of another package has the effect of the option that it embeds.
func TestOptions(t *testing.T) {
	svc := &service{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		return &testpb.SimpleResponse{}, grpc.SetHeader(ctx, grpcmetadata.Pairs("there", "yes"))
	}}
	stub := testpb.NewTestServiceClient(dial(t, ours, serve(t, ours, svc.register, setup{}), setup{}))
	refused := map[string]grpc.CallOption{
		"PerRPCCredentials":       grpc.PerRPCCredentials(nil),
		"CallAuthority":           grpc.CallAuthority("x"),
		"CallContentSubtype":      grpc.CallContentSubtype("json"),
		"ForceCodec":              grpc.ForceCodec(nil),
		"ForceCodecV2":            grpc.ForceCodecV2(encoding.CodecV2(nil)),
		"CallCustomCodec":         grpc.CustomCodecCallOption{},
		"MaxRetryRPCBufferSize":   grpc.MaxRetryRPCBufferSize(1),
		"MaxCallRecvMsgSize(0)":   grpc.MaxCallRecvMsgSize(0),
		"MaxCallSendMsgSize(-1)":  grpc.MaxCallSendMsgSize(-1),
		"CallAuthority cannot be": foreignAny{grpc.CallAuthority("x")},
	}
	for name, opt := range refused {
		var told error
		_, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{}, opt, grpc.OnFinish(func(err error) { told = err }))
		if grpcstatus.Code(err) != grpccodes.Unimplemented || !strings.Contains(err.Error(), name) || told != err {
			t.Errorf("%s: the call ends with %v, and OnFinish is told %v", name, err, told)
		}
		if _, err := stub.FullDuplexCall(within(t), opt); grpcstatus.Code(err) != grpccodes.Unimplemented || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: the stream ends with %v", name, err)
		}
	}
	var header grpcmetadata.MD
	if _, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{}, nil, foreignOption{}, &foreignOption{},
		foreignAny{foreignOption{}}, foreignHeader{grpc.HeaderCallOption{HeaderAddr: &header}}, grpc.StaticMethod()); err != nil {
		t.Error(err)
	}
	wantMD(t, "headers", header, "there", "yes")
	if _, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{}, grpc.UseCompressor("zstd")); grpcstatus.Code(err) != grpccodes.Internal {
		t.Errorf("a compressor that is not there: %v", err)
	}
}
