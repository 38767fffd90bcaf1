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

// clientStream is a stream of h2grpc as grpc-go's code knows one.
type clientStream struct {
	s      h2grpc.ClientStream
	ctx    context.Context
	cancel context.CancelFunc // ends what the stream holds
	stop   func() bool        // no more waiting for the end of the context
	opts   *callOptions
	one    bool // there is one response only
	peer   *grpcpeer.Peer
	once   sync.Once
	last   atomic.Pointer[error] // what RecvMsg goes on returning, once that is known
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

// finish ends the stream: whoever made it need not do anything more.
func (s *clientStream) finish(err error) {
	s.stop()
	s.end(err)
}

// end tells the options how the call has ended, once. A context that ends while
// RecvMsg has the status already may be the first.
func (s *clientStream) end(err error) {
	first := false
	s.once.Do(func() {
		first = true
		if err != nil {
			s.cancel() // Header waits for the end, and nobody else may bring it
		}
		var header, trailer metadata.MD
		if len(s.opts.headers)+len(s.opts.trailers) > 0 {
			header, _ = s.s.Header()
			trailer = s.s.Trailer()
		}
		s.opts.ended(header, trailer, s.peer)
		s.cancel()
	})
	if first { // outside of once, because the callbacks may use the stream
		s.opts.tell(err)
	}
}
