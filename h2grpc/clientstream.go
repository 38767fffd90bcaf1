package h2grpc

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

func isEOF(err error) bool { return err == io.EOF }

// clientStream is a streaming call. sent, closed and committed belong to the sending
// goroutine, received and begun to the receiving one; while the phase is resting, no
// goroutine receives. final is set once, under mu.
type clientStream struct {
	call
	desc *StreamDesc
	stop func() bool // ends the watch on ctx

	sent      bool
	closed    bool
	committed bool // the sending goroutine knows that settled is set
	received  bool
	begun     bool // the receiving goroutine knows it

	phase atomic.Int32 // of receiving

	mu sync.Mutex
	// guarded by mu
	final    error // what RecvMsg returns from now on
	trailer  metadata.MD
	request  *h2.Buffer // the only request, while the call may be retried
	settled  bool       // the call may not be retried, or not any more
	headless bool       // headEnded was called
}

// The phases of receiving.
const (
	resting   = iota // no RecvMsg is running
	receiving        // RecvMsg is running
	expired          // RecvMsg is running, the context has ended, and only the status is left to be read
	ended            // final is set
)

// NewStream begins a streaming call; see [ClientConnInterface].
func (cc *ClientConn) NewStream(ctx context.Context, desc *StreamDesc, method string, opts ...CallOption) (ClientStream, error) {
	if len(cc.cfg.StreamInterceptors) == 0 || exempts(cc.cfg.Exempt, method) {
		return cc.newStream(ctx, desc, method, opts...)
	}
	return cc.streamThrough(cc.cfg.StreamInterceptors)(ctx, desc, cc, method, opts...)
}

func (cc *ClientConn) streamThrough(rest []StreamClientInterceptor) Streamer {
	return func(ctx context.Context, desc *StreamDesc, _ *ClientConn, method string, opts ...CallOption) (ClientStream, error) {
		if len(rest) == 0 {
			return cc.newStream(ctx, desc, method, opts...)
		}
		return rest[0](ctx, desc, cc, method, cc.streamThrough(rest[1:]), opts...)
	}
}

func (cc *ClientConn) newStream(ctx context.Context, desc *StreamDesc, method string, opts ...CallOption) (ClientStream, error) {
	cs := &clientStream{desc: desc}
	if cc.cfg.Stats != nil && !exempts(cc.cfg.Exempt, method) {
		cs.observer = observe(ctx, cc.cfg.Stats, CallInfo{method, true, desc.ClientStreams, desc.ServerStreams})
		ctx = cs.observer.ctx
	}
	err := cs.begin(cc, ctx, method, opts)
	if err == nil {
		err = cs.open(nil, false, false)
	}
	if err != nil {
		err = cc.mapError(err)
		cs.observer.end(err)
		return nil, err
	}
	cs.stop = context.AfterFunc(ctx, cs.expire)
	return cs, nil
}

// expire ends the call because its context has ended. If the response has arrived and
// everything except its status has been read, the status counts.
func (cs *clientStream) expire() {
	s := cs.s.Load()
	cs.mu.Lock()
	complete := s.Complete()
	leave := complete && cs.phase.CompareAndSwap(receiving, expired)
	cs.mu.Unlock()
	switch {
	case leave: // to RecvMsg
	case complete:
		cs.finish(cs.outcome())
	default:
		s.Reset(h2.ErrCodeCancel, "the call's context ended")
		cs.finish(status.FromContextError(cs.ctx.Err()).Err())
	}
}

func (cs *clientStream) Context() context.Context { return cs.ctx }

func (cs *clientStream) Header() (metadata.MD, error) {
	if cs.s.Load().WaitHead(nil) == nil {
		// The stream ended without headers; if that was an error, RecvMsg has it.
		if cs.ctx.Err() != nil {
			return nil, cs.mapError(status.FromContextError(cs.ctx.Err()).Err())
		}
		return nil, nil
	}
	md, err := cs.headers()
	if err != nil {
		return nil, cs.mapError(status.Error(codes.Internal, err.Error()))
	}
	return md, nil
}

func (cs *clientStream) Trailer() metadata.MD {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.trailer
}

func (cs *clientStream) CloseSend() error {
	if cs.closed {
		return nil
	}
	cs.closed = true
	if s := cs.s.Load(); cs.ctx.Err() != nil && !s.Complete() {
		// The server must not take a cancelled call for a complete one because expire has
		// not run yet.
		s.Reset(h2.ErrCodeCancel, "the call's context ended")
		return nil
	}
	// An error means that the stream has ended; RecvMsg returns the status.
	cs.commit(nil).Write(nil, &h2.Frames{End: true}, h2.FlushNow)
	return nil
}

