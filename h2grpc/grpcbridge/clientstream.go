package grpcbridge

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	grpcmetadata "google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
)

// clientStream presents a stream of h2grpc as a grpc.ClientStream.
type clientStream struct {
	s      h2grpc.ClientStream
	ctx    context.Context
	cancel context.CancelFunc // frees the stream
	stop   func() bool        // ends the watch on the context
	opts   *callOptions
	one    bool // the call has one response only
	peer   *grpcpeer.Peer
	once   sync.Once
	last   atomic.Pointer[error] // what RecvMsg returns from now on; nil: not known yet
}

func (s *clientStream) Header() (grpcmetadata.MD, error) {
	md, err := s.s.Header()
	return grpcmetadata.MD(md), GRPCError(err)
}

func (s *clientStream) Trailer() grpcmetadata.MD {
	return grpcmetadata.MD(s.s.Trailer().Copy()) // which is not nil if there are none
}

func (s *clientStream) CloseSend() error         { return GRPCError(s.s.CloseSend()) }
func (s *clientStream) Context() context.Context { return s.ctx }

func (s *clientStream) SendMsg(m any) error {
	err := GRPCError(s.s.SendMsg(m))
	if err != nil && err != io.EOF { // io.EOF: RecvMsg has the status
		s.last.CompareAndSwap(nil, &err)
		s.finish(err)
	}
	return err
}

func (s *clientStream) RecvMsg(m any) error {
	if last := s.last.Load(); last != nil {
		return *last
	}
	err := GRPCError(s.s.RecvMsg(m))
	if err == nil && !s.one {
		return nil
	}
	last := err
	if err == nil {
		last = io.EOF
	}
	if !s.last.CompareAndSwap(nil, &last) { // SendMsg has failed meanwhile
		return *s.last.Load()
	}
	if err == io.EOF {
		s.finish(nil)
	} else {
		s.finish(err)
	}
	return err
}

// finish ends the stream and frees it; the caller of NewStream need not do so.
func (s *clientStream) finish(err error) {
	s.stop()
	s.end(err)
}

// end reports the end of the call to the options, once. A context that ends while
// RecvMsg already has the status may come first.
func (s *clientStream) end(err error) {
	first := false
	s.once.Do(func() {
		first = true
		if err != nil {
			s.cancel() // Header waits for the end of the call, which nothing else may cause
		}
		var header, trailer metadata.MD
		if len(s.opts.headers)+len(s.opts.trailers) > 0 {
			header, _ = s.s.Header()
			trailer = s.s.Trailer()
		}
		s.opts.ended(header, trailer, s.peer)
		s.cancel()
	})
	if first { // after once, because the callbacks may use the stream
		s.opts.tell(err)
	}
}
