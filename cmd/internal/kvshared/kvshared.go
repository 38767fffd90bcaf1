// Package kvshared is what the example's host and plugin have agreed on and both
// compile in: the handshake and the set of plugins.
package kvshared

import (
	"context"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
)

// Handshake is the example's. An application invents its own cookie.
var Handshake = plugin.Handshake{
	ProtocolVersion:  1,
	MagicCookieKey:   "KV_PLUGIN",
	MagicCookieValue: "keys-and-values",
}

// Name is the store's name in the set. A host dispenses it as a kv.KVClient.
const Name = "kv"

// Plugins returns the set. A plugin passes its implementation of the store; a host
// passes nil.
func Plugins(impl kv.KVServer) plugin.Set {
	return plugin.Set{Name: store{impl}}
}

// store is the one plugin of the set, in both roles.
type store struct {
	impl kv.KVServer // nil in a host
}

func (p store) GRPCServer(_ *plugin.Broker, s *h2grpc.Server) error {
	kv.RegisterKVServer(s, p.impl)
	return nil
}

func (store) GRPCClient(_ context.Context, _ *plugin.Broker, conn *h2grpc.ClientConn) (any, error) {
	return kv.NewKVClient(conn), nil
}
