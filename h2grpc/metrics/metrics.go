// Package metrics counts calls, and writes the counts in Prometheus' text format. It
// needs no client library, and no HTTP server: an application that has one adds
//
//	http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
//		w.Header().Set("Content-Type", metrics.ContentType)
//		set.WriteTo(w)
//	})
//
// The names are those that dashboards for gRPC in Go expect: grpc_client_… and
// grpc_server_… with handled_total, handling_seconds, msg_received_total and
// msg_sent_total, labelled by grpc_service, grpc_method, grpc_type and, for
// handled_total, grpc_code; and grpc_client_in_flight, grpc_server_in_flight.
//
// A peer cannot make the counts grow without end. A method has counts of its own once a
// call of it had another result than UNIMPLEMENTED, and there are a thousand methods at
// most; all others share the method "other". Codes that gRPC does not define count as
// "other" too.
//
// Format: https://prometheus.io/docs/instrumenting/exposition_formats
package metrics

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// ContentType is the media type of what WriteTo writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Set is a set of counts. The zero value is empty and ready for use; it must not be
// copied. All methods may be called concurrently.
type Set struct {
	mu       sync.Mutex
	calls    []*calls        // guarded by mu
	collects []func(*Writer) // guarded by mu
}

// Stats returns what is to be set as h2grpc.ClientConfig.Stats or ServerConfig.Stats. It
// counts calls of both sides. labels are pairs of names and values that distinguish them
// from others of the set, such as "plugin", "kv". The same labels count together. Stats
// panics if labels are not pairs, or a name is not a label's.
func (s *Set) Stats(labels ...string) h2grpc.Stats {
	own := pairs(labels)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if slices.Equal(c.labels, own) {
			return c
		}
	}
	c := &calls{labels: own, methods: map[key]*method{}}
	s.calls = append(s.calls, c)
	return c
}

