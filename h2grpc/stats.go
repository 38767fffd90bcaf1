package h2grpc

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/wire"
)

// Stats learns what happens to calls, on a client or a server: enough for
// metrics and tracing. Its methods are called by the goroutines that make and
// handle the calls, those of one call possibly at the same time, so they must
// be quick and safe for concurrent use.
//
// Each call begins and ends exactly once. A call that the server refuses
// without a handler (an unknown method, say) begins and ends as well; a request
// that is no gRPC is not a call.
type Stats interface {
	// Begin is called first. Its result becomes the call's context: it is given
	// to the other methods and, on a server, to the handler; on a client the
	// metadata it carries is sent.
	Begin(ctx context.Context, call CallInfo) context.Context
	// Headers is called when the headers of a request or a response have been
	// sent or received. md must not be changed or kept.
	Headers(ctx context.Context, dir Direction, md metadata.MD)
	// Message is called when a message has been sent or received.
	Message(ctx context.Context, dir Direction, size MessageSize)
	// End is called last. err is what the call returned, nil if it went well;
	// status.Code tells its code.
	End(ctx context.Context, err error, took time.Duration)
}

// CallInfo describes a call to [Stats].
type CallInfo struct {
	Method         string // "/package.Service/Method"
	Client         bool   // we make the call; otherwise we serve it
	IsClientStream bool
	IsServerStream bool
}

// Direction tells what is sent from what is received.
type Direction int

const (
	DirectionReceived Direction = iota
	DirectionSent
)

// String returns "received" or "sent".
func (d Direction) String() string {
	if d == DirectionSent {
		return "sent"
	}
	return "received"
}

// MessageSize is the size of a message in bytes.
type MessageSize struct {
	Plain int // encoded, before compression
	Wire  int // as it travels, gRPC's prefix included, HTTP/2's frame headers not
}

// exempts reports whether an Exempt leaves a method's calls alone; nil does not.
func exempts(exempt func(string) bool, method string) bool {
	return exempt != nil && exempt(method)
}

// observer reports one call to a Stats; nil reports nothing.
type observer struct {
	stats Stats
	ctx   context.Context
	begun time.Time
	ended atomic.Bool
}

// observe begins a call. It returns nil without a Stats.
func observe(ctx context.Context, s Stats, call CallInfo) *observer {
	if s == nil {
		return nil
	}
	o := &observer{stats: s, begun: time.Now()}
	o.ctx = s.Begin(ctx, call)
	return o
}

func (o *observer) headers(dir Direction, md metadata.MD) {
	if o != nil {
		o.stats.Headers(o.ctx, dir, md)
	}
}

// received reports headers that are still in their block.
func (o *observer) received(h *h2.Head) {
	if o != nil && h != nil {
		md, _ := toMD(h, "user-agent", "content-type")
		o.stats.Headers(o.ctx, DirectionReceived, md)
	}
}

// message reports a message whose buffer has travelled, or will.
func (o *observer) message(dir Direction, plain, wire int) {
	if o != nil {
		o.stats.Message(o.ctx, dir, MessageSize{plain, wire})
	}
}

func (o *observer) end(err error) {
	if o != nil && o.ended.CompareAndSwap(false, true) {
		o.stats.End(o.ctx, err, time.Since(o.begun))
	}
}

// wireSize is what a received message took on the wire.
func wireSize(b *h2.Buffer) int { return wire.PrefixLen + len(b.B) }
