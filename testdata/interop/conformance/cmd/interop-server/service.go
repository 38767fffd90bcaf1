package main

import (
	"context"
	"io"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/interoppb"
)

// The metadata that calls give back, in headers and in trailers.
const (
	echoHeader  = "x-grpc-test-echo-initial"
	echoTrailer = "x-grpc-test-echo-trailing-bin"
)

// maxResponse bounds the responses that a client may ask for.
const maxResponse = 16 << 20

// service implements grpc.testing.TestService as gRPC's interoperability test
// descriptions want it.
type service struct {
	pb.UnimplementedTestServiceServer
}

func (service) EmptyCall(context.Context, *pb.Empty) (*pb.Empty, error) { return new(pb.Empty), nil }

func (service) UnaryCall(ctx context.Context, req *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if err := echo(ctx); err != nil {
		return nil, err
	}
	if err := wanted(req.ResponseStatus); err != nil {
		return nil, err
	}
	p, err := payload(req.ResponseSize)
	if err != nil {
		return nil, err
	}
	return &pb.SimpleResponse{Payload: p}, nil
}

func (service) StreamingOutputCall(req *pb.StreamingOutputCallRequest, stream h2grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	return respond(req, stream)
}

func (service) StreamingInputCall(stream h2grpc.ClientStreamingServer[pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	sum := 0
	for {
		switch req, err := stream.Recv(); err {
		case nil:
			sum += len(req.GetPayload().GetBody())
		case io.EOF:
			return stream.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		default:
			return err
		}
	}
}

func (service) FullDuplexCall(stream h2grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	if err := echo(stream.Context()); err != nil {
		return err
	}
	for {
		req, err := stream.Recv()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := wanted(req.ResponseStatus); err != nil {
			return err
		}
		if err := respond(req, stream); err != nil {
			return err
		}
	}
}

func (service) HalfDuplexCall(stream h2grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	var requests []*pb.StreamingOutputCallRequest
	for {
		req, err := stream.Recv()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		requests = append(requests, req)
	}
	for _, req := range requests {
		if err := respond(req, stream); err != nil {
			return err
		}
	}
	return nil
}

// echo gives back the metadata that is to be given back.
func echo(ctx context.Context) error {
	if v := metadata.ValueFromIncomingContext(ctx, echoTrailer); len(v) > 0 {
		if err := h2grpc.SetTrailer(ctx, metadata.MD{echoTrailer: v}); err != nil {
			return err
		}
	}
	if v := metadata.ValueFromIncomingContext(ctx, echoHeader); len(v) > 0 {
		return h2grpc.SendHeader(ctx, metadata.MD{echoHeader: v})
	}
	return nil
}

// wanted is the error that a request wants to be answered with.
func wanted(s *pb.EchoStatus) error {
	return status.Error(codes.Code(s.GetCode()), s.GetMessage())
}

func payload(size int32) (*pb.Payload, error) {
	if size < 0 || size > maxResponse {
		return nil, status.Errorf(codes.InvalidArgument, "a response of %d bytes", size)
	}
	return &pb.Payload{Body: make([]byte, size)}, nil
}

// sender is a stream of responses.
type sender interface {
	Send(*pb.StreamingOutputCallResponse) error
	Context() context.Context
}

// respond sends the responses that a request wants.
func respond(req *pb.StreamingOutputCallRequest, stream sender) error {
	for _, r := range req.ResponseParameters {
		if us := r.GetIntervalUs(); us > 0 {
			t := time.NewTimer(time.Duration(us) * time.Microsecond)
			select {
			case <-t.C:
			case <-stream.Context().Done():
				t.Stop()
				return stream.Context().Err()
			}
		}
		p, err := payload(r.Size)
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: p}); err != nil {
			return err
		}
	}
	return nil
}