// Collect has f called by each WriteTo, to write more: what is not counted but looked
// up, such as the state of plugins.
func (s *Set) Collect(f func(w *Writer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.collects = append(s.collects, f)
}

// WriteTo writes all counts.
func (s *Set) WriteTo(w io.Writer) (int64, error) {
	s.mu.Lock()
	all, collects := slices.Clone(s.calls), slices.Clone(s.collects)
	s.mu.Unlock()
	out := &Writer{}
	for _, side := range []string{"client", "server"} {
		writeCalls(out, side, all)
	}
	for _, f := range collects {
		f(out)
	}
	n, err := io.WriteString(w, out.String())
	return int64(n), err
}

// calls are the counts of one Stats. It implements h2grpc.Stats.
type calls struct {
	labels []string
	flying [2]atomic.Int64 // by side: client, server

	mu      sync.RWMutex
	methods map[key]*method // guarded by mu
}

// key names a method on one side.
type key struct {
	client bool
	name   string
}

// method is the counts of one method.
type method struct {
	kind           string // grpc_type
	received, sent atomic.Int64
	codes          [len(codeNames)]atomic.Int64
	buckets        [len(bounds) + 1]atomic.Int64 // not cumulative; the last is above all bounds
	nanoseconds    atomic.Int64                  // of all calls together
}

// span is a call. Its context has it under spanKey.
type span struct {
	key            key
	kind           string
	m              *method      // nil if the method has no counts yet
	received, sent atomic.Int64 // as long as m is nil
}

type spanKey struct{}

func (c *calls) Begin(ctx context.Context, info h2grpc.CallInfo) context.Context {
	sp := &span{key: key{info.Client, info.Method}, kind: kind(info)}
	c.mu.RLock()
	sp.m = c.methods[sp.key]
	c.mu.RUnlock()
	c.inFlight(info.Client).Add(1)
	return context.WithValue(ctx, spanKey{}, sp)
}

func (c *calls) Headers(context.Context, h2grpc.Direction, metadata.MD) {}

func (c *calls) Message(ctx context.Context, dir h2grpc.Direction, _ h2grpc.MessageSize) {
	sp := ctx.Value(spanKey{}).(*span)
	received, sent := &sp.received, &sp.sent
	if sp.m != nil {
		received, sent = &sp.m.received, &sp.m.sent
	}
	if dir == h2grpc.DirectionSent {
		sent.Add(1)
	} else {
		received.Add(1)
	}
}

func (c *calls) End(ctx context.Context, err error, took time.Duration) {
	sp := ctx.Value(spanKey{}).(*span)
	code := int(min(status.Code(err), codes.Code(len(codeNames)-1)))
	m := sp.m
	if m == nil {
		m = c.method(sp, code)
		m.received.Add(sp.received.Load())
		m.sent.Add(sp.sent.Load())
	}
	m.codes[code].Add(1)
	i, _ := slices.BinarySearch(bounds[:], took.Seconds())
	m.buckets[i].Add(1)
	m.nanoseconds.Add(int64(took))
	c.inFlight(sp.key.client).Add(-1)
}

func (c *calls) inFlight(client bool) *atomic.Int64 {
	if client {
		return &c.flying[0]
	}
	return &c.flying[1]
}

// method returns the counts of a call's method, which it makes if the result of the call
// shows that there is such a method.
func (c *calls) method(sp *span, code int) *method {
	k, kind := sp.key, sp.kind
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.methods[k]; m != nil {
		return m
	}
	if code == int(codes.Unimplemented) || len(c.methods) >= maxMethods {
		k.name, kind = other, other
	}
	m := c.methods[k]
	if m == nil {
		m = &method{kind: kind}
		c.methods[k] = m
	}
	return m
}

// kind returns a call's grpc_type.
func kind(info h2grpc.CallInfo) string {
	switch {
	case info.IsClientStream && info.IsServerStream:
		return "bidi_stream"
	case info.IsClientStream:
		return "client_stream"
	case info.IsServerStream:
		return "server_stream"
	}
	return "unary"
}

// row is a method of one calls.
type row struct {
	labels []string
	*method
}

// rows returns the methods of one side, in order.
func (c *calls) rows(client bool) []row {
	c.mu.RLock()
	defer c.mu.RUnlock()
	keys := slices.SortedFunc(maps.Keys(c.methods), func(a, b key) int { return strings.Compare(a.name, b.name) })
	var list []row
	for _, k := range keys {
		if k.client != client {
			continue
		}
		service, name := other, other
		if i := strings.LastIndexByte(k.name, '/'); i > 0 {
			service, name = k.name[1:i], k.name[i+1:]
		}
		m := c.methods[k]
		list = append(list, row{slices.Concat([]string{"grpc_service", service, "grpc_method", name, "grpc_type", m.kind}, c.labels), m})
	}
	return list
}

// writeCalls writes the counts of one side.
func writeCalls(w *Writer, side string, all []*calls) {
	var list []row
	for _, c := range all {
		list = append(list, c.rows(side == "client")...)
	}
	prefix := "grpc_" + side + "_"
	w.Family(prefix+"handled_total", "counter", "Calls that have ended, by their status.")
	for _, r := range list {
		for code := range r.codes {
			if n := r.codes[code].Load(); n > 0 {
				w.Sample("", float64(n), slices.Concat(r.labels, []string{"grpc_code", codeNames[code]})...)
			}
		}
	}
	w.Family(prefix+"handling_seconds", "histogram", "How long calls took.")
	for _, r := range list {
		r.writeHistogram(w)
	}
	w.Family(prefix+"msg_received_total", "counter", "Messages received.")
	for _, r := range list {
		w.Sample("", float64(r.received.Load()), r.labels...)
	}
	w.Family(prefix+"msg_sent_total", "counter", "Messages sent.")
	for _, r := range list {
		w.Sample("", float64(r.sent.Load()), r.labels...)
	}
	w.Family(prefix+"in_flight", "gauge", "Calls that have begun and not ended.")
	for _, c := range all {
		w.Sample("", float64(c.inFlight(side == "client").Load()), c.labels...)
	}
}

func (r row) writeHistogram(w *Writer) {
	total := int64(0)
	for i := range r.buckets {
		total += r.buckets[i].Load()
		le := "+Inf"
		if i < len(bounds) {
			le = number(bounds[i])
		}
		w.Sample("_bucket", float64(total), slices.Concat(r.labels, []string{"le", le})...)
	}
	w.Sample("_sum", time.Duration(r.nanoseconds.Load()).Seconds(), r.labels...)
	w.Sample("_count", float64(total), r.labels...)
}
