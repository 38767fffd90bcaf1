// Package desk is what the host and the plugins of newsdesk agreed on, and all of them
// compile in: for each kind of plugin the handshake, the name, and a plugin.Set for
// each version of its protocol. You learn here where an application keeps these.
// It is also the package that authors of plugins import, so that its exported names
// are the application's promise to them.
//
// Read next: filter.go, for a kind with two versions and a callback.
package desk

import (
	"context"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"

	"example.com/newsdesk/newsdeskv1"
)

// Each kind has a cookie of its own: a plugin of one kind that was installed under the
// name of another is refused at its start, with an error that says so. There is no
// ProtocolVersion in them, because the versions are the keys of Versions.
var (
	FilterHandshake = plugin.Handshake{MagicCookieKey: "NEWSDESK_PLUGIN", MagicCookieValue: "filter"}
	SinkHandshake   = plugin.Handshake{MagicCookieKey: "NEWSDESK_PLUGIN", MagicCookieValue: "sink"}
)

// The patterns of the programs' names, by which the host finds the plugins of a kind.
const (
	FilterPrograms = "newsdesk-filter-*"
	SinkPrograms   = "newsdesk-sink-*"
)

// The names in the sets, for host.Dispense. They are not on the wire.
const (
	FilterName = "filter" // dispensed as a Filter
	SinkName   = "sink"   // dispensed as a newsdeskv1.SinkClient
)

// OutVariable is the environment variable that tells a sink the directory to publish
// in. Plugins get few variables of the host's, and this one because the host names it.
const OutVariable = "NEWSDESK_OUT"

// SinkV1 is the set of a sink. A plugin passes its implementation, a host nil. A kind
// that has one version needs no more than this: host and plugin use the generated
// types themselves.
func SinkV1(impl newsdeskv1.SinkServer) plugin.Set {
	return plugin.Set{SinkName: sinkV1{impl}}
}

type sinkV1 struct{ impl newsdeskv1.SinkServer }

func (p sinkV1) GRPCServer(_ *plugin.Broker, s *h2grpc.Server) error {
	newsdeskv1.RegisterSinkServer(s, p.impl)
	return nil
}

func (sinkV1) GRPCClient(_ context.Context, _ *plugin.Broker, conn *h2grpc.ClientConn) (any, error) {
	return newsdeskv1.NewSinkClient(conn), nil
}
