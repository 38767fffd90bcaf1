package plugin

import (
	"context"
	"net"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
)

// Broker opens further connections between a host and its plugin, in either direction:
// for a callback of the host that the plugin calls, for example, or for one server for
// each object that a plugin creates. One side accepts a connection under an id and passes
// the id to the other side in a call of the application; the other side dials it:
//
//	id, err := broker.Serve(ctx, func(s *h2grpc.Server) error {
//		kvpb.RegisterLogServer(s, impl)
//		return nil
//	})
//	_, err = client.Watch(ctx, &kvpb.WatchRequest{Callback: id})
//
// and in the handler of Watch:
//
//	cc, err := broker.Dial(ctx, req.Callback)
//	defer cc.Close()
//	log := kvpb.NewLogClient(cc)
//
// A plugin gets its Broker in Plugin.GRPCServer, and a host in Plugin.GRPCClient or from
// host.Client.Broker. Both have the same type with the same rules. Brokered connections
// are secured like the main one, with the same certificates.
//
// [Broker.DialConn] and [Broker.AcceptConn] are for protocols other than gRPC, and
// [RelayBrokers] is for programs between a host and a plugin.
//
// With multiplexing, which the host chooses, brokered connections are streams of the
// single connection between host and plugin, and have no sockets of their own. With or
// without it, any number of goroutines may dial ids at once.
//
// A Broker may be used by several goroutines at once. Its methods fail with
// [ErrBrokerClosed] once the connection is shut down.
type Broker broker.Broker

func (b *Broker) impl() *broker.Broker { return (*broker.Broker)(b) }

// NextID returns an id to accept a connection under, which this side has not used before.
// Each side counts its ids from 1, independently of the other.
func (b *Broker) NextID() uint32 { return b.impl().NextID() }

// Accept opens a listener and tells the other side that id can be dialled there. It waits
// until that has been sent, or ctx ends: a plugin's broker cannot send before its host
// has connected. The caller must close the listener; closing the broker closes it too.
// ctx bounds this call, not the listener.
//
// If the main connection has TLS, the connections that the listener accepts have it too,
// with their handshakes completed and the same peer certificate required; a program that
// speaks gRPC on them must not add TLS.
//
// With multiplexing Accept does not wait, since the other side asks when it dials, and an
// id can have only one listener at a time.
func (b *Broker) Accept(ctx context.Context, id uint32) (net.Listener, error) {
	return b.impl().Accept(ctx, id)
}

// AcceptAndServe serves gRPC under id, with the services that register adds, until ctx
// ends, and then returns nil; calls in progress are cancelled then. It fails if register
// fails, if a registration was wrong, or if the other side cannot be told.
func (b *Broker) AcceptAndServe(ctx context.Context, id uint32, register func(*h2grpc.Server) error) error {
	return b.impl().AcceptAndServe(ctx, id, register)
}

// Serve is AcceptAndServe in the background, under a new id. It returns once the other
// side has been told, so that the id can be passed on at once. The server ends with ctx
// or with the broker. The context of a call ends when its handler returns: for a server
// that is to live longer use another, such as context.Background().
func (b *Broker) Serve(ctx context.Context, register func(*h2grpc.Server) error) (id uint32, err error) {
	return b.impl().Serve(ctx, register)
}

// Dial returns a connection to the server under id on the other side. It waits until the
// other side has announced its address, or ctx ends; give ctx a deadline, because an id
// that is never accepted is never announced. An announcement is good for one Dial. The
// connection is established by its first call, or by Connect. The caller must close it.
//
// With multiplexing Dial itself establishes the connection, within ctx, and an id may be
// dialled as often as the other side accepts it. A lost connection is established again
// by the next call, if the other side accepts it within two seconds.
func (b *Broker) Dial(ctx context.Context, id uint32) (*h2grpc.ClientConn, error) {
	return b.impl().Dial(ctx, id)
}
