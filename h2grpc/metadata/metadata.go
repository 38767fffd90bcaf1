// Package metadata holds the key-value pairs that accompany a gRPC call, with
// the names and shapes of grpc-go's metadata package.
//
// Keys are lower case. Values of keys that end in "-bin" are arbitrary bytes (sent in
// base64: gRPC's PROTOCOL-HTTP2 document, "Binary-Header"); values of all other keys
// are printable ASCII.
//
// As in grpc-go, keys that belong to gRPC itself (grpc-status, grpc-timeout and the
// like) or to HTTP are neither sent nor received; other keys that begin with "grpc-",
// such as grpc-trace-bin, are. An empty key is an error of the call. Spaces at the
// ends of values, which HTTP/2 forbids (RFC 9113, section 8.2.1), are not sent;
// grpc-go sends them.
package metadata

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/tenonrpc/tenon/h2grpc/internal/ctxkey"
)

// MD maps a lower-case key to its values, in the order in which they were added. The
// order of different keys is not kept when an MD is sent.
//
// An MD is a plain map: concurrent reads are safe, concurrent writes are not.
type MD map[string][]string

// New returns an MD with one value for each key. Keys are converted to lower case.
func New(m map[string]string) MD {
	md := make(MD, len(m))
	for k, v := range m {
		k = strings.ToLower(k)
		md[k] = append(md[k], v)
	}
	return md
}

// Pairs returns an MD made of alternating keys and values. Keys are converted to
// lower case. It panics if the number of arguments is odd, which is a mistake of the
// program and never caused by a peer.
func Pairs(kv ...string) MD {
	if len(kv)%2 != 0 {
		panic(fmt.Sprintf("metadata: Pairs got %d arguments, which is odd", len(kv)))
	}
	md := make(MD, len(kv)/2)
	for i := 0; i < len(kv); i += 2 {
		md.Append(kv[i], kv[i+1])
	}
	return md
}

// Len returns the number of keys.
func (md MD) Len() int { return len(md) }

// Copy returns a deep copy of md.
func (md MD) Copy() MD { return Join(md) }

// Get returns the values of k, which is converted to lower case. The slice belongs to
// md.
func (md MD) Get(k string) []string { return md[strings.ToLower(k)] }

// Set replaces the values of k, which is converted to lower case. Without values it
// does nothing.
func (md MD) Set(k string, vals ...string) {
	if len(vals) > 0 {
		md[strings.ToLower(k)] = vals
	}
}

// Append adds values to k, which is converted to lower case. Without values it does
// nothing.
func (md MD) Append(k string, vals ...string) {
	if len(vals) > 0 {
		k = strings.ToLower(k)
		md[k] = append(md[k], vals...)
	}
}

// Delete removes k, which is converted to lower case.
func (md MD) Delete(k string) { delete(md, strings.ToLower(k)) }

// Join returns a new MD with the values of all mds, in the order of the arguments.
// Keys are converted to lower case.
func Join(mds ...MD) MD {
	out := MD{}
	for _, md := range mds {
		for k, v := range md {
			out.Append(k, v...)
		}
	}
	return out
}

// outgoing is the metadata of an outgoing context: a chain of whole MDs and appended
// pairs, so that AppendToOutgoingContext makes one small value and no copy.
type outgoing struct {
	parent *outgoing
	md     MD
	pairs  []string
}

// NewIncomingContext returns a context that carries md as the metadata of a received
// call. Servers use it; applications need it only in tests.
func NewIncomingContext(ctx context.Context, md MD) context.Context {
	return context.WithValue(ctx, ctxkey.Incoming{}, md)
}

// FromIncomingContext returns a copy of the metadata of the request whose handler was
// given ctx, and whether ctx has any.
func FromIncomingContext(ctx context.Context) (MD, bool) {
	md, ok := ctx.Value(ctxkey.Incoming{}).(MD)
	if !ok {
		return nil, false
	}
	return md.Copy(), true
}

// ValueFromIncomingContext returns a copy of the values of key in the metadata of the
// request whose handler was given ctx, without copying the rest.
func ValueFromIncomingContext(ctx context.Context, key string) []string {
	md, _ := ctx.Value(ctxkey.Incoming{}).(MD)
	v := md.Get(key)
	if v == nil {
		return nil
	}
	return append([]string(nil), v...)
}

// NewOutgoingContext returns a context whose calls send md instead of the metadata
// that ctx carried. md must not be changed afterwards.
func NewOutgoingContext(ctx context.Context, md MD) context.Context {
	return context.WithValue(ctx, ctxkey.Outgoing{}, &outgoing{md: md})
}

// AppendToOutgoingContext returns a context whose calls send the alternating keys and
// values in kv in addition to the metadata that ctx carried. It panics if the number
// of kv is odd.
func AppendToOutgoingContext(ctx context.Context, kv ...string) context.Context {
	if len(kv)%2 != 0 {
		panic(fmt.Sprintf("metadata: AppendToOutgoingContext got %d keys and values, which is odd", len(kv)))
	}
	parent, _ := ctx.Value(ctxkey.Outgoing{}).(*outgoing)
	return context.WithValue(ctx, ctxkey.Outgoing{}, &outgoing{parent: parent, pairs: append([]string(nil), kv...)})
}

// FromOutgoingContext returns a copy of the metadata that calls with ctx send, and
// whether ctx has any.
func FromOutgoingContext(ctx context.Context) (MD, bool) {
	o, ok := ctx.Value(ctxkey.Outgoing{}).(*outgoing)
	if !ok {
		return nil, false
	}
	md := MD{}
	o.each(func(k, v string) bool { md.Append(k, v); return true })
	return md, true
}

// Outgoing iterates over the pairs that calls with ctx send, without building an MD.
// Keys are lower case; the values of a key keep their order.
func Outgoing(ctx context.Context) iter.Seq2[string, string] {
	o, _ := ctx.Value(ctxkey.Outgoing{}).(*outgoing)
	return func(yield func(string, string) bool) { o.each(yield) }
}

// each calls yield for every pair, oldest first, until it returns false.
func (o *outgoing) each(yield func(string, string) bool) bool {
	if o == nil {
		return true
	}
	if !o.parent.each(yield) {
		return false
	}
	for k, vals := range o.md {
		k = strings.ToLower(k)
		for _, v := range vals {
			if !yield(k, v) {
				return false
			}
		}
	}
	for i := 0; i < len(o.pairs); i += 2 {
		if !yield(strings.ToLower(o.pairs[i]), o.pairs[i+1]) {
			return false
		}
	}
	return true
}