func (cs *clientStream) SendMsg(m any) error {
	switch {
	case cs.closed:
		return cs.mapError(status.Error(codes.Internal, "SendMsg after CloseSend"))
	case cs.sent && !cs.desc.ClientStreams:
		return cs.mapError(status.Error(codes.Internal, "a second SendMsg on a call with one request"))
	}
	var buf *h2.Buffer
	var plain int
	var err error
	if cs.desc.ClientStreams {
		buf, plain, err = encodeFor(cs.ctx, cs.commit(nil), m, cs.maxSend, cs.compress, nil)
		if err == h2.ErrStreamEnded {
			cs.sent = true
			return io.EOF
		}
	} else {
		buf, plain, err = encode(m, cs.maxSend, cs.compress)
	}
	if err != nil {
		cs.s.Load().Reset(h2.ErrCodeCancel, "a message could not be sent")
		cs.finish(err)
		return cs.mapError(err)
	}
	cs.sent = true
	size := len(buf.B)
	if cs.desc.ClientStreams {
		defer buf.Release()
		if cs.commit(nil).Write(nil, &h2.Frames{Message: buf.B, From: buf}, h2.FlushLater) != nil {
			return io.EOF
		}
		cs.observer.message(DirectionSent, plain, size)
		return nil
	}
	// The only request ends the sending side with the same write.
	cs.closed = true
	if cs.commit(buf).Write(nil, &h2.Frames{Message: buf.B, From: buf, End: true}, h2.FlushNow) == nil {
		cs.observer.message(DirectionSent, plain, size)
	}
	// For a call with one request RecvMsg returns the status: generated code hands the
	// stream over only after sending, and would return io.EOF as the error of the call.
	return nil
}

// commit records what is about to be sent, and returns the stream to send it on. A
// request is kept for a retry; anything else rules a retry out.
func (cs *clientStream) commit(request *h2.Buffer) *h2.Stream {
	if cs.committed {
		return cs.s.Load()
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.request = request
	if request == nil {
		cs.settled, cs.committed = true, true
	}
	return cs.s.Load()
}

// settle rules out that the call is retried.
func (cs *clientStream) settle() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.settled = true
}

// again retries a call that the server certainly did not process (gRFC A6,
// "transparent retries") and of which nothing except the headers or the only request
// was sent. It reports whether it did.
func (cs *clientStream) again(err error) bool {
	cs.mu.Lock()
	settled := cs.settled
	cs.settled = true
	cs.mu.Unlock()
	if settled || cs.ctx.Err() != nil || !cs.retryable(err) || cs.open(nil, false, false) != nil {
		return false
	}
	cs.mu.Lock()
	request := cs.request
	cs.mu.Unlock()
	if cs.ctx.Err() != nil { // its watch may have missed the new stream
		cs.s.Load().Reset(h2.ErrCodeCancel, "the call's context ended")
	}
	if request != nil {
		cs.s.Load().Write(nil, &h2.Frames{Message: request.B, From: request, End: true}, h2.FlushNow)
	}
	return true
}

func (cs *clientStream) RecvMsg(m any) error {
	if !cs.phase.CompareAndSwap(resting, receiving) {
		cs.mu.Lock()
		final := cs.final
		cs.mu.Unlock()
		if final != nil {
			return final
		}
	}
	if err := cs.recv(m); err != nil {
		cs.stop()
		return cs.finish(err)
	}
	if !cs.phase.CompareAndSwap(receiving, resting) && cs.phase.Load() == expired { // RecvMsg may not be called again for the status
		cs.finish(cs.outcome())
	}
	return nil
}

// finish sets what RecvMsg returns from now on; the first error counts.
func (cs *clientStream) finish(err error) error {
	trailer, terr := cs.trailers()
	cs.s.Load().ForgetHeaders()
	if err == io.EOF && terr != nil {
		err = status.Error(codes.Internal, terr.Error())
	}
	if err != io.EOF {
		err = cs.mapError(err)
	}
	cs.mu.Lock()
	if cs.final == nil {
		cs.final, cs.trailer = err, trailer
	}
	cs.phase.Store(ended)
	err = cs.final
	cs.mu.Unlock()
	if err == io.EOF {
		cs.observer.end(nil)
	} else {
		cs.observer.end(err)
	}
	return err
}

func (cs *clientStream) recv(m any) error {
	buf, err := cs.s.Load().Recv(nil)
	if err != nil && err != io.EOF && cs.again(err) {
		buf, err = cs.s.Load().Recv(nil)
	}
	if !cs.begun {
		cs.begun = true
		cs.settle()
	}
	if err != nil {
		if isEOF(err) {
			return cs.outcome()
		}
		cs.headEnded()
		return cs.end(err, false).Err()
	}
	cs.received = true
	if err := cs.take(buf, m); err != nil {
		cs.s.Load().Reset(h2.ErrCodeCancel, "a message could not be taken")
		return err
	}
	if cs.desc.ServerStreams {
		return nil
	}
	// The one response counts only together with the status: gRPC's statuscodes
	// document, "cardinality".
	extra, err := cs.s.Load().Recv(nil)
	if extra != nil {
		extra.Release()
		cs.s.Load().Reset(h2.ErrCodeCancel, "more than one response")
		return status.Error(codes.Unimplemented, "the server sent more than one message; exactly one is required")
	}
	if err := cs.end(err, isEOF(err)).Err(); err != nil {
		return err
	}
	cs.stop()
	cs.finish(io.EOF)
	return nil
}

// outcome returns how a call ends whose response is complete and has been read:
// io.EOF if it succeeded. It is called by the receiving goroutine, or by another
// while none receives.
func (cs *clientStream) outcome() error {
	cs.mu.Lock()
	again := cs.headless
	cs.headless = true
	cs.mu.Unlock()
	if !again {
		cs.headEnded()
	}
	if err := cs.end(io.EOF, true).Err(); err != nil {
		return err
	}
	if !cs.desc.ServerStreams && !cs.received {
		return status.Error(codes.Unimplemented, "the server sent no message; exactly one is required")
	}
	return io.EOF
}

func (cs *clientStream) take(buf *h2.Buffer, m any) error {
	if err := cs.checkHead(); err != nil {
		buf.Release()
		return err
	}
	return cs.decode(buf, m)
}
