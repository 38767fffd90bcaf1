package main

import (
	"context"
	"io"
	"strings"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/plugin/host"
)

// calls passes the host's calls on to the plugin.
type calls struct{ inner *host.Client }

// pass passes on one call, of any kind: messages go both ways until the plugin has
// ended it or the host has given it up. It is h2grpc.ServerConfig.Unknown.
func (c calls) pass(method string, from h2grpc.ServerStream) error {
	// The deadline is the context's. gRPC's own metadata is not sent twice.
	ctx, cancel := context.WithCancelCause(from.Context())
	defer cancel(nil)
	received, _ := metadata.FromIncomingContext(ctx)
	to, err := c.inner.Conn().NewStream(metadata.NewOutgoingContext(ctx, received),
		&h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method,
		h2grpc.UseCompressor(h2grpc.RequestCompressor(ctx)))
	if err != nil {
		return err
	}
	go requests(from, to, cancel)
	if header, err := to.Header(); err == nil && header != nil {
		if err := from.SendHeader(header); err != nil {
			return err
		}
	}
	var m h2grpc.Raw
	for {
		switch err := to.RecvMsg(&m); {
		case err == nil:
			if err := from.SendMsg(&m); err != nil {
				return err
			}
		case ctx.Err() != nil && from.Context().Err() == nil:
			return context.Cause(ctx) // a request could not be received
		default:
			from.SetTrailer(to.Trailer())
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

// requests passes on the host's messages, and their end. It ends with the call,
// whichever side has ended that.
func requests(from h2grpc.ServerStream, to h2grpc.ClientStream, fail context.CancelCauseFunc) {
	var m h2grpc.Raw
	for {
		switch err := from.RecvMsg(&m); {
		case err == io.EOF:
			to.CloseSend()
			return
		case err != nil:
			fail(err)
			return
		}
		if to.SendMsg(&m) != nil {
			return // pass learns why
		}
	}
}

// The services of the protocol that every plugin has: their methods are not unknown.
// The broker and the plugin's output are passed on in other ways.
const (
	healthService = "/" + health.ServiceName + "/"
	shutdown      = "/plugin.GRPCController/Shutdown"
)

// unary passes health checks on to the plugin, and ends the plugin before the relay, so
// that its last output is passed on.
func (c calls) unary(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
	switch {
	case strings.HasPrefix(info.FullMethod, healthService):
		reply := new(h2grpc.Raw)
		return reply, c.inner.Conn().Invoke(ctx, info.FullMethod, req, reply)
	case info.FullMethod == shutdown:
		c.inner.Close() // the relay's own end reports how that went
	}
	return handler(ctx, req)
}

// stream does the same for the one stream among them that is asked.
func (c calls) stream(srv any, from h2grpc.ServerStream, info *h2grpc.StreamServerInfo, handler h2grpc.StreamHandler) error {
	if strings.HasPrefix(info.FullMethod, healthService) {
		return c.pass(info.FullMethod, from)
	}
	return handler(srv, from)
}
