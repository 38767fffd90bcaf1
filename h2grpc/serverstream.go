package h2grpc

import (
	"context"
	"errors"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// serverStream is the ServerStream of a call.
type serverStream struct {
	*serverCall
	// received belongs to the receiving goroutine, sent to the sending one.
	received, sent int
	headed         bool // the head was sent; belongs to the sending goroutine

	done <-chan struct{} // of the call's context
}

// handleStream runs a streaming method.
func (s *Server) handleStream(c *serverCall) {
	defer c.sc.backlog.resume(s) // a large status may have held calls back
	defer c.done()
	c.observe()
	ss := &serverStream{serverCall: c, done: c.ctx.Done()}
	err := c.callStream(ss)
	st := c.statusOf(err)
	switch {
	case st.Code() == codes.OK && c.ctx.expired():
		st = status.FromContextError(context.DeadlineExceeded)
	case st.Code() == codes.OK && !c.method.stream.ServerStreams && ss.sent != 1:
		st = status.New(codes.Unimplemented, "the handler returned without sending its one response")
	}
	c.fail(st)
}

func (c *serverCall) callStream(ss *serverStream) (err error) {
	defer c.recovered(&err)
	d := c.method.stream
	list := c.sc.srv.cfg.StreamInterceptors
	if len(list) == 0 || c.method.exempt {
		return d.Handler(c.method.impl, ss)
	}
	info := &StreamServerInfo{FullMethod: c.method.name, IsClientStream: d.ClientStreams, IsServerStream: d.ServerStreams}
	return streamThrough(list, info, d.Handler)(c.method.impl, ss)
}

func streamThrough(rest []StreamServerInterceptor, info *StreamServerInfo, handler StreamHandler) StreamHandler {
	if len(rest) == 0 {
		return handler
	}
	return func(srv any, ss ServerStream) error {
		return rest[0](srv, ss, info, streamThrough(rest[1:], info, handler))
	}
}

func (ss *serverStream) Context() context.Context { return ss.context() }

func (ss *serverStream) SendMsg(m any) error {
	if ss.sent > 0 && !ss.method.stream.ServerStreams {
		return status.Error(codes.Internal, "a second response on a call with one response")
	}
	var waits func() error
	if !ss.headed {
		waits = ss.headAhead // a client may wait for the headers before it reads
	}
	buf, plain, err := encodeFor(&ss.ctx, &ss.s, m, ss.sc.srv.maxSend, ss.compressor(), waits)
	if err == h2.ErrStreamEnded {
		return ss.sendError(err)
	}
	if err != nil {
		return err
	}
	defer buf.Release()
	flush := h2.FlushLater
	if !ss.method.stream.ServerStreams {
		flush = h2.FlushSoon // the status follows, probably in the same write
	}
	f := h2.Frames{Message: buf.B, From: buf}
	if !ss.headed {
		f.Header = ss.takeHead()
	}
	if err := ss.s.Write(ss.done, &f, flush); err != nil {
		return ss.sendError(err)
	}
	ss.headed = true
	ss.observer.message(DirectionSent, plain, len(buf.B))
	ss.sent++
	return nil
}

// headAhead sends the headers before the first message if that has to wait.
func (ss *serverStream) headAhead() error {
	if head := ss.takeHead(); head != nil {
		if err := ss.s.Write(ss.done, &h2.Frames{Header: head}, h2.FlushNow); err != nil {
			return ss.sendError(err)
		}
	}
	return nil
}

// sendError returns the error for a message that could not be sent.
func (ss *serverStream) sendError(err error) error {
	if errors.Is(err, h2.ErrStreamEnded) {
		if starved := ss.s.Starved(); starved != nil {
			return engineStatus(&ss.ctx, starved).Err()
		}
		if err := ss.ctx.Err(); err != nil {
			return status.FromContextError(err).Err()
		}
		return status.Error(codes.Canceled, "the stream has ended")
	}
	if isListError(err) != nil {
		ss.headRefused()
	}
	return engineStatus(&ss.ctx, err).Err()
}

func (ss *serverStream) RecvMsg(m any) error {
	buf, err := ss.recv()
	if err != nil {
		return err
	}
	if !ss.method.stream.ClientStreams {
		if err := ss.only(); err != nil {
			buf.Release()
			return err
		}
	}
	ss.received++
	return ss.decode(buf, m)
}

// recv returns the next message, io.EOF or a status error.
func (ss *serverStream) recv() (*h2.Buffer, error) {
	buf, err := ss.s.Recv(ss.done)
	switch {
	case err == nil:
		return buf, nil
	case isEOF(err):
		if !ss.method.stream.ClientStreams && ss.received == 0 {
			return nil, status.Error(codes.Unimplemented, "the request has no message; exactly one is required")
		}
		return nil, err
	case ss.s.Starved() != nil:
		return nil, engineStatus(&ss.ctx, err).Err()
	case ss.ctx.Err() != nil:
		return nil, status.FromContextError(ss.ctx.Err()).Err()
	}
	st := engineStatus(&ss.ctx, err)
	var msg *h2.MessageError
	if !errors.As(err, &msg) {
		st = status.New(codes.Canceled, st.Message())
	}
	return nil, st.Err()
}

// only checks that the request has no further message: gRPC's statuscodes document,
// "cardinality".
func (ss *serverStream) only() error {
	extra, err := ss.s.Recv(ss.done)
	switch {
	case extra != nil:
		extra.Release()
		return status.Error(codes.Unimplemented, "the request has more than one message; exactly one is required")
	case isEOF(err):
		return nil
	case ss.ctx.Err() != nil:
		return status.FromContextError(ss.ctx.Err()).Err()
	}
	return engineStatus(&ss.ctx, err).Err()
}

func (c *serverCall) SetHeader(md metadata.MD) error {
	if _, err := appendMD(nil, md); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.headerSent {
		return status.Error(codes.Internal, "the headers have been sent")
	}
	c.header = metadata.Join(c.header, md)
	return nil
}

func (c *serverCall) SendHeader(md metadata.MD) error {
	if err := c.SetHeader(md); err != nil {
		return err
	}
	head := c.takeHead()
	if head == nil {
		return status.Error(codes.Internal, "the headers have been sent")
	}
	if err := c.s.Write(c.ctx.Done(), &h2.Frames{Header: head}, h2.FlushNow); err != nil {
		if isListError(err) != nil {
			c.headRefused()
		}
		return engineStatus(&c.ctx, err).Err()
	}
	return nil
}

func (c *serverCall) SetTrailer(md metadata.MD) {
	if _, err := appendMD(nil, md); err != nil {
		c.sc.srv.cfg.Logger.Warn("trailers cannot be sent", "method", c.s.Head.Path, "error", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trailer = metadata.Join(c.trailer, md)
}

// SetHeader adds to the response headers of the call whose handler was given ctx; see
// [ServerStream]. It fails if ctx is not the context of a call on a server.
func SetHeader(ctx context.Context, md metadata.MD) error {
	c, err := callOf(ctx)
	if err != nil {
		return err
	}
	return c.SetHeader(md)
}

// SendHeader adds to the response headers of the call whose handler was given ctx,
// and sends them; see [ServerStream]. It fails if ctx is not the context of a call on
// a server.
func SendHeader(ctx context.Context, md metadata.MD) error {
	c, err := callOf(ctx)
	if err != nil {
		return err
	}
	return c.SendHeader(md)
}

// SetTrailer adds to the trailers of the call whose handler was given ctx; see
// [ServerStream]. It fails if ctx is not the context of a call on a server.
func SetTrailer(ctx context.Context, md metadata.MD) error {
	c, err := callOf(ctx)
	if err != nil {
		return err
	}
	c.SetTrailer(md)
	return nil
}

// Method returns the full name of the method whose handler was given ctx, such as
// "/package.Service/Method", and whether ctx is the context of a call on a server.
func Method(ctx context.Context) (string, bool) {
	c, err := callOf(ctx)
	if err != nil {
		return "", false
	}
	return c.s.Head.Path, true
}

func callOf(ctx context.Context) (*serverCall, error) {
	c, ok := ctx.Value(callKey{}).(*serverCall)
	if !ok {
		return nil, status.Error(codes.Internal, "the context does not belong to a call on a server")
	}
	return c, nil
}

// resetExpired ends a call whose deadline has passed; see callContext.
func (c *serverCall) resetExpired() { c.s.Reset(h2.ErrCodeCancel, "the deadline has passed") }
