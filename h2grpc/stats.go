package h2grpc

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/wire"
)

// Stats observes calls, on a client or a server: enough for metrics and tracing. Its
// methods are called by the goroutines that make and handle the calls, those of one
// call possibly at the same time, so they must be quick and safe for concurrent use.
//
// Each call begins and ends exactly once, including a call that the server refuses
// without a handler (an unknown method, say). A request that is not gRPC is not a
// call.
type Stats interface {
	// Begin is called first. Its result becomes the context of the call: it is passed to
	// the other methods and, on a server, to the handler; on a client its outgoing
	// metadata is sent.
	Begin(ctx context.Context, call CallInfo) context.Context
	// Headers is called when the headers of a request or a response have been sent or
	// received. md must not be changed or kept.
	Headers(ctx context.Context, dir Direction, md metadata.MD)
	// Message is called when a message has been sent or received.
	Message(ctx context.Context, dir Direction, size MessageSize)
	// End is called last. err is the result of the call, nil for success; status.Code
	// returns its code.
	End(ctx context.Context, err error, took time.Duration)
}

// CallInfo describes a call to [Stats].
type CallInfo struct {
	Method         string // "/package.Service/Method"
	Client         bool   // whether the call is made here; otherwise it is served here
	IsClientStream bool
	IsServerStream bool
}

// Direction is the direction of headers and messages, as this process sees it.
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

// MessageSize is the size of a message, in bytes.
type MessageSize struct {
	Plain int // encoded, before compression
	Wire  int // as sent: after compression, with gRPC's prefix, without HTTP/2's frame headers
}

// exempts reports whether exempt leaves the calls of a method out; a nil exempt
// leaves out none.
func exempts(exempt func(string) bool, method string) bool {
	return exempt != nil && exempt(method)
}

// observer reports one call to a Stats; a nil observer reports nothing.
type observer struct {
	stats Stats
	ctx   context.Context
	begun time.Time
	ended atomic.Bool
}

// observe begins to report a call. It returns nil if s is nil.
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

// received reports the headers of a received block.
func (o *observer) received(h *h2.Head) {
	if o != nil && h != nil {
		md, _ := toMD(h, "user-agent", "content-type")
		o.stats.Headers(o.ctx, DirectionReceived, md)
	}
}

// message reports a message that was sent or received, or is about to be sent.
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

// wireSize returns the size of a received message as it was sent.
func wireSize(b *h2.Buffer) int { return wire.PrefixLen + len(b.B) }
