package h2grpc

import (
	"sync"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc/status"
)

// owed holds unary calls back while too many responses wait for the connection's
// client to take them: each call would only add another.
type owed struct {
	waiting atomic.Bool // there are calls

	mu sync.Mutex
	// guarded by mu
	calls []*serverCall // oldest first
}

// holds says whether c has to wait. It then begins again.
func (o *owed) holds(c *serverCall) bool {
	if !c.s.Conn().Owing() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting.Store(true) // before looking: whoever frees room from now on comes to resume
	if !c.s.Conn().Owing() {
		o.waiting.Store(len(o.calls) > 0)
		return false
	}
	c.held = true
	o.calls = append(o.calls, c)
	return true
}

// resume lets waiting calls begin after another has ended, or a response was taken.
// Each time it is two, so that none is forgotten and all of them do not come at once.
func (o *owed) resume(s *Server) {
	if !o.waiting.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for n := 0; n < 2 && len(o.calls) > 0 && !o.calls[0].s.Conn().Owing(); n++ {
		go s.handleUnary(o.calls[0])
		o.calls[0], o.calls = nil, o.calls[1:]
	}
	if len(o.calls) == 0 {
		o.calls = nil
		o.waiting.Store(false)
	}
}

// over ends a call that was held back until it was of no use.
func (c *serverCall) over() bool {
	if err := c.ctx.Err(); c.held && err != nil {
		c.finish(status.FromContextError(err))
		return true
	}
	return false
}
