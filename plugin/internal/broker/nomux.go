//go:build tenon_nomux

package broker

import (
	"context"
	"net"

	"github.com/tenonrpc/tenon/h2grpc"
)

// HasMux reports that the program was built with the tag tenon_nomux: it has no
// multiplexing, and each connection has a socket of its own. No Mux is ever made; its
// methods are those of a nil Mux.
const HasMux = false

type Mux struct{}
type MuxProtocolError struct{ error }

func NewHostMux(net.Conn, h2grpc.Logger) *Mux       { return nil }
func NewPluginMux(h2grpc.Logger) *Mux               { return nil }
func (*Mux) Listen(raw net.Listener) net.Listener   { return raw }
func (*Mux) Dial(context.Context) (net.Conn, error) { return nil, ErrClosed }
func (*Mux) Ended() <-chan struct{}                 { return nil }
func (*Mux) Close() error                           { return nil }
func (*Mux) transport(b *Broker) transport          { return newSockets(b) }
