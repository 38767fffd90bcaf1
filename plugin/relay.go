package plugin

import (
	"context"
	"net"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
)

// DialConn is Dial for programs that speak gRPC, or something else, on the
// connection themselves. It connects, and performs the TLS handshake if the main
// connection has TLS: what is read and written is the plaintext. ctx bounds that,
// and not the connection, which the caller must close. With multiplexing it ends
// with the main connection; otherwise with nothing but its two ends.
//
// An announcement is good for one DialConn, or one Dial; with multiplexing, an id
// may be dialled as often as the other side accepts it.
func (b *Broker) DialConn(ctx context.Context, id uint32) (net.Conn, error) {
	return b.impl().DialConn(ctx, id)
}

// AcceptConn accepts one connection under id, and performs the TLS handshake if the
// main connection has TLS. It tells the other side where to connect, as Accept does,
// and waits for it, as long as ctx lasts and the broker does. It then listens no
// longer: a second DialConn of the other side's needs a second AcceptConn. The
// connection is the caller's to close, as DialConn's is. Both have a method
// CloseWrite, unless they are without TLS and of the application's own Listen or
// Dial.
//
// A connection whose handshake fails is closed, logged and not the one. Handshakes
// come one after the other, for 20 seconds each at most
// (ServeConfig.Server.HandshakeTimeout): on a TCP socket, of which strangers know, who
// opens connections and says nothing can hold up the other side. Without TLS, who
// comes first is taken; see ServeConfig.Sockets.AllowUIDs for what is known of a unix socket.
func (b *Broker) AcceptConn(ctx context.Context, id uint32) (net.Conn, error) {
	return b.impl().AcceptConn(ctx, id)
}

// RelayBrokers joins two brokers in a program that is between a host and a plugin:
// its broker as a plugin, and that of its own plugin, in either order. What the
// program's host and its plugin then accept and dial, under ids that they hand each
// other through the program, are connections between the two. cmd/relay is such a
// program.
//
// For each connection join is called, in a goroutine of its own, with the end of who
// has dialled and the end of who accepts; both are as AcceptConn and DialConn return
// them, and are closed when it returns. Nil copies all bytes, each way until its
// end. Both ends are also closed, so that join's reads and writes fail, when ctx ends
// or one of the brokers is closed.
//
// RelayBrokers returns when that has happened and the last join has returned: nil
// if ctx has ended, otherwise [ErrBrokerClosed]. When a side hangs up, as a plugin
// does that finishes its calls before it ends, nothing new is passed on, and what is
// open stays. It fails at once if one broker is multiplexed and the other is not:
// the program has to ask of its plugin what its host asks of it. It fails, too, if
// one of them is being relayed already. No other method of either broker may be
// used meanwhile, since the ids belong to the two others.
//
// Without multiplexing, each announcement is a listener of the program's that is
// announced to the other side. Nobody says when an id has been given up. A listener
// is closed when a connection shows that, and otherwise once 256 others of its
// direction have been without a connection for a shorter time.
//
// With multiplexing, who dials is answered when the other end has answered, and
// hears nothing, as usual, if that does not within five seconds.
func RelayBrokers(ctx context.Context, a, b *Broker, join func(id uint32, from, to net.Conn)) error {
	return broker.Relay(ctx, a.impl(), b.impl(), join)
}
