// Package peer describes the other end of a call.
package peer

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/tenonrpc/tenon/h2grpc/internal/ctxkey"
)

// Peer describes the other end of a connection.
type Peer struct {
	Addr      net.Addr             // the address of the peer
	LocalAddr net.Addr             // the address of this end
	TLS       *tls.ConnectionState // nil on a plaintext connection; must not be changed
}

// NewContext returns a context that carries p. Servers use it; applications need it
// only in tests.
func NewContext(ctx context.Context, p *Peer) context.Context {
	return context.WithValue(ctx, ctxkey.Peer{}, p)
}

// FromContext returns the peer of the call whose handler was given ctx, and whether
// ctx has one. It must not be changed.
func FromContext(ctx context.Context) (*Peer, bool) {
	p, ok := ctx.Value(ctxkey.Peer{}).(*Peer)
	return p, ok
}
