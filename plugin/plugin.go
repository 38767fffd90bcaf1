package plugin

import (
	"context"
	"fmt"

	"github.com/tenonrpc/tenon/h2grpc"
)

// Handshake is what a host and its plugins agree on in advance. Both are compiled with
// the same value.
type Handshake struct {
	// ProtocolVersion is the version of the application's protocol that the Plugins of
	// the same configuration speak. Applications with several versions list them in
	// Versions instead.
	ProtocolVersion int
	// MagicCookieKey and MagicCookieValue are the name and the value of an environment
	// variable. A plugin that does not find it tells whoever started it that it is a
	// plugin. This is a courtesy to people who run the program by hand, not a security
	// measure; the value is not a secret.
	MagicCookieKey, MagicCookieValue string
}

// Plugin is one service of an application, with a half for the plugin and a half for the
// host. Both programs usually share one [Set] of them; a program that needs only one half
// makes it with [ServeOnly] or [ClientOnly].
type Plugin interface {
	// GRPCServer registers the plugin's services with the server. It is called once, in
	// the plugin, before the server accepts connections. An error ends the plugin before
	// its handshake. The broker can be used by handlers, until Serve returns.
	GRPCServer(*Broker, *h2grpc.Server) error
	// GRPCClient returns the application's client for the services, on a connection that
	// is established. It is called in the host, possibly several times and by several
	// goroutines at once. The context bounds this call only.
	GRPCClient(context.Context, *Broker, *h2grpc.ClientConn) (any, error)
}

// Set maps names to the plugins of one protocol version. A plugin registers them in the
// order of their names. A Set must not be changed once it is in use.
type Set map[string]Plugin

// ServeOnly returns a Plugin for programs that only serve it. Its GRPCClient fails with
// [ErrOneSided].
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

// ClientOnly returns a Plugin for programs that only call it. Its GRPCServer fails with
// [ErrOneSided].
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
