package middleware_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/grpcbridge"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// TestInterop runs grpc-go's interoperability tests with its own stubs and service,
// with the bridge at both ends and at either. A test of theirs that fails ends the
// process.
//
// One is not among them, special_status_message: it wants the text of an error to
// have line ends as they were sent, which h2grpc escapes. TestSpecialMessage is for
// what matters of it.
func TestInterop(t *testing.T) {
	cases := map[string]func(context.Context, testpb.TestServiceClient, ...grpc.CallOption){
		"empty_unary":                 interop.DoEmptyUnaryCall,
		"large_unary":                 interop.DoLargeUnaryCall,
		"client_streaming":            interop.DoClientStreaming,
		"server_streaming":            interop.DoServerStreaming,
		"ping_pong":                   interop.DoPingPong,
		"empty_stream":                interop.DoEmptyStream,
		"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
		"cancel_after_begin":          interop.DoCancelAfterBegin,
		"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
		"custom_metadata":             interop.DoCustomMetadata,
		"status_code_and_message":     interop.DoStatusCodeAndMessage,
	}
	ours := serve(t, func(r *grpcbridge.Registrar) { testpb.RegisterTestServiceServer(r, interop.NewTestServer()) }, setup{})
	lis := listen(t)
	server := grpc.NewServer()
	testpb.RegisterTestServiceServer(server, interop.NewTestServer())
	done := make(chan error)
	go func() { done <- server.Serve(lis) }()
	defer func() { server.Stop(); <-done }()
	theirs, err := grpc.NewClient("passthrough:///"+ours, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()

	for link, conn := range map[string]grpc.ClientConnInterface{
		"h2grpc to h2grpc":  dial(t, ours, setup{}),
		"h2grpc to grpc-go": dial(t, lis.Addr().String(), setup{}),
		"grpc-go to h2grpc": theirs,
	} {
		t.Run(link, func(t *testing.T) {
			for name, test := range cases {
				t.Run(name, func(t *testing.T) { test(within(t), testpb.NewTestServiceClient(conn)) })
			}
			t.Run("unimplemented_service", func(t *testing.T) {
				interop.DoUnimplementedService(within(t), testpb.NewUnimplementedServiceClient(conn))
			})
		})
	}
}

// TestSpecialMessage: a status's message is what was sent, whatever it is; the text
// of the error has it so that a terminal can show it.
func TestSpecialMessage(t *testing.T) {
	const message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
	stub := testpb.NewTestServiceClient(connect(t, func(r *grpcbridge.Registrar) { testpb.RegisterTestServiceServer(r, interop.NewTestServer()) }, setup{}))
	_, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{ResponseStatus: &testpb.EchoStatus{Code: 2, Message: message}})
	if st := status.Convert(err); st.Code() != codes.Unknown || st.Message() != message {
		t.Errorf("the status is %q; want %q", st.Message(), message)
	}
	if strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("the error's text is %q", err.Error())
	}
}
