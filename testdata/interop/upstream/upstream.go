// Package upstream puts the rich plugin and its host on hashicorp/go-plugin
// and grpc-go.
package upstream

import (
	"context"
	"slices"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
	"github.com/tenonrpc/tenon/plugin/interop/upstream/richgrpc"
)

// Handshake is the rich plugin's.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  cases.ProtocolVersion,
	MagicCookieKey:   cases.MagicCookieKey,
	MagicCookieValue: cases.MagicCookieValue,
}

// Plugin is a version of the rich plugin for both of upstream's sides.
type Plugin struct {
	plugin.NetRPCUnsupportedPlugin
	Version int
	Log     hclog.Logger // the plugin's
}

// sets returns the sets of several versions. They log to log.
func sets(versions []int, log hclog.Logger) map[int]plugin.PluginSet {
	all := make(map[int]plugin.PluginSet)
	for _, v := range versions {
		all[v] = plugin.PluginSet{cases.PluginName: Plugin{Version: v, Log: log}}
	}
	return all
}

// GRPCServer registers the rich service.
func (p Plugin) GRPCServer(broker *plugin.GRPCBroker, s *grpc.Server) error {
	richgrpc.RegisterRichServer(s, newServer(library{broker, p.Log}, p.Version))
	return nil
}

// GRPCClient returns a *dispensed.
func (p Plugin) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return &dispensed{richgrpc.NewRichClient(conn), broker, conn, p.Version}, nil
}

// dispensed is what the host's side needs of a running plugin.
type dispensed struct {
	rich    richgrpc.RichClient
	broker  *plugin.GRPCBroker
	conn    *grpc.ClientConn
	version int
}

// NewServer returns grpc-go's server with the limit that the cases need.
func NewServer(opts []grpc.ServerOption) *grpc.Server {
	opts = append(slices.Clip(opts), grpc.MaxRecvMsgSize(cases.MaxMessage))
	return grpc.NewServer(opts...)
}

// StatusOf takes an error of grpc-go apart.
func StatusOf(err error) cases.Status {
	st := status.Convert(err)
	out := cases.Status{Code: uint32(st.Code()), Message: st.Message()}
	for _, d := range st.Details() {
		reason, _ := d.(*richpb.Reason)
		out.Details = append(out.Details, reason)
	}
	return out
}

// ErrorOf returns an error that carries a status of grpc-go's.
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
	richgrpc.MirrorClient
}

func (m mirror) Reflect(ctx context.Context, in *richpb.Note) (*richpb.Note, error) {
	return m.MirrorClient.Reflect(ctx, in)
}

// mirrorServer answers for one side of the broker.
type mirrorServer struct {
	richgrpc.UnimplementedMirrorServer
	side string
	id   uint32
}

func (m mirrorServer) Reflect(_ context.Context, in *richpb.Note) (*richpb.Note, error) {
	return cases.Reflection(m.side, m.id, in), nil
}

// serveMirror serves a Mirror on the broker until stop is called.
func serveMirror(broker *plugin.GRPCBroker, side string) (id uint32, stop func()) {
	id = broker.NextId()
	servers := make(chan *grpc.Server, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		broker.AcceptAndServe(id, func(opts []grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(opts...)
			richgrpc.RegisterMirrorServer(s, mirrorServer{side: side, id: id})
			servers <- s
			return s
		})
	}()
	return id, func() {
		select {
		case s := <-servers:
			s.Stop()
			<-done
		case <-done:
		}
	}
}

func dialMirror(broker *plugin.GRPCBroker, id uint32) (cases.Mirror, func(), error) {
	conn, err := broker.Dial(id)
	if err != nil {
		return nil, nil, err
	}
	return mirror{richgrpc.NewMirrorClient(conn)}, func() { conn.Close() }, nil
}
