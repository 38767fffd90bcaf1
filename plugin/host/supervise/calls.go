package supervise

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// conn is the handle of a supervisor for clients.
type conn struct {
	s        *Supervisor
	failFast bool
}

// Invoke performs a unary call on the plugin's present process; see
// [h2grpc.ClientConnInterface]. Without a process it waits for one, or fails with
// UNAVAILABLE: see Config.FailFast. A call that the process certainly did not get is made
// on the next one. Any other call that failed because the process ended has the error
// that host.Client describes, with an *host.ExitError if the process ended by itself, and
// is not made again: whether the process has carried it out is not known.
func (s *Supervisor) Invoke(ctx context.Context, method string, args, reply any, opts ...h2grpc.CallOption) error {
	return s.invoke(ctx, s.cfg.FailFast, method, args, reply, opts)
}

// NewStream begins a streaming call on the plugin's present process, as Invoke does. The
// stream stays with that process: if it ends, the stream fails, and the application
// begins another.
func (s *Supervisor) NewStream(ctx context.Context, desc *h2grpc.StreamDesc, method string, opts ...h2grpc.CallOption) (h2grpc.ClientStream, error) {
	return s.newStream(ctx, s.cfg.FailFast, desc, method, opts)
}

// Waiting returns a handle for clients whose calls wait for a process, whatever
// Config.FailFast says.
func (s *Supervisor) Waiting() h2grpc.ClientConnInterface { return conn{s, false} }

// FailFast returns a handle for clients whose calls fail while there is no process,
// whatever Config.FailFast says.
func (s *Supervisor) FailFast() h2grpc.ClientConnInterface { return conn{s, true} }

func (c conn) Invoke(ctx context.Context, method string, args, reply any, opts ...h2grpc.CallOption) error {
	return c.s.invoke(ctx, c.failFast, method, args, reply, opts)
}

func (c conn) NewStream(ctx context.Context, desc *h2grpc.StreamDesc, method string, opts ...h2grpc.CallOption) (h2grpc.ClientStream, error) {
	return c.s.newStream(ctx, c.failFast, desc, method, opts)
}

func (s *Supervisor) invoke(ctx context.Context, failFast bool, method string, args, reply any, opts []h2grpc.CallOption) error {
	for {
		p, err := s.enter(ctx, failFast)
		if err != nil {
			return err
		}
		err = p.invoke(ctx, method, args, reply, opts)
		if err == nil || !s.another(p, err) {
			return err
		}
	}
}

// invoke performs a call that has entered p. It may panic: messages, options and
// interceptors are others' code.
func (p *process) invoke(ctx context.Context, method string, args, reply any, opts []h2grpc.CallOption) error {
	defer p.leave()
	return p.Conn().Invoke(ctx, method, args, reply, opts...)
}

func (s *Supervisor) newStream(ctx context.Context, failFast bool, desc *h2grpc.StreamDesc, method string, opts []h2grpc.CallOption) (h2grpc.ClientStream, error) {
	for {
		p, err := s.enter(ctx, failFast)
		if err != nil {
			return nil, err
		}
		st, err := p.newStream(ctx, desc, method, opts)
		if err == nil {
			return st, nil
		}
		if !s.another(p, err) {
			return nil, err
		}
	}
}

// newStream begins a stream that has entered p. It may panic, as invoke.
func (p *process) newStream(ctx context.Context, desc *h2grpc.StreamDesc, method string, opts []h2grpc.CallOption) (st *stream, err error) {
	defer func() {
		if st == nil {
			p.leave()
		}
	}()
	cs, err := p.Conn().NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, err
	}
	st = &stream{ClientStream: cs, process: p, one: !desc.ServerStreams}
	st.stop = context.AfterFunc(ctx, st.leave)
	return st, nil
}

// another reports whether a call that failed on p can be made on the next process.
func (s *Supervisor) another(p *process, err error) bool {
	if !h2grpc.NotSent(err) || !p.over() {
		return false
	}
	// Whoever watches p learns of its end a moment later.
	s.current.CompareAndSwap(p, nil)
	return true
}

// stream counts as a call in progress until its status has been received, or its
// context has ended.
type stream struct {
	h2grpc.ClientStream
	process *process
	one     bool // one response
	left    atomic.Bool
	stop    func() bool
}

func (st *stream) leave() {
	if st.left.CompareAndSwap(false, true) {
		st.process.leave()
	}
}

// RecvMsg receives a response; see [h2grpc.ClientStream].
func (st *stream) RecvMsg(m any) error {
	err := st.ClientStream.RecvMsg(m)
	if err != nil || st.one {
		st.stop()
		st.leave()
	}
	return err
}

// enter returns a process for a call, which must leave it.
func (s *Supervisor) enter(ctx context.Context, failFast bool) (*process, error) {
	for {
		if p := s.current.Load(); p != nil && p.enter() {
			return p, nil
		}
		changed, err := s.waiting(failFast)
		if err != nil {
			return nil, err
		}
		if changed == nil {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, s.waitedInVain(ctx)
		}
	}
}

// waiting returns a channel that is closed when the plugin's state changes, nil if
// there is a process now, or an error if a call must not wait.
func (s *Supervisor) waiting(failFast bool) (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.current.Load(); p != nil && p.calls.Load() < retired {
		return nil, nil
	}
	switch {
	case s.stopping:
		return nil, &noProcessError{fmt.Sprintf("%s: %v", s.cfg.Name, ErrStopped), codes.Unavailable, ErrStopped}
	case s.gaveUp != nil:
		return nil, s.gaveUp
	case failFast && s.state != Stopped && !s.demanded:
		return nil, &noProcessError{s.describe(), codes.Unavailable, nil}
	}
	select {
	case s.demand <- struct{}{}:
	default:
	}
	return s.changed, nil
}

// describe says for which reason there is no process.
func (s *Supervisor) describe() string {
	text := fmt.Sprintf("%s has no process to take the call: %v", s.cfg.Name, s.state)
	if n := len(s.exits); n > 0 {
		text += fmt.Sprintf(", after %v", s.exits[n-1])
	}
	return text
}

func (s *Supervisor) waitedInVain(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := ctx.Err()
	return &noProcessError{s.describe(), status.FromContextError(err).Code(), err}
}
