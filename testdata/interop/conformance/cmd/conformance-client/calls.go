package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/gzip"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/conformancepb"
	"github.com/tenonrpc/tenon/plugin/interop/conformance/internal/pipe"
)

// call makes one call. Its error says that the call could not be made at all.
func (c *conns) call(ctx context.Context, req *pb.ClientCompatRequest) (*pb.ClientResponseResult, error) {
	cc, err := c.get(req)
	if err != nil {
		return nil, err
	}
	messages := make([]proto.Message, len(req.RequestMessages))
	for i, m := range req.RequestMessages {
		if messages[i], err = m.UnmarshalNew(); err != nil {
			return nil, fmt.Errorf("request message %d: %w", i, err)
		}
	}
	if req.TimeoutMs != nil {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, time.Duration(*req.TimeoutMs)*time.Millisecond)
		defer stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx = metadata.NewOutgoingContext(ctx, pipe.Metadata(req.RequestHeaders))

	var opts []h2grpc.CallOption
	if req.Compression == pb.Compression_COMPRESSION_GZIP {
		opts = append(opts, h2grpc.UseCompressor(gzip.Name))
	}
	u := unary{ctx, cancel, req, messages, opts}
	s := streaming{ctx: ctx, cancel: cancel, req: req, messages: messages, res: new(pb.ClientResponseResult)}
	client := pb.NewConformanceServiceClient(cc)
	switch req.GetMethod() {
	case "Unary":
		return invoke(u, client.Unary)
	case "IdempotentUnary":
		return invoke(u, client.IdempotentUnary)
	case "Unimplemented":
		return invoke(u, client.Unimplemented)
	case "ClientStream":
		stream, err := client.ClientStream(ctx, opts...)
		s.stream, s.response = stream, func() payloadHolder { return new(pb.ClientStreamResponse) }
		return s.run(err)
	case "ServerStream":
		request, err := the[*pb.ServerStreamRequest](messages)
		if err != nil {
			return nil, err
		}
		stream, err := client.ServerStream(ctx, request, opts...)
		s.messages = nil // it is sent
		s.stream, s.response = stream, func() payloadHolder { return new(pb.ServerStreamResponse) }
		return s.run(err)
	case "BidiStream":
		stream, err := client.BidiStream(ctx, opts...)
		s.stream, s.response = stream, func() payloadHolder { return new(pb.BidiStreamResponse) }
		return s.run(err)
	}
	return nil, fmt.Errorf("unknown method %q", req.GetMethod())
}

// payloadHolder is a response.
type payloadHolder interface {
	proto.Message
	GetPayload() *pb.ConformancePayload
}

// payloadOf returns a response's payload, an empty one if it has none.
func payloadOf(m proto.Message) *pb.ConformancePayload {
	if h, ok := m.(payloadHolder); ok && h.GetPayload() != nil {
		return h.GetPayload()
	}
	return new(pb.ConformancePayload)
}

// the returns the only message.
func the[M proto.Message](messages []proto.Message) (m M, err error) {
	if len(messages) != 1 {
		return m, fmt.Errorf("%d request messages instead of one", len(messages))
	}
	m, ok := messages[0].(M)
	if !ok {
		return m, fmt.Errorf("a request message of type %T instead of %T", messages[0], m)
	}
	return m, nil
}

// unary is a call with one message each way.
type unary struct {
	ctx      context.Context
	cancel   context.CancelFunc
	req      *pb.ClientCompatRequest
	messages []proto.Message
	opts     []h2grpc.CallOption
}

func invoke[Req, Res proto.Message](u unary, method func(context.Context, Req, ...h2grpc.CallOption) (Res, error)) (*pb.ClientResponseResult, error) {
	request, err := the[Req](u.messages)
	if err != nil {
		return nil, err
	}
	if u.req.Cancel != nil {
		after := time.Duration(u.req.Cancel.GetAfterCloseSendMs()) * time.Millisecond
		defer time.AfterFunc(after, u.cancel).Stop()
	}
	var header, trailer metadata.MD
	m, err := method(u.ctx, request, append(u.opts, h2grpc.Header(&header), h2grpc.Trailer(&trailer))...)
	res := &pb.ClientResponseResult{
		ResponseHeaders:  pipe.Headers(header),
		ResponseTrailers: pipe.Headers(trailer),
		Error:            failure(err),
	}
	if err == nil {
		res.Payloads = []*pb.ConformancePayload{payloadOf(m)}
	}
	return res, nil
}

// streaming is a call of the other kinds.
type streaming struct {
	ctx      context.Context
	cancel   context.CancelFunc
	req      *pb.ClientCompatRequest
	messages []proto.Message
	stream   h2grpc.ClientStream
	response func() payloadHolder
	res      *pb.ClientResponseResult
}

// run makes the call; err is what came of opening it.
func (s *streaming) run(err error) (*pb.ClientResponseResult, error) {
	if err != nil {
		s.res.NumUnsentRequests = int32(len(s.messages))
		s.res.Error = failure(err)
		return s.res, nil
	}
	s.res.Error = failure(s.talk())
	header, _ := s.stream.Header() // an error is the call's, which is known
	s.res.ResponseHeaders = pipe.Headers(header)
	s.res.ResponseTrailers = pipe.Headers(s.stream.Trailer())
	return s.res, nil
}

// talk sends and receives. It returns the call's error, nil for none.
func (s *streaming) talk() error {
	for i, m := range s.messages {
		err := pipe.Delay(s.ctx, s.req.RequestDelayMs)
		if err == nil {
			err = s.stream.SendMsg(m)
		}
		if err != nil {
			// The stream has ended; how is for receiving to say.
			s.res.NumUnsentRequests = int32(len(s.messages) - i)
			return s.receiveAll()
		}
		if s.req.StreamType == pb.StreamType_STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM {
			if more, err := s.receive(); !more {
				s.res.NumUnsentRequests = int32(len(s.messages) - i - 1)
				return err
			}
		}
	}
	if s.req.Cancel.GetBeforeCloseSend() != nil {
		s.cancel()
	}
	if err := s.stream.CloseSend(); err != nil {
		return err
	}
	if c := s.req.Cancel; c != nil && c.GetBeforeCloseSend() == nil && c.GetAfterNumResponses() == 0 {
		if err := pipe.Delay(s.ctx, c.GetAfterCloseSendMs()); err == nil {
			s.cancel()
		}
	}
	return s.receiveAll()
}

// receiveAll receives until the call has ended.
func (s *streaming) receiveAll() error {
	for {
		if more, err := s.receive(); !more {
			return err
		}
	}
}

// receive receives one response. more is false after the last.
func (s *streaming) receive() (more bool, err error) {
	m := s.response()
	switch err := s.stream.RecvMsg(m); {
	case err == io.EOF:
		return false, nil
	case err != nil:
		return false, err
	}
	s.res.Payloads = append(s.res.Payloads, payloadOf(m))
	if n := s.req.Cancel.GetAfterNumResponses(); n > 0 && len(s.res.Payloads) == int(n) {
		s.cancel()
	}
	return true, nil
}

// failure describes a call's error; nil if there is none.
func failure(err error) *pb.Error {
	if err == nil {
		return nil
	}
	w := status.Convert(err).Proto()
	e := &pb.Error{Code: pb.Code(w.Code), Message: proto.String(w.Message)}
	for _, d := range w.Details {
		e.Details = append(e.Details, &anypb.Any{TypeUrl: d.TypeURL, Value: d.Value})
	}
	return e
}
