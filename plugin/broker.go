package plugin

import (
	"context"
	"net"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
)

// Broker opens further connections between a host and its plugin, in either
// direction: a host lends its plugin a callback, a plugin hands out one server
// for each object that it makes. One side accepts a connection under an id,
// hands the id to the other side inside a call of the application's own, and
// the other side dials it:
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
// Hosts and plugins have the same type and the same rules. Brokered
// connections are secured like the main one, with the same certificates.
//
// What speaks something other than gRPC has DialConn and AcceptConn, and what is
// between a host and a plugin has [RelayBrokers].
//
// With multiplexing, which hosts ask for, brokered connections are streams of
// the one connection between the two, and have no sockets of their own. Ids may
// be dialled by any number of goroutines at once in either case.
//
// A Broker may be used by several goroutines at once. Its methods fail with
// [ErrBrokerClosed] once the connection is shut down.
type Broker broker.Broker

func (b *Broker) impl() *broker.Broker { return (*broker.Broker)(b) }

// NextID returns an id that this side has not used before. Ids count from 1
// on each side by itself.
func (b *Broker) NextID() uint32 { return b.impl().NextID() }

// Accept opens a listener and tells the other side that id can be dialled
// there. It waits, as long as ctx lasts, until that could be sent: a plugin's
// broker cannot send before its host has connected. The listener is the
// caller's to close; it is closed with the broker at the latest. ctx bounds
// this call, not the listener.
//
// The connections that the listener accepts are secured with TLS if the main
// connection is, the pin of the peer's certificate included; a program that
// speaks gRPC on them must not add TLS of its own.
//
// With multiplexing Accept does not wait: the other side asks when it dials. An
// id can then have one listener at a time.
func (b *Broker) Accept(ctx context.Context, id uint32) (net.Listener, error) {
	return b.impl().Accept(ctx, id)
}

// AcceptAndServe serves gRPC under id until ctx ends, with the services that
// register adds, and then returns nil; calls that are in progress then are
// cancelled. It fails if register does, if a registration was wrong, or if the other
// side cannot be told.
func (b *Broker) AcceptAndServe(ctx context.Context, id uint32, register func(*h2grpc.Server) error) error {
	return b.impl().AcceptAndServe(ctx, id, register)
}

// Serve is AcceptAndServe in the background, under a new id. It returns the id
// when the other side has been told, so that it can be handed over at once.
// The server ends with ctx or with the broker. The context of a call ends when its
// handler returns: what is to serve for longer needs another, such as
// context.Background().
func (b *Broker) Serve(ctx context.Context, register func(*h2grpc.Server) error) (id uint32, err error) {
	return b.impl().Serve(ctx, register)
}

// Dial returns a connection to what the other side serves under id. It waits
// until the other side has said where that is, at most as long as ctx lasts;
// give it a deadline, because an id that the other side never accepts is never
// announced. An announcement is good for one Dial. The connection is made by
// its first call, or by Connect; the caller must close it.
//
// With multiplexing the connection is made by Dial itself, within ctx, and an id
// may be dialled as often as the other side accepts it. A connection that was
// lost is made again by the next call, if the other side accepts it within two
// seconds.
func (b *Broker) Dial(ctx context.Context, id uint32) (*h2grpc.ClientConn, error) {
	return b.impl().Dial(ctx, id)
}
