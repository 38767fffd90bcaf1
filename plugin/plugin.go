package plugin

import (
	"context"
	"fmt"

	"github.com/tenonrpc/tenon/h2grpc"
)

// Handshake is what a host and its plugins agree on beforehand. Both sides
// compile in the same value.
type Handshake struct {
	// ProtocolVersion is the version of the application's protocol, the one
	// that the Plugins of a configuration speak. Applications that speak
	// several versions list them in Versions instead.
	ProtocolVersion int
	// MagicCookieKey and MagicCookieValue name an environment variable and its
	// value. A plugin that does not find them tells whoever started it that it
	// is a plugin. This is a courtesy to people who run the program by hand;
	// it is not a security measure and the value is not a secret.
	MagicCookieKey, MagicCookieValue string
}

// Plugin is one service of an application, in both roles. Host and plugin
// usually share one [Set] of them; a side that does not need the other's half
// leaves it out with [ServeOnly] or [ClientOnly].
type Plugin interface {
	// GRPCServer registers the services of the plugin with the server. It is
	// called once in the plugin, before the server accepts connections. An
	// error ends the plugin before its handshake. The broker is usable from
	// handlers; it stays valid until Serve returns.
	GRPCServer(*Broker, *h2grpc.Server) error
	// GRPCClient returns the application's client for the services, on a
	// connection that is up. It is called in the host, possibly several times
	// and by several goroutines. The context bounds this call alone.
	GRPCClient(context.Context, *Broker, *h2grpc.ClientConn) (any, error)
}

// Set names the plugins of one protocol version. A plugin registers them in
// the order of their names. A Set must not be changed once it is in use.
type Set map[string]Plugin

// ServeOnly returns a Plugin for programs that only serve it. Its GRPCClient
// fails with [ErrOneSided].
func ServeOnly(register func(*Broker, *h2grpc.Server) error) Plugin {
	return serveOnly{register}
}

type serveOnly struct {
	register func(*Broker, *h2grpc.Server) error
}

func (p serveOnly) GRPCServer(b *Broker, s *h2grpc.Server) error { return p.register(b, s) }

func (serveOnly) GRPCClient(context.Context, *Broker, *h2grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("%w: it was made with ServeOnly, so a host cannot dispense it", ErrOneSided)
}

// ClientOnly returns a Plugin for programs that only use it. Its GRPCServer
// fails with [ErrOneSided].
func ClientOnly[T any](client func(context.Context, *Broker, *h2grpc.ClientConn) (T, error)) Plugin {
	return clientOnly[T]{client}
}

type clientOnly[T any] struct {
	client func(context.Context, *Broker, *h2grpc.ClientConn) (T, error)
}

func (clientOnly[T]) GRPCServer(*Broker, *h2grpc.Server) error {
	return fmt.Errorf("%w: it was made with ClientOnly, so a plugin cannot serve it", ErrOneSided)
}

func (p clientOnly[T]) GRPCClient(ctx context.Context, b *Broker, cc *h2grpc.ClientConn) (any, error) {
	return p.client(ctx, b, cc)
}
