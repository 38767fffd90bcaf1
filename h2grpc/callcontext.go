package h2grpc

import (
	"context"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/internal/ctxkey"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
)

// callKey is the key of the *serverCall in a call's context.
type callKey struct{}

// callContext is the context of a call on the server. It ends when the client
// cancels, the deadline passes, the connection is lost or the handler returns.
//
// It is one value instead of the chain of contexts for deadline, cancellation,
// metadata and peer, and its channel is made on the first call of Done: most unary
// handlers never call it.
type callContext struct {
	call     *serverCall
	parent   context.Context
	deadline time.Time // zero: none

	mu sync.Mutex
	// guarded by mu
	done  chan struct{}
	err   error
	timer *time.Timer
	after map[*func()]struct{}
	md    metadata.MD
}

var closedChan = func() chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}()

func (c *callContext) init(call *serverCall, parent context.Context) {
	c.call, c.parent = call, parent
}

// arm ends the call at its deadline.
func (c *callContext) arm() {
	t := time.AfterFunc(time.Until(c.deadline), func() {
		c.cancel(context.DeadlineExceeded)
		c.call.resetExpired()
	})
	c.mu.Lock()
	c.timer = t
	over := c.err != nil
	c.mu.Unlock()
	if over {
		t.Stop()
	}
}

// expired reports whether the deadline has passed.
func (c *callContext) expired() bool {
	return !c.deadline.IsZero() && !time.Now().Before(c.deadline)
}

// lost ends the context of a call that was reset or whose connection ended. Clients
// cancel at the deadline too, and their reset may arrive before our timer fires.
func (c *callContext) lost() {
	if c.expired() {
		c.cancel(context.DeadlineExceeded)
		return
	}
	c.cancel(context.Canceled)
}

// cancel ends the context with err, unless it has ended already.
func (c *callContext) cancel(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	if c.done == nil {
		c.done = closedChan
	} else {
		close(c.done)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	after := c.after
	c.after = nil
	c.mu.Unlock()
	for f := range after {
		go (*f)()
	}
}

func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

func (c *callContext) Done() <-chan struct{} {
	c.call.s.MayWait() // what else would they ask for
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
	}
	return c.done
}

func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc lets package context watch this context without a goroutine: see
// context.AfterFunc.
func (c *callContext) AfterFunc(f func()) (stop func() bool) {
	c.call.s.MayWait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = map[*func()]struct{}{}
	}
	key := &f
	c.after[key] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[key]
		delete(c.after, key)
		return waiting
	}
}

func (c *callContext) Value(key any) any {
	switch key.(type) {
	case callKey:
		return c.call
	case ctxkey.Peer:
		return c.call.sc.peer
	case ctxkey.Incoming:
		return c.incoming()
	}
	return c.parent.Value(key)
}

// incoming returns the metadata of the request.
func (c *callContext) incoming() metadata.MD {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.md == nil {
		h := c.call.s.Head
		c.md, _ = toMD(h, "user-agent", "content-type") // readHead has found no error
		if h.Authority != "" {
			c.md[":authority"] = []string{h.Authority}
		} else if host, ok := h.Get("host"); ok {
			c.md[":authority"] = []string{host}
		}
	}
	return c.md
}
