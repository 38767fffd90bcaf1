package grpcbridge_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// TestUnary: metadata is sent both ways, grpc's functions find the call in a
// handler's context, and the options are filled.
func TestUnary(t *testing.T) {
	everyPair(t, func(t *testing.T, client, server library) {
		svc := &service{unary: func(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			method, _ := grpc.Method(ctx)
			from, ok := peer.FromContext(ctx)
			if !ok || !strings.HasPrefix(from.Addr.String(), "127.0.0.1:") || from.AuthInfo != nil {
				t.Errorf("the handler's peer is %v", from)
			}
			return &testpb.SimpleResponse{Payload: req.Payload, Username: method}, errors.Join(
				grpc.SetHeader(ctx, metadata.Pairs("asked", strings.Join(md.Get("ask"), "+"))),
				grpc.SendHeader(ctx, metadata.Pairs("bytes-bin", md.Get("bytes-bin")[0])),
				grpc.SetTrailer(ctx, metadata.Pairs("last", "one", "last", "two")))
		}}
		address := serve(t, server, svc.register, setup{})
		stub := testpb.NewTestServiceClient(dial(t, client, address, setup{}))
		ctx := metadata.AppendToOutgoingContext(within(t), "ask", "a", "ask", "b", "bytes-bin", "\x00\xff")
		var header, trailer metadata.MD
		var to peer.Peer
		ended := make(chan error, 2)
		got, err := stub.UnaryCall(ctx, &testpb.SimpleRequest{Payload: payload("hello")}, grpc.Header(&header), grpc.Trailer(&trailer),
			grpc.Peer(&to), grpc.OnFinish(func(err error) { ended <- err }), grpc.WaitForReady(true), grpc.MaxCallRecvMsgSize(1000),
			grpc.MaxCallSendMsgSize(1000), grpc.CallContentSubtype("proto"), grpc.UseCompressor("identity"), grpc.EmptyCallOption{})
		if err != nil || string(got.Payload.Body) != "hello" || got.Username != testpb.TestService_UnaryCall_FullMethodName {
			t.Fatal(got, err)
		}
		wantMD(t, "headers", header, "asked", "a+b")
		wantMD(t, "headers", header, "bytes-bin", "\x00\xff")
		wantMD(t, "trailers", trailer, "last", "one", "two")
		if to.Addr == nil || to.Addr.String() != address {
			t.Errorf("the peer of the call is %v; want %s", to.Addr, address)
		}
		if err := <-ended; err != nil || len(ended) != 0 {
			t.Errorf("OnFinish is told %v, and %d times more", err, len(ended))
		}
	})
}

// TestStatuses: a handler's status arrives with its details, the trailers and its
// place in a chain of errors; an error without a status arrives as with grpc-go.
func TestStatuses(t *testing.T) {
	detailed, err := status.New(codes.FailedPrecondition, "not now").WithDetails(&errdetails.ErrorInfo{Reason: "LATE", Domain: "test"})
	if err != nil {
		t.Fatal(err)
	}
	everyPair(t, func(t *testing.T, client, server library) {
		var fails error
		svc := &service{
			unary: func(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				grpc.SetTrailer(ctx, metadata.Pairs("why", "so"))
				return nil, fails
			},
			full: func(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
				s.SetTrailer(metadata.Pairs("why", "so"))
				return fails
			},
		}
		stub := testpb.NewTestServiceClient(dial(t, client, serve(t, server, svc.register, setup{}), setup{}))
		for _, c := range []struct {
			err  error
			want *status.Status
		}{
			{detailed.Err(), detailed},
			{errors.Join(errors.New("first"), status.Error(codes.DataLoss, "lost")), status.New(codes.DataLoss, "first\nrpc error: code = DataLoss desc = lost")},
			{errors.New("plain"), status.New(codes.Unknown, "plain")},
			{context.DeadlineExceeded, status.New(codes.DeadlineExceeded, "context deadline exceeded")},
			{status.Error(codes.Code(77), "new code"), status.New(codes.Code(77), "new code")},
		} {
			fails = c.err
			var trailer metadata.MD
			_, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{}, grpc.Trailer(&trailer))
			wantStatus(t, err, c.want)
			wantMD(t, "trailers", trailer, "why", "so")
			stream, err := stub.FullDuplexCall(within(t))
			if err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			wantStatus(t, err, c.want)
			wantMD(t, "a stream's trailers", stream.Trailer(), "why", "so")
			if c.want == detailed && !proto.Equal(status.Convert(err).Proto(), detailed.Proto()) {
				t.Errorf("the status is %v; want %v", status.Convert(err).Proto(), detailed.Proto())
			}
		}
	})
}

