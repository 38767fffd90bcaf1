package h2grpc

import (
	"sync"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc/status"
)

// backlog holds unary calls back while too many responses wait for the connection's
// client to read them: each call would only add another.
type backlog struct {
	waiting atomic.Bool // calls is not empty

	mu sync.Mutex
	// guarded by mu
	calls []*serverCall // oldest first
}

// holds reports whether c has to wait. If so, resume starts it again.
func (o *backlog) holds(c *serverCall) bool {
	if !c.s.Conn().Congested() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting.Store(true) // before the second look: from now on, whoever frees room calls resume
	if !c.s.Conn().Congested() {
		o.waiting.Store(len(o.calls) > 0)
		return false
	}
	c.held = true
	o.calls = append(o.calls, c)
	return true
}

// resume starts waiting calls after another has ended, or after a response was read.
// It starts two each time, so that none is forgotten and not all come at once.
func (o *backlog) resume(s *Server) {
	if !o.waiting.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for n := 0; n < 2 && len(o.calls) > 0 && !o.calls[0].s.Conn().Congested(); n++ {
		go s.handleUnary(o.calls[0])
		o.calls[0], o.calls = nil, o.calls[1:]
	}
	if len(o.calls) == 0 {
		o.calls = nil
		o.waiting.Store(false)
	}
}

// over ends a call that was held back and whose context has ended, and reports
// whether it did.
func (c *serverCall) over() bool {
	if err := c.ctx.Err(); c.held && err != nil {
		c.finish(status.FromContextError(err))
		return true
	}
	return false
}
