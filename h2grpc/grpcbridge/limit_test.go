package grpcbridge_test

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/limit"
)

// TestLimits: grpc-go's clients decode the delay of a call that is over h2grpc's limit,
// and find none where it is unknown.
func TestLimits(t *testing.T) {
	for _, client := range []library{ours, theirs} {
		t.Run(client.String(), func(t *testing.T) {
			l, err := limit.New(&limit.Config{Methods: map[string]limit.Limits{
				testpb.TestService_UnaryCall_FullMethodName:      {Rate: 1.0 / 3600, Burst: 1},
				testpb.TestService_FullDuplexCall_FullMethodName: {InFlight: 1},
			}})
			if err != nil {
				t.Fatal(err)
			}
			s := setup{h2server: h2grpc.ServerConfig{
				UnaryInterceptors:  []h2grpc.UnaryServerInterceptor{l.Unary},
				StreamInterceptors: []h2grpc.StreamServerInterceptor{l.Stream},
			}}
			svc := &service{
				unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
					return &testpb.SimpleResponse{}, nil
				},
				full: func(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
					if err := s.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
						return err
					}
					<-s.Context().Done()
					return nil
				},
			}
			stub := testpb.NewTestServiceClient(dial(t, client, serve(t, ours, svc.register, s), s))
			if _, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{}); err != nil {
				t.Fatal(err)
			}
			_, err = stub.UnaryCall(within(t), &testpb.SimpleRequest{})
			st := status.Convert(err)
			if st.Code() != codes.ResourceExhausted || len(st.Details()) != 1 {
				t.Fatalf("the second call: %v with the details %v", err, st.Details())
			}
			info, ok := st.Details()[0].(*errdetails.RetryInfo)
			if d := info.GetRetryDelay(); !ok || d.CheckValid() != nil || d.AsDuration() < time.Hour-patience || d.AsDuration() > time.Hour {
				t.Errorf("the detail is %v", st.Details()[0])
			}
			first, err := stub.FullDuplexCall(within(t))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := first.Recv(); err != nil {
				t.Fatal(err)
			}
			second, err := stub.FullDuplexCall(within(t))
			if err != nil {
				t.Fatal(err)
			}
			_, err = second.Recv()
			if st := status.Convert(err); st.Code() != codes.ResourceExhausted || len(st.Details()) != 0 {
				t.Errorf("the second stream: %v with the details %v", err, st.Details())
			}
		})
	}
}

// TestRetryDelay: RetryDelay reads what grpc-go's servers send.
func TestRetryDelay(t *testing.T) {
	const want = 1500 * time.Millisecond
	st, err := status.New(codes.Unavailable, "later").WithDetails(&errdetails.ErrorInfo{Reason: "BUSY"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(want)})
	if err != nil {
		t.Fatal(err)
	}
	svc := &service{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) { return nil, st.Err() }}
	address := serve(t, theirs, svc.register, setup{})
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}})
	defer cc.Close()
	err = cc.Invoke(within(t), testpb.TestService_UnaryCall_FullMethodName, &testpb.SimpleRequest{}, &testpb.SimpleResponse{})
	if got, ok := limit.RetryDelay(err); got != want || !ok {
		t.Errorf("the delay is %v, %v; want %v", got, ok, want)
	}
}
