package h2grpc

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
)

// Shutdown stops the server gracefully: it accepts no new connections and calls, and
// those in progress may finish. It returns when all handlers have returned. If ctx
// ends first, everything that is left is closed as by Close, and the error of ctx is
// returned at once: handlers may still be running, and Close waits for them. If there
// is nothing to wait for, the error is nil even if ctx has already ended.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopListening()
	var drained chan struct{}
	if len(s.conns) > 0 {
		if s.drained == nil {
			s.drained = make(chan struct{})
		}
		drained = s.drained
	}
	conns := make([]*h2.Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.Shutdown()
	}
	if drained != nil {
		select {
		case <-drained:
		case <-ctx.Done():
		}
	}
	s.endConns()
	defer s.tellLog()
	ended := s.wait()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-ended: // both were ready
		return nil
	default:
		return ctx.Err()
	}
}

// Close ends all connections and calls at once. The contexts of handlers end, and
// Close waits until all handlers have returned, so that nothing of the server is in
// use any more, but no longer than CloseTimeout; then it returns an error that wraps
// ErrHandlersRunning and names the methods. It may be called again, and from a
// handler.
func (s *Server) Close() error {
	s.endConns()
	defer s.tellLog()
	t := time.NewTimer(CloseTimeout)
	defer t.Stop()
	select {
	case <-s.wait():
		return nil
	case <-t.C:
		running := s.Running()
		if len(running) == 0 {
			return ErrHandlersRunning // they are about to return, or a connection is about to end
		}
		return fmt.Errorf("%w: %s", ErrHandlersRunning, running)
	}
}

// Running returns the full names ("/package.Service/Method") of the methods that have
// calls in progress, sorted, each once; "unknown methods" stands for all methods that
// ServerConfig.Unknown handles. A call is in progress from when its handler may begin
// until its status has been sent.
func (s *Server) Running() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, m := range s.methods {
		if m.running.Load() > 0 {
			names = append(names, name)
		}
	}
	if s.unlisted.Load() > 0 {
		names = append(names, "unknown methods")
	}
	slices.Sort(names)
	return names
}

// endConns ends all connections. The server accepts no new ones.
func (s *Server) endConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopListening()
	for c := range s.conns {
		c.Close()
	}
}

// wait returns a channel that is closed when all handlers and connections have
// ended. The server must have stopped listening.
func (s *Server) wait() <-chan struct{} {
	s.waited.Store(true) // before checking: from now on, done checks too
	s.checkEnded()
	return s.ended
}

// done counts the end of something that running counts.
func (s *Server) done(running *atomic.Int64) {
	if running.Add(-1) == 0 && s.waited.Load() {
		s.checkEnded()
	}
}

// checkEnded closes ended if nothing is running. Connections are checked first:
// without any, no handler begins any more.
func (s *Server) checkEnded() {
	if s.running.Load() > 0 || len(s.Running()) > 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		close(s.ended)
	}
}

func (s *Server) stopListening() {
	if !s.closed {
		s.closed = true
		close(s.quit)
	}
	for lis := range s.listeners {
		(*lis).Close()
	}
	for nc := range s.shaking {
		(*nc).Close()
	}
}