// TestStreams: all three kinds of streams, with headers, trailers and options.
func TestStreams(t *testing.T) {
	everyPair(t, func(t *testing.T, client, server library) {
		svc := &service{
			output: func(req *testpb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
				s.SetHeader(metadata.Pairs("kind", "output"))
				for range 3 {
					if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: req.Payload}); err != nil {
						return err
					}
				}
				return nil
			},
			input: func(s grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
				var n int32
				for {
					req, err := s.Recv()
					if err == io.EOF {
						s.SetTrailer(metadata.Pairs("kind", "input"))
						return s.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: n})
					}
					if err != nil {
						return err
					}
					n += int32(len(req.Payload.Body))
				}
			},
			full: func(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
				if err := s.SendHeader(metadata.Pairs("kind", "full")); err != nil {
					return err
				}
				for {
					req, err := s.Recv()
					if err == io.EOF {
						return nil
					}
					if err == nil {
						err = s.Send(&testpb.StreamingOutputCallResponse{Payload: req.Payload})
					}
					if err != nil {
						return err
					}
				}
			},
		}
		address := serve(t, server, svc.register, setup{})
		stub := testpb.NewTestServiceClient(dial(t, client, address, setup{}))
		t.Run("output", func(t *testing.T) { outputStream(t, stub) })
		t.Run("input", func(t *testing.T) { inputStream(t, stub) })
		t.Run("full", func(t *testing.T) { fullStream(t, stub, address) })
	})
}

func outputStream(t *testing.T, stub testpb.TestServiceClient) {
	var header metadata.MD
	ended := make(chan error, 2)
	stream, err := stub.StreamingOutputCall(within(t), &testpb.StreamingOutputCallRequest{Payload: payload("x")}, grpc.Header(&header), grpc.OnFinish(func(err error) { ended <- err }))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil || string(m.Payload.Body) != "x" {
			t.Fatal(m, err)
		}
		n++
	}
	if err := <-ended; n != 3 || err != nil {
		t.Errorf("%d messages, and OnFinish is told %v", n, err)
	}
	wantMD(t, "headers of the option", header, "kind", "output")
}

