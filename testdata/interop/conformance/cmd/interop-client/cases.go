package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/interoppb"
)

// cases are the test cases, by the names that gRPC's descriptions of its
// interoperability tests give them. The last six are those of its negative
// HTTP/2 tests, whose server breaks off calls and connections.
var cases = map[string]func(context.Context, *client) error{
	"empty_unary":                 emptyUnary,
	"large_unary":                 largeUnary,
	"client_streaming":            clientStreaming,
	"server_streaming":            serverStreaming,
	"ping_pong":                   pingPong,
	"empty_stream":                emptyStream,
	"timeout_on_sleeping_server":  timeoutOnSleepingServer,
	"cancel_after_begin":          cancelAfterBegin,
	"cancel_after_first_response": cancelAfterFirstResponse,
	"status_code_and_message":     statusCodeAndMessage,
	"special_status_message":      specialStatusMessage,
	"custom_metadata":             customMetadata,
	"unimplemented_method":        unimplementedMethod,
	"unimplemented_service":       unimplementedService,
	"rpc_soak":                    rpcSoak,
	"channel_soak":                channelSoak,

	"goaway":           goAway,
	"rst_after_header": reset,
	"rst_during_data":  reset,
	"rst_after_data":   reset,
	"ping":             largeUnary,
	"max_streams":      maxStreams,
}

// The sizes that the descriptions name, in bytes.
const (
	largeRequest  = 271828
	largeResponse = 314159
)

var (
	requestSizes  = []int{27182, 8, 1828, 45904}
	responseSizes = []int{31415, 9, 2653, 58979}
)

func payload(size int) *pb.Payload { return &pb.Payload{Body: make([]byte, size)} }

// wantPayload checks a payload of zeros.
func wantPayload(p *pb.Payload, size int) error {
	if p.GetType() != pb.PayloadType_COMPRESSABLE || len(p.GetBody()) != size {
		return fmt.Errorf("a payload of type %v with %d bytes, want COMPRESSABLE with %d", p.GetType(), len(p.GetBody()), size)
	}
	for i, b := range p.Body {
		if b != 0 {
			return fmt.Errorf("byte %d of the payload is %#x and not zero", i, b)
		}
	}
	return nil
}

// wantCode checks a call's error.
func wantCode(err error, want codes.Code) error {
	if got := status.Code(err); got != want {
		return fmt.Errorf("the call ended with %v (%v), want %v", got, err, want)
	}
	return nil
}

// wantEnd checks that a stream has ended well.
func wantEnd(stream interface {
	Recv() (*pb.StreamingOutputCallResponse, error)
}) error {
	if m, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("instead of the stream's end: %v, %v", m, err)
	}
	return nil
}

func emptyUnary(ctx context.Context, c *client) error {
	_, err := c.EmptyCall(ctx, new(pb.Empty))
	return err
}

func largeUnary(ctx context.Context, c *client) error {
	res, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: largeResponse, Payload: payload(largeRequest)})
	if err != nil {
		return err
	}
	return wantPayload(res.Payload, largeResponse)
}

func timeoutOnSleepingServer(ctx context.Context, c *client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return wantCode(err, codes.DeadlineExceeded)
	}
	if err := stream.Send(&pb.StreamingOutputCallRequest{Payload: payload(27182)}); err != nil && err != io.EOF {
		return err
	}
	_, err = stream.Recv()
	return wantCode(err, codes.DeadlineExceeded)
}

func cancelAfterBegin(ctx context.Context, c *client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.StreamingInputCall(ctx)
	if err != nil {
		return err
	}
	cancel()
	_, err = stream.CloseAndRecv()
	return wantCode(err, codes.Canceled)
}

func cancelAfterFirstResponse(ctx context.Context, c *client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if err := exchange(stream, requestSizes[0], responseSizes[0]); err != nil {
		return err
	}
	cancel()
	_, err = stream.Recv()
	return wantCode(err, codes.Canceled)
}

func statusCodeAndMessage(ctx context.Context, c *client) error {
	return wantStatus(ctx, c, "test status message")
}

func specialStatusMessage(ctx context.Context, c *client) error {
	return wantStatus(ctx, c, "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n")
}

// wantStatus has the server answer with UNKNOWN and a message, in a unary call
// and in a stream.
func wantStatus(ctx context.Context, c *client, message string) error {
	want := &pb.EchoStatus{Code: int32(codes.Unknown), Message: message}
	check := func(err error) error {
		if s := status.Convert(err); s.Code() != codes.Unknown || s.Message() != message {
			return fmt.Errorf("got the status %v with the message %q, want UNKNOWN with %q", s.Code(), s.Message(), message)
		}
		return nil
	}
	_, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseStatus: want})
	if err := check(err); err != nil {
		return fmt.Errorf("unary: %w", err)
	}
	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&pb.StreamingOutputCallRequest{ResponseStatus: want}); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	_, err = stream.Recv()
	return check(err)
}

func customMetadata(ctx context.Context, c *client) error {
	const (
		headerKey, headerValue   = "x-grpc-test-echo-initial", "test_initial_metadata_value"
		trailerKey, trailerValue = "x-grpc-test-echo-trailing-bin", "\xab\xab\xab"
	)
	check := func(header, trailer metadata.MD) error {
		if got := header.Get(headerKey); len(got) != 1 || got[0] != headerValue {
			return fmt.Errorf("the header %s is %q, want %q", headerKey, got, headerValue)
		}
		if got := trailer.Get(trailerKey); len(got) != 1 || got[0] != trailerValue {
			return fmt.Errorf("the trailer %s is %q, want %q", trailerKey, got, trailerValue)
		}
		return nil
	}
	ctx = metadata.AppendToOutgoingContext(ctx, headerKey, headerValue, trailerKey, trailerValue)

	var header, trailer metadata.MD
	res, err := c.UnaryCall(ctx, &pb.SimpleRequest{ResponseSize: largeResponse, Payload: payload(largeRequest)},
		h2grpc.Header(&header), h2grpc.Trailer(&trailer))
	if err != nil {
		return err
	}
	if err := wantPayload(res.Payload, largeResponse); err != nil {
		return err
	}
	if err := check(header, trailer); err != nil {
		return fmt.Errorf("unary: %w", err)
	}

	stream, err := c.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	if err := exchange(stream, largeRequest, largeResponse); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if err := wantEnd(stream); err != nil {
		return err
	}
	if header, err = stream.Header(); err != nil {
		return err
	}
	return check(header, stream.Trailer())
}

func unimplementedMethod(ctx context.Context, c *client) error {
	_, err := c.UnimplementedCall(ctx, new(pb.Empty))
	return wantCode(err, codes.Unimplemented)
}

func unimplementedService(ctx context.Context, c *client) error {
	_, err := pb.NewUnimplementedServiceClient(c.cc).UnimplementedCall(ctx, new(pb.Empty))
	return wantCode(err, codes.Unimplemented)
}
