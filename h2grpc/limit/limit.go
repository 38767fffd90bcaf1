// Package limit limits how often the calls of a server come, and how many are in
// progress at once.
//
// It is opt-in: nothing in h2grpc or plugin links it. A [Limiter] has two
// interceptors, to be put before all others, so that these do nothing for a call that
// is refused:
//
//	limiter, err := limit.New(&limit.Config{
//		Server: limit.Limits{Rate: 1000, Burst: 200, InFlight: 100},
//		Methods: map[string]limit.Limits{
//			"/app.Store/":       {InFlight: 20},         // all methods of a service
//			"/app.Store/Import": {Rate: 0.1, Burst: 1}, // one of them, in addition
//		},
//	})
//	...
//	h2grpc.ServerConfig{
//		UnaryInterceptors:  []h2grpc.UnaryServerInterceptor{limiter.Unary},
//		StreamInterceptors: []h2grpc.StreamServerInterceptor{limiter.Stream},
//	}
//
// A call counts against every limit that applies to it: its method's, its service's
// and the server's. If one of them refuses it, it takes nothing from the others. No
// call waits.
//
// # What a client sees
//
// A call over a limit fails with RESOURCE_EXHAUSTED and a text that names the limit.
// If it was one of rate, the status has a detail google.rpc.RetryInfo with the time
// until there is a token again, which [RetryDelay] reads; another call may be quicker
// to take it. If the limit is one of calls in progress, nobody knows when one of them
// will end, and there is no such detail. If both refuse a call, it gets the detail.
//
// # What is not limited
//
// The services grpc.health.v1.Health and grpc.reflection.* are never limited, nor is
// what Config.Exempt lists. Interceptors do not see the methods that
// h2grpc.ServerConfig.Exempt selects: in a plugin these are the protocol's own
// (controller, broker, output and health), unless the application has set that field.
// If it has, Config.Exempt should list "/plugin.GRPCController/",
// "/plugin.GRPCBroker/" and "/plugin.GRPCStdio/", since a host that cannot call these
// kills the plugin instead of stopping it. The calls of a plugin's brokered servers
// count together with those of its main server.
//
// The limits are on the work of handlers. The request of a unary call has been
// received and decoded before an interceptor is asked; what peers can make a
// connection hold meanwhile is bounded by h2grpc itself, by calls, bytes and
// connections.
package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
)

// Limits are limits of the same calls. The zero value limits nothing.
type Limits struct {
	// Rate is how many calls a second there may be in the long run: the number of tokens
	// that are added to a bucket each second, evenly. Each call takes one, a streaming
	// call too, when it begins. The time between two tokens is rounded to a whole number
	// of nanoseconds. Zero means no limit; more than ten million is an error.
	Rate float64
	// Burst is how many tokens the bucket holds, and so how many calls may come at once
	// after a pause. In the beginning it is full. It must be at least 1 with a Rate, and
	// zero without.
	Burst int
	// InFlight is how many calls may be in progress: from when they pass the interceptor
	// until their handler has returned, a streaming call's too. Zero means no limit.
	InFlight int
}

// Config configures a [Limiter]. The zero value limits nothing.
type Config struct {
	// Server limits all calls together.
	Server Limits
	// Methods limits the calls of methods, "/package.Service/Method", and of all methods
	// of a service together, "/package.Service/". Names that no call has do no harm.
	Methods map[string]Limits
	// Exempt lists methods and services, named as in Methods, whose calls are neither
	// limited nor counted.
	Exempt []string
}

// Limiter refuses the calls of a server that are over its limits. It may be used by
// several servers, which then share the limits. It has neither goroutines nor timers,
// and what it holds does not grow with the calls. All methods may be called
// concurrently.
type Limiter struct {
	start time.Time // all times are since then

	// These are not changed after New. A nil path means no limit.
	paths  map[string]*path // by method, or by service with a slash at its end
	others *path            // of calls that are not in paths

	mu sync.Mutex
	// guarded by mu, and so are the buckets of all meters
	now time.Duration // the latest time at which a token was asked for
}

// path is the meters that a call passes. They all let it pass, or none counts it.
type path struct {
	meters []*meter
	timed  bool // one of them has a rate
}

// meter counts the calls to which the same Limits apply.
type meter struct {
	each time.Duration // from one token to the next; 0: no limit
	fill time.Duration // how long an empty bucket takes to be full
	most int64         // calls in flight; 0: no limit

	tooMany string // the text of a status
	crowded error

	// full is when the bucket will be full again, if no more calls come. The bucket lacks
	// one token for each time "each" that is left until then. Guarded by Limiter.mu.
	full time.Duration
	// running is the calls in flight. It is increased with Limiter.mu held.
	running atomic.Int64
}

// Unary is an interceptor for h2grpc.ServerConfig.UnaryInterceptors.
func (l *Limiter) Unary(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
	p := l.path(info.FullMethod)
	if err := l.enter(p); err != nil {
		return nil, err
	}
	defer p.leave()
	return handler(ctx, req)
}

// Stream is an interceptor for h2grpc.ServerConfig.StreamInterceptors.
func (l *Limiter) Stream(srv any, ss h2grpc.ServerStream, info *h2grpc.StreamServerInfo, handler h2grpc.StreamHandler) error {
	p := l.path(info.FullMethod)
	if err := l.enter(p); err != nil {
		return err
	}
	defer p.leave()
	return handler(srv, ss)
}

// path returns what limits a method.
func (l *Limiter) path(method string) *path {
	if neverLimited(method) {
		return nil
	}
	if len(l.paths) == 0 {
		return l.others
	}
	if p, ok := l.paths[method]; ok {
		return p
	}
	if p, ok := l.paths[service(method)]; ok {
		return p
	}
	return l.others
}

// enter counts a call, or returns the status with which it is refused.
func (l *Limiter) enter(p *path) error {
	if p == nil {
		return nil
	}
	var now time.Duration
	if p.timed {
		now = time.Since(l.start)
	}
	full, delay := l.count(p, now)
	switch {
	case full == nil:
		return nil
	case delay > 0:
		return refusal(full.tooMany, delay)
	default:
		return full.crowded
	}
}

// count counts a call that comes now in all meters of a path, or in none: then it
// returns the one that is full, and if that is its bucket, how long it takes until there
// is a token in each.
func (l *Limiter) count(p *path, now time.Duration) (full *meter, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// A call that looked at the clock earlier may have got the lock later: in the past
	// there would be fewer tokens than there are.
	now = max(now, l.now)
	l.now = now
	for _, m := range p.meters {
		if d := m.wait(now); d > delay {
			full, delay = m, d
		}
	}
	if full != nil {
		return full, delay
	}
	for _, m := range p.meters {
		if m.most > 0 && m.running.Load() >= m.most {
			return m, 0
		}
	}
	for _, m := range p.meters {
		m.take(now)
	}
	return nil, 0
}

// leave is the end of a call that has entered.
func (p *path) leave() {
	if p == nil {
		return
	}
	for _, m := range p.meters {
		if m.most > 0 {
			m.running.Add(-1)
		}
	}
}

// wait returns how long it takes from now until there is a token: not more than 0 if
// there is one.
func (m *meter) wait(now time.Duration) time.Duration {
	return m.full - now + m.each - m.fill
}

// take counts a call that is let in.
func (m *meter) take(now time.Duration) {
	if m.each > 0 {
		m.full = max(m.full, now) + m.each
	}
	if m.most > 0 {
		m.running.Add(1)
	}
}