func inputStream(t *testing.T, stub testpb.TestServiceClient) {
	var trailer metadata.MD
	ended := make(chan error, 2)
	stream, err := stub.StreamingInputCall(within(t), grpc.Trailer(&trailer), grpc.OnFinish(func(err error) { ended <- err }))
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if err := stream.Send(&testpb.StreamingInputCallRequest{Payload: payload("12345")}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := stream.CloseAndRecv()
	if err != nil || got.AggregatedPayloadSize != 20 {
		t.Fatal(got, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	wantMD(t, "trailers of the option", trailer, "kind", "input")
	wantMD(t, "trailers", stream.Trailer(), "kind", "input")
}

func fullStream(t *testing.T, stub testpb.TestServiceClient, address string) {
	stream, err := stub.FullDuplexCall(within(t))
	if err != nil {
		t.Fatal(err)
	}
	header, err := stream.Header()
	if err != nil {
		t.Fatal(err)
	}
	wantMD(t, "headers", header, "kind", "full")
	if p, ok := peer.FromContext(stream.Context()); !ok || p.Addr.String() != address {
		t.Errorf("the stream's peer is %v; want %s", p, address)
	}
	for _, body := range []string{"ping", "pong"} {
		if err := stream.Send(&testpb.StreamingOutputCallRequest{Payload: payload(body)}); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || string(m.Payload.Body) != body {
			t.Fatal(m, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Recv(); err != io.EOF {
		t.Fatal(m, err)
	}
	<-stream.Context().Done() // nothing is held any more
}

// TestEnds: deadlines and cancellation reach the handler, and the caller gets their
// codes, also from OnFinish.
func TestEnds(t *testing.T) {
	everyPair(t, func(t *testing.T, client, server library) {
		begun, over := make(chan time.Time, 1), make(chan error, 1)
		wait := func(ctx context.Context) error {
			deadline, _ := ctx.Deadline()
			begun <- deadline
			<-ctx.Done()
			over <- ctx.Err()
			return status.FromContextError(ctx.Err()).Err()
		}
		svc := &service{
			unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
				return nil, wait(ctx)
			},
			full: func(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
				err := wait(s.Context())
				if _, got := s.Recv(); status.Code(got) != codes.Canceled {
					t.Errorf("a cancelled call's handler receives %v", got)
				}
				over <- nil
				return err
			},
		}
		stub := testpb.NewTestServiceClient(dial(t, client, serve(t, server, svc.register, setup{}), setup{}))
		// Connected first, so that the deadline is the handler's.
		if _, err := stub.EmptyCall(within(t), &testpb.Empty{}); status.Code(err) != codes.Unimplemented {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		deadline, _ := ctx.Deadline()
		_, err := stub.UnaryCall(ctx, &testpb.SimpleRequest{})
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a call past its deadline ends with %v", err)
		}
		if got := <-begun; got.Sub(deadline).Abs() > patience {
			t.Errorf("the handler's deadline is %v; want about %v", got, deadline)
		}
		<-over // the deadline or the reset may come first

		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 2)
		stream, err := stub.FullDuplexCall(ctx, grpc.OnFinish(func(err error) { ended <- err }))
		if err != nil {
			t.Fatal(err)
		}
		if deadline := <-begun; !deadline.IsZero() {
			t.Errorf("a call without a deadline has %v", deadline)
		}
		cancel()
		if err := <-over; err != context.Canceled {
			t.Errorf("the handler's context ends with %v", err)
		}
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Errorf("OnFinish is told %v", err)
		}
		<-over
		if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
			t.Errorf("a cancelled call ends with %v", err)
		}
	})
}

// TestFinishUsesStream: a function of OnFinish may use the stream that has ended.
func TestFinishUsesStream(t *testing.T) {
	everyPair(t, func(t *testing.T, client, server library) {
		svc := &service{full: func(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
			s.SetTrailer(metadata.Pairs("last", "one"))
			return status.Error(codes.OutOfRange, "far")
		}}
		stub := testpb.NewTestServiceClient(dial(t, client, serve(t, server, svc.register, setup{}), setup{}))
		var stream grpc.BidiStreamingClient[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]
		var trailer metadata.MD
		ended := make(chan error, 1)
		stream, err := stub.FullDuplexCall(within(t), grpc.Trailer(&trailer), grpc.OnFinish(func(error) {
			wantMD(t, "trailers of the option", trailer, "last", "one")
			_, err := stream.Recv()
			ended <- err
		}))
		if err != nil {
			t.Fatal(err)
		}
		go stream.Recv() // which never returns if it waits for the callback
		select {
		case err := <-ended:
			wantStatus(t, err, status.New(codes.OutOfRange, "far"))
		case <-time.After(patience):
			t.Error("a callback that uses the stream waits for ever")
		}
	})
}

// TestSendFails: RecvMsg goes on returning the error that SendMsg has returned, or
// io.EOF if that came first.
func TestSendFails(t *testing.T) {
	everyPair(t, func(t *testing.T, client, server library) {
		svc := &service{full: func(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
			if len(metadata.ValueFromIncomingContext(s.Context(), "wait")) > 0 {
				<-s.Context().Done()
			}
			return nil
		}, input: func(s grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
			return s.SendAndClose(&testpb.StreamingInputCallResponse{})
		}}
		stub := testpb.NewTestServiceClient(dial(t, client, serve(t, server, svc.register, setup{}), setup{}))
		stream, err := stub.FullDuplexCall(metadata.AppendToOutgoingContext(within(t), "wait", "yes"))
		if err != nil {
			t.Fatal(err)
		}
		stream.CloseSend()
		failed := stream.Send(&testpb.StreamingOutputCallRequest{})
		if status.Code(failed) != codes.Internal {
			t.Errorf("SendMsg after CloseSend returns %v", failed)
		}
		for range 2 {
			if _, err := stream.Recv(); status.Code(err) != codes.Internal || err.Error() != failed.Error() {
				t.Errorf("RecvMsg returns %v after SendMsg has returned %v", err, failed)
			}
		}

		if stream.Trailer() == nil {
			t.Error("the trailers of a call that ended without any are nil")
		}

		for _, one := range []bool{false, true} {
			var stream grpc.ClientStream
			var answer any = &testpb.StreamingOutputCallResponse{}
			if one {
				answer = &testpb.StreamingInputCallResponse{}
				stream, err = stub.StreamingInputCall(within(t))
			} else {
				stream, err = stub.FullDuplexCall(within(t))
			}
			if err != nil {
				t.Fatal(err)
			}
			stream.CloseSend()
			if err := stream.RecvMsg(answer); one != (err == nil) || !one && err != io.EOF {
				t.Errorf("RecvMsg returns %v", err)
			}
			if err := stream.SendMsg(&testpb.StreamingInputCallRequest{}); status.Code(err) != codes.Internal {
				t.Errorf("SendMsg after CloseSend returns %v", err)
			}
			if err := stream.RecvMsg(answer); err != io.EOF {
				t.Errorf("RecvMsg returns %v after the call has ended well", err)
			}
		}
	})
}

// TestOneResponseAfterError: a response that has arrived does not make a call succeed
// of which SendMsg has failed.
func TestOneResponseAfterError(t *testing.T) {
	svc := &service{input: func(s grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
		return s.SendAndClose(&testpb.StreamingInputCallResponse{})
	}}
	stub := testpb.NewTestServiceClient(dial(t, ours, serve(t, ours, svc.register, setup{}), setup{}))
	stream, err := stub.StreamingInputCall(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	stream.CloseSend()
	failed := stream.Send(&testpb.StreamingInputCallRequest{})
	if err := stream.RecvMsg(&testpb.StreamingInputCallResponse{}); err == nil || err != failed {
		t.Errorf("RecvMsg returns %v after SendMsg has returned %v", err, failed)
	}
}

// TestOwnMetadata: no two results share a map, trailers are never nil, and empty
// headers can be set at any time.
func TestOwnMetadata(t *testing.T) {
	everyPair(t, func(t *testing.T, client, server library) {
		svc := &service{unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			s := grpc.ServerTransportStreamFromContext(ctx)
			return &testpb.SimpleResponse{}, errors.Join(s.SendHeader(metadata.Pairs("first", "one")), s.SetHeader(nil), s.SetHeader(metadata.MD{}),
				s.SetTrailer(metadata.Pairs("last", "one")))
		}, full: func(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
			s.SetTrailer(metadata.Pairs(metadata.ValueFromIncomingContext(s.Context(), "trailer")...))
			return errors.Join(s.SendHeader(nil), s.SetHeader(nil), s.SetHeader(metadata.MD{}))
		}}
		stub := testpb.NewTestServiceClient(dial(t, client, serve(t, server, svc.register, setup{}), setup{}))
		var headers, trailers [2]metadata.MD
		opts := []grpc.CallOption{grpc.Header(&headers[0]), grpc.Header(&headers[1]), grpc.Trailer(&trailers[0]), grpc.Trailer(&trailers[1])}
		if _, err := stub.UnaryCall(within(t), &testpb.SimpleRequest{}, opts...); err != nil {
			t.Fatal(err)
		}
		headers[0].Append("first", "two")
		trailers[0].Append("last", "two")
		headers[0].Set("other", "yes")
		trailers[0].Set("other", "yes")
		wantMD(t, "headers", headers[1], "first", "one")
		wantMD(t, "trailers", trailers[1], "last", "one")
		if len(headers[1].Get("other"))+len(trailers[1].Get("other")) != 0 {
			t.Errorf("what is put into %v and %v is in %v and %v", headers[0], trailers[0], headers[1], trailers[1])
		}

		for _, sent := range []string{"", "last"} {
			ctx := within(t)
			if sent != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "trailer", sent, "trailer", "one")
			}
			stream, err := stub.FullDuplexCall(ctx, grpc.Trailer(&trailers[0]))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != io.EOF {
				t.Fatal(err)
			}
			if stream.Trailer() == nil || trailers[0] == nil {
				t.Errorf("the trailers are %#v and %#v", stream.Trailer(), trailers[0])
				continue
			}
			stream.Trailer().Set("other", "yes")
			trailers[0].Set("other", "yes")
			if got := stream.Trailer(); len(got.Get("other")) != 0 || sent != "" && len(got.Get(sent)) != 1 {
				t.Errorf("the trailers are %v", got)
			}
		}
	})
}

