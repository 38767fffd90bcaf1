// Package peer says who is at the other end of a call.
package peer

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/tenonrpc/tenon/h2grpc/internal/ctxkey"
)

// Peer describes the other end of a connection.
type Peer struct {
	Addr      net.Addr             // the peer's address
	LocalAddr net.Addr             // our own address
	TLS       *tls.ConnectionState // nil on a plaintext connection; must not be changed
}

// NewContext returns a context that carries p. Servers do this; applications
// only do it in tests.
func NewContext(ctx context.Context, p *Peer) context.Context {
	return context.WithValue(ctx, ctxkey.Peer{}, p)
}

// FromContext returns the peer of the call that is being served.
func FromContext(ctx context.Context) (*Peer, bool) {
	p, ok := ctx.Value(ctxkey.Peer{}).(*Peer)
	return p, ok
}
