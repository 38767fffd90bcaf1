package plugin

import (
	"context"
	"net"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
)

// DialConn is Dial for programs that use the connection themselves, for gRPC or for
// anything else. It connects, and performs the TLS handshake if the main connection has
// TLS: what is read and written is plaintext. ctx bounds that, not the connection. The
// caller must close the connection. With multiplexing it also ends with the main
// connection; otherwise only its two ends end it.
//
// An announcement is good for one DialConn or one Dial; with multiplexing, an id may be
// dialled as often as the other side accepts it.
func (b *Broker) DialConn(ctx context.Context, id uint32) (net.Conn, error) {
	return b.impl().DialConn(ctx, id)
}

// AcceptConn accepts one connection under id, and performs the TLS handshake if the main
// connection has TLS. Like Accept it tells the other side where to connect, and then
// waits for the connection until ctx ends or the broker is closed. After that it no
// longer listens: each DialConn of the other side needs an AcceptConn of its own. The
// caller must close the connection. Connections of AcceptConn and DialConn have a method
// CloseWrite, unless they are without TLS and come from the application's own Listen or
// Dial.
//
// A connection whose handshake fails is closed and logged, and AcceptConn goes on
// waiting. A handshake may take 20 seconds, or ServeConfig.Server.HandshakeTimeout. On
// sockets handshakes run concurrently, so that somebody who connects and sends nothing
// does not delay the other side. Without TLS the first connection is taken; see
// ServeConfig.Sockets.AllowUIDs for the checks on a unix socket.
func (b *Broker) AcceptConn(ctx context.Context, id uint32) (net.Conn, error) {
	return b.impl().AcceptConn(ctx, id)
}

// RelayBrokers joins two brokers in a program between a host and a plugin: the broker
// that the program has as a plugin of the host, and the one it has as the host of the
// plugin, in either order. Host and plugin pass each other ids through the program; what
// they accept and dial under these ids becomes connections between the two. cmd/relay is
// an example.
//
// For each connection RelayBrokers calls join in a goroutine of its own, with the
// connection of the side that dialled (from) and that of the side that accepts (to). Both
// are like those of AcceptConn and DialConn, and are closed when join returns. A nil join
// copies all bytes, in each direction until its end. Both connections are also closed, so
// that join's reads and writes fail, when ctx ends or one of the brokers is closed.
//
// RelayBrokers returns when ctx has ended or a broker is closed, and the last join has
// returned: nil if ctx has ended, otherwise [ErrBrokerClosed]. When one side ends its
// broker stream, as a plugin does that finishes its calls before it exits, nothing new is
// relayed, and open connections stay. RelayBrokers fails at once if only one of the
// brokers is multiplexed (the program must ask its plugin for what its host asks of it),
// or if one of them is being relayed already. No other method of either broker may be
// used meanwhile, because the ids belong to the host and the plugin.
//
// Without multiplexing, each announcement becomes a listener of the program that is
// announced to the other side. The protocol does not tell when an id has been given up. A
// listener is closed when a connection shows that, and otherwise once 256 other listeners
// of its direction have been without a connection for a shorter time.
//
// With multiplexing, the dialling side gets its answer once the accepting side has
// answered, and none, as usual, if that takes more than five seconds.
func RelayBrokers(ctx context.Context, a, b *Broker, join func(id uint32, from, to net.Conn)) error {
	return broker.Relay(ctx, a.impl(), b.impl(), join)
}
