package grpcbridge

import (
	"context"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"google.golang.org/grpc"
	grpcmetadata "google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
)

// Stats returns an h2grpc.Stats that reports calls to a stats handler of grpc-go,
// such as that of OpenTelemetry's otelgrpc. It is for the Stats of an
// h2grpc.ServerConfig or ClientConfig, and sees all calls of that server or client,
// including those of h2grpc's own services and stubs. Metadata that h adds is sent:
// on a client, TagRPC finds the outgoing metadata and may add to it; on a server it
// finds the incoming metadata, and handlers find that as TagRPC has left it.
//
// TagRPC and Begin of h are called when a call begins; InHeader, OutHeader, InPayload
// and OutPayload for headers and messages; and End with an error that [GRPCError] has
// made. h2grpc does not report the rest: there are no InTrailer and OutTrailer, End
// has no trailers, payloads have only their sizes, headers have no length and no
// compression and, on a client, no addresses, and FailFast is never set. TagConn and
// HandleConn are not called.
//
// The methods of h are called by the goroutines of the calls, those of one call
// possibly at the same time, as with grpc-go.
func Stats(h stats.Handler) h2grpc.Stats { return &observer{h} }

type observer struct{ handler stats.Handler }

// statsCall is what the events of a call need to know of it.
type statsCall struct {
	h2grpc.CallInfo
	begun time.Time
}

type statsKey struct{}

func callOf(ctx context.Context) *statsCall {
	c, _ := ctx.Value(statsKey{}).(*statsCall)
	if c == nil { // h2grpc passes on the context that Begin returned
		c = new(statsCall)
	}
	return c
}

func (o *observer) Begin(ctx context.Context, call h2grpc.CallInfo) context.Context {
	c := &statsCall{call, time.Now()}
	if call.Client {
		// What h2grpc would send counts: its own interceptors have run.
		md, _ := metadata.FromOutgoingContext(ctx)
		ctx = grpcmetadata.NewOutgoingContext(ctx, grpcmetadata.MD(md))
	} else {
		ctx = grpc.NewContextWithServerTransportStream(GRPCContext(ctx), transportStream{ctx, call.Method})
	}
	ctx = o.handler.TagRPC(ctx, &stats.RPCTagInfo{FullMethodName: call.Method})
	if call.Client {
		ctx = sendGRPC(ctx)
	} else if md, ok := grpcmetadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewIncomingContext(ctx, metadata.MD(md)) // serverContext copies it to grpc-go's key
	}
	ctx = context.WithValue(ctx, statsKey{}, c)
	o.handler.HandleRPC(ctx, &stats.Begin{
		Client:         call.Client,
		BeginTime:      c.begun,
		IsClientStream: call.IsClientStream,
		IsServerStream: call.IsServerStream,
	})
	return ctx
}

func (o *observer) Headers(ctx context.Context, dir h2grpc.Direction, md metadata.MD) {
	c := callOf(ctx)
	header := grpcmetadata.MD(md.Copy()) // handlers of grpc-go may keep it
	var p grpcpeer.Peer
	if found, ok := grpcpeer.FromContext(ctx); ok && !c.Client {
		p = *found
	}
	if dir == h2grpc.DirectionReceived {
		in := &stats.InHeader{Client: c.Client, Header: header}
		if !c.Client {
			in.FullMethod, in.RemoteAddr, in.LocalAddr = c.Method, p.Addr, p.LocalAddr
		}
		o.handler.HandleRPC(ctx, in)
		return
	}
	out := &stats.OutHeader{Client: c.Client, Header: header}
	if c.Client {
		out.FullMethod = c.Method
	}
	o.handler.HandleRPC(ctx, out)
}

func (o *observer) Message(ctx context.Context, dir h2grpc.Direction, size h2grpc.MessageSize) {
	c := callOf(ctx)
	if dir == h2grpc.DirectionReceived {
		o.handler.HandleRPC(ctx, &stats.InPayload{
			Client: c.Client, Length: size.Plain, CompressedLength: size.Wire - prefix, WireLength: size.Wire, RecvTime: time.Now(),
		})
		return
	}
	o.handler.HandleRPC(ctx, &stats.OutPayload{
		Client: c.Client, Length: size.Plain, CompressedLength: size.Wire - prefix, WireLength: size.Wire, SentTime: time.Now(),
	})
}

// prefix is what precedes each message: a flag and its length (gRPC's PROTOCOL-HTTP2
// document, "Length-Prefixed-Message").
const prefix = 5

func (o *observer) End(ctx context.Context, err error, took time.Duration) {
	c := callOf(ctx)
	o.handler.HandleRPC(ctx, &stats.End{
		Client:    c.Client,
		BeginTime: c.begun,
		EndTime:   c.begun.Add(took),
		Error:     GRPCError(err),
	})
}