// TestTooLarge: the limits of a call hold, and only the call ends.
func TestTooLarge(t *testing.T) {
	everyPair(t, func(t *testing.T, client, server library) {
		svc := &service{unary: func(_ context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return &testpb.SimpleResponse{Payload: req.Payload}, nil
		}}
		stub := testpb.NewTestServiceClient(dial(t, client, serve(t, server, svc.register, setup{}), setup{}))
		req := &testpb.SimpleRequest{Payload: payload(strings.Repeat("x", 1000))}
		for _, opt := range []grpc.CallOption{grpc.MaxCallRecvMsgSize(100), grpc.MaxCallSendMsgSize(100)} {
			if _, err := stub.UnaryCall(within(t), req, opt); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("%T: the call ends with %v", opt, err)
			}
		}
		if _, err := stub.UnaryCall(within(t), req); err != nil {
			t.Error(err)
		}
	})
}

// TestNoRead: a client that leaves a stream after an error of SendMsg leaves nothing
// behind, and one whose server ends early learns the reason from RecvMsg.
func TestNoRead(t *testing.T) {
	everyPair(t, func(t *testing.T, client, server library) {
		over := make(chan struct{}, 1)
		svc := &service{full: func(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
			<-s.Context().Done()
			over <- struct{}{}
			return nil
		}, input: func(grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
			return status.Error(codes.ResourceExhausted, "enough")
		}}
		stub := testpb.NewTestServiceClient(dial(t, client, serve(t, server, svc.register, setup{}), setup{}))
		ended := make(chan error, 2)
		stream, err := stub.FullDuplexCall(within(t), grpc.MaxCallSendMsgSize(10), grpc.OnFinish(func(err error) { ended <- err }))
		if err != nil {
			t.Fatal(err)
		}
		err = stream.Send(&testpb.StreamingOutputCallRequest{Payload: payload("more than ten bytes")})
		if status.Code(err) != codes.ResourceExhausted {
			t.Errorf("a message that is too large: %v", err)
		}
		if err := <-ended; status.Code(err) != codes.ResourceExhausted {
			t.Errorf("OnFinish is told %v", err)
		}
		<-over

		input, err := stub.StreamingInputCall(within(t))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			err = input.Send(&testpb.StreamingInputCallRequest{Payload: payload("more")})
		}
		if err != io.EOF {
			t.Errorf("SendMsg returns %v once the call has ended", err)
		}
		_, err = input.CloseAndRecv()
		wantStatus(t, err, status.New(codes.ResourceExhausted, "enough"))
	})
}
