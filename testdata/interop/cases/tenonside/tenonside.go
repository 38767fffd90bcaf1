// Package tenonside puts the rich plugin and its host on this library.
package tenonside

import (
	"context"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside/richh2grpc"
)

// Handshake is the rich plugin's.
var Handshake = plugin.Handshake{
	ProtocolVersion:  cases.ProtocolVersion,
	MagicCookieKey:   cases.MagicCookieKey,
	MagicCookieValue: cases.MagicCookieValue,
}

// Plugins is the set of both sides.
var Plugins = plugin.Set{cases.PluginName: rich{version: cases.ProtocolVersion}}

// sets returns the sets of several versions. They log to log.
func sets(versions []int, log plugin.Logger) map[int]plugin.Set {
	all := make(map[int]plugin.Set)
	for _, v := range versions {
		all[v] = plugin.Set{cases.PluginName: rich{v, log}}
	}
	return all
}

// rich is a version of the rich plugin for both sides.
type rich struct {
	version int
	log     plugin.Logger // the plugin's
}

func (r rich) GRPCServer(broker *plugin.Broker, s *h2grpc.Server) error {
	richh2grpc.RegisterRichServer(s, newServer(library{broker, r.log}, r.version))
	return nil
}

func (r rich) GRPCClient(_ context.Context, broker *plugin.Broker, conn *h2grpc.ClientConn) (any, error) {
	return &dispensed{richh2grpc.NewRichClient(conn), broker, conn, r.version}, nil
}

// dispensed is what the host's side needs of a running plugin.
type dispensed struct {
	rich    richh2grpc.RichClient
	broker  *plugin.Broker
	conn    *h2grpc.ClientConn
	version int
}

// StatusOf takes an error of h2grpc apart.
func StatusOf(err error) cases.Status {
	st := status.Convert(err)
	out := cases.Status{Code: uint32(st.Code()), Message: st.Message()}
	for _, d := range st.Details() {
		reason, _ := d.(*richpb.Reason)
		out.Details = append(out.Details, reason)
	}
	return out
}

// ErrorOf returns an error that carries a status of h2grpc's.
func ErrorOf(code uint32, message string, details ...*richpb.Reason) error {
	st := status.New(codes.Code(code), message)
	for _, d := range details {
		var err error
		if st, err = st.WithDetails(d); err != nil {
			return err
		}
	}
	return st.Err()
}

// mirror is a brokered client.
type mirror struct {
	richh2grpc.MirrorClient
}

func (m mirror) Reflect(ctx context.Context, in *richpb.Note) (*richpb.Note, error) {
	return m.MirrorClient.Reflect(ctx, in)
}

// mirrorServer answers for one side of the broker.
type mirrorServer struct {
	richh2grpc.UnimplementedMirrorServer
	side string
	id   atomic.Uint32
}

func (m *mirrorServer) Reflect(_ context.Context, in *richpb.Note) (*richpb.Note, error) {
	return cases.Reflection(m.side, m.id.Load(), in), nil
}

// serveMirror serves a Mirror on the broker until ctx ends.
func serveMirror(ctx context.Context, broker *plugin.Broker, side string) (uint32, error) {
	m := &mirrorServer{side: side}
	id, err := broker.Serve(ctx, func(s *h2grpc.Server) error {
		richh2grpc.RegisterMirrorServer(s, m)
		return nil
	})
	m.id.Store(id)
	return id, err
}

func dialMirror(ctx context.Context, broker *plugin.Broker, id uint32) (cases.Mirror, func(), error) {
	conn, err := broker.Dial(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	return mirror{richh2grpc.NewMirrorClient(conn)}, func() { conn.Close() }, nil
}
