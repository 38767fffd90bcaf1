package main

import (
	"context"
	"io"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/conformancepb"
	"github.com/tenonrpc/tenon/plugin/interop/conformance/internal/pipe"
)

// service implements the suite's service: every call answers what its request
// tells it to, and repeats what it was asked.
type service struct {
	pb.UnimplementedConformanceServiceServer
}

func (service) Unary(ctx context.Context, req *pb.UnaryRequest) (*pb.UnaryResponse, error) {
	info, err := requestInfo(ctx, req)
	if err != nil {
		return nil, err
	}
	payload, err := once(ctx, req.ResponseDefinition, info)
	if err != nil {
		return nil, err
	}
	return &pb.UnaryResponse{Payload: payload}, nil
}

func (service) IdempotentUnary(ctx context.Context, req *pb.IdempotentUnaryRequest) (*pb.IdempotentUnaryResponse, error) {
	info, err := requestInfo(ctx, req)
	if err != nil {
		return nil, err
	}
	payload, err := once(ctx, req.ResponseDefinition, info)
	if err != nil {
		return nil, err
	}
	return &pb.IdempotentUnaryResponse{Payload: payload}, nil
}

func (service) ClientStream(stream h2grpc.ClientStreamingServer[pb.ClientStreamRequest, pb.ClientStreamResponse]) error {
	var def *pb.UnaryResponseDefinition
	var requests []proto.Message
	for {
		req, err := stream.Recv()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if len(requests) == 0 {
			def = req.ResponseDefinition
		}
		requests = append(requests, req)
	}
	info, err := requestInfo(stream.Context(), requests...)
	if err != nil {
		return err
	}
	payload, err := once(stream.Context(), def, info)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pb.ClientStreamResponse{Payload: payload})
}

func (service) ServerStream(req *pb.ServerStreamRequest, stream h2grpc.ServerStreamingServer[pb.ServerStreamResponse]) error {
	info, err := requestInfo(stream.Context(), req)
	if err != nil {
		return err
	}
	a := answer{def: req.ResponseDefinition, stream: stream, send: func(p *pb.ConformancePayload) error {
		return stream.Send(&pb.ServerStreamResponse{Payload: p})
	}}
	if err := a.begin(); err != nil {
		return err
	}
	return a.rest(info)
}

func (service) BidiStream(stream h2grpc.BidiStreamingServer[pb.BidiStreamRequest, pb.BidiStreamResponse]) error {
	a := answer{stream: stream, send: func(p *pb.ConformancePayload) error {
		return stream.Send(&pb.BidiStreamResponse{Payload: p})
	}}
	var fullDuplex, begun bool
	var requests []proto.Message // since the last response
	for {
		req, err := stream.Recv()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if !begun {
			begun, fullDuplex, a.def = true, req.FullDuplex, req.ResponseDefinition
			if fullDuplex {
				if err := a.begin(); err != nil {
					return err
				}
			}
		}
		requests = append(requests, req)
		if !fullDuplex {
			continue
		}
		if !a.more() {
			break // it is asked to answer with the error now
		}
		info, err := requestInfo(stream.Context(), requests...)
		if err != nil {
			return err
		}
		if a.sent > 0 {
			info = &pb.ConformancePayload_RequestInfo{Requests: info.Requests}
		}
		if err := a.next(info); err != nil {
			return err
		}
		requests = nil
	}
	if !begun {
		return nil
	}
	info, err := requestInfo(stream.Context(), requests...)
	if err != nil {
		return err
	}
	if !fullDuplex {
		if err := a.begin(); err != nil {
			return err
		}
	}
	return a.rest(info)
}

// once is the answer of a call with one response.
func once(ctx context.Context, def *pb.UnaryResponseDefinition, info *pb.ConformancePayload_RequestInfo) (*pb.ConformancePayload, error) {
	if err := h2grpc.SetHeader(ctx, pipe.Metadata(def.GetResponseHeaders())); err != nil {
		return nil, err
	}
	if err := h2grpc.SetTrailer(ctx, pipe.Metadata(def.GetResponseTrailers())); err != nil {
		return nil, err
	}
	if err := pipe.Delay(ctx, def.GetResponseDelayMs()); err != nil {
		return nil, err
	}
	if e := def.GetError(); e != nil {
		return nil, failure(e, info)
	}
	return &pb.ConformancePayload{Data: def.GetResponseData(), RequestInfo: info}, nil
}

// answer is the answer of a call with any number of responses.
type answer struct {
	def    *pb.StreamResponseDefinition
	stream h2grpc.ServerStream
	send   func(*pb.ConformancePayload) error
	sent   int
}

// begin sets the trailers and sends the headers, so that the client sees them
// while the server waits.
func (a *answer) begin() error {
	if a.def == nil {
		return nil
	}
	a.stream.SetTrailer(pipe.Metadata(a.def.ResponseTrailers))
	return a.stream.SendHeader(pipe.Metadata(a.def.ResponseHeaders))
}

// more says whether there are more responses.
func (a *answer) more() bool { return a.sent < len(a.def.GetResponseData()) }

// next sends the next response, which carries info.
func (a *answer) next(info *pb.ConformancePayload_RequestInfo) error {
	if err := pipe.Delay(a.stream.Context(), a.def.GetResponseDelayMs()); err != nil {
		return err
	}
	data := a.def.GetResponseData()[a.sent]
	a.sent++
	return a.send(&pb.ConformancePayload{Data: data, RequestInfo: info})
}

// rest sends the responses that have not been sent and returns the error that
// is wanted. info goes with the first of all.
func (a *answer) rest(info *pb.ConformancePayload_RequestInfo) error {
	first := a.sent == 0
	for a.more() {
		if a.sent > 0 {
			info = nil
		}
		if err := a.next(info); err != nil {
			return err
		}
	}
	if a.def.GetError() == nil {
		return nil
	}
	if !first || a.sent > 0 {
		info = nil
	}
	return failure(a.def.GetError(), info)
}

// requestInfo is what the server saw of the request.
func requestInfo(ctx context.Context, requests ...proto.Message) (*pb.ConformancePayload_RequestInfo, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	info := &pb.ConformancePayload_RequestInfo{RequestHeaders: pipe.Headers(md)}
	if deadline, ok := ctx.Deadline(); ok {
		info.TimeoutMs = proto.Int64(time.Until(deadline).Milliseconds())
	}
	for _, req := range requests {
		m, err := anypb.New(req)
		if err != nil {
			return nil, err
		}
		info.Requests = append(info.Requests, m)
	}
	return info, nil
}

// failure is the error that e describes, with info among its details unless it
// is nil.
func failure(e *pb.Error, info *pb.ConformancePayload_RequestInfo) error {
	w := status.Proto{Code: int32(e.Code), Message: e.GetMessage()}
	details := e.Details
	if info != nil {
		m, err := anypb.New(info)
		if err != nil {
			return err
		}
		details = append(details, m)
	}
	for _, d := range details {
		w.Details = append(w.Details, status.Any{TypeURL: d.TypeUrl, Value: d.Value})
	}
	return status.FromProto(w).Err()
}
