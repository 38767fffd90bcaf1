package grpcbridge

import (
	"context"

	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"google.golang.org/grpc/credentials"
	grpcmetadata "google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
)

// GRPCContext returns a context in which grpc-go's metadata and peer packages find
// what h2grpc's find in ctx: incoming metadata, outgoing metadata and the peer.
// Each replaces what grpc-go's package would have found in ctx; one that h2grpc's
// has not is left as it is. Nothing is taken away from h2grpc's packages.
//
// A peer's TLS becomes a credentials.TLSInfo without a SPIFFE ID. Metadata is
// copied. It may be called concurrently.
func GRPCContext(ctx context.Context) context.Context {
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = grpcmetadata.NewIncomingContext(ctx, grpcmetadata.MD(md))
	}
	if md, ok := metadata.FromOutgoingContext(ctx); ok {
		ctx = grpcmetadata.NewOutgoingContext(ctx, grpcmetadata.MD(md))
	}
	if p, ok := peer.FromContext(ctx); ok {
		ctx = grpcpeer.NewContext(ctx, grpcPeer(p))
	}
	return ctx
}

// H2Context returns a context in which h2grpc's metadata and peer packages find what
// grpc-go's find in ctx: incoming metadata, outgoing metadata and the peer. Each
// replaces what h2grpc's package would have found in ctx; one that grpc-go's has not
// is left as it is. Nothing is taken away from grpc-go's packages.
//
// Of a peer's AuthInfo only a credentials.TLSInfo is carried over; h2grpc knows no
// other. Metadata is copied. It may be called concurrently.
func H2Context(ctx context.Context) context.Context {
	if md, ok := grpcmetadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewIncomingContext(ctx, metadata.MD(md))
	}
	if p, ok := grpcpeer.FromContext(ctx); ok {
		ctx = peer.NewContext(ctx, h2Peer(p))
	}
	return sendGRPC(ctx)
}

// sendGRPC makes calls of h2grpc send what calls of grpc-go would.
func sendGRPC(ctx context.Context) context.Context {
	if md, ok := grpcmetadata.FromOutgoingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, metadata.MD(md))
	}
	return ctx
}

// sendBoth lets grpc-go see what a call sends that was given metadata by either
// library. A key that both have keeps grpc-go's values: that is what [GRPCContext]
// has made, perhaps, and values would be there twice.
func sendBoth(ctx context.Context) context.Context {
	ours, ok := metadata.FromOutgoingContext(ctx)
	if !ok {
		return ctx
	}
	if theirs, ok := grpcmetadata.FromOutgoingContext(ctx); ok {
		for key, values := range theirs {
			ours[key] = values
		}
	}
	return grpcmetadata.NewOutgoingContext(ctx, grpcmetadata.MD(ours))
}

func grpcPeer(p *peer.Peer) *grpcpeer.Peer {
	to := &grpcpeer.Peer{Addr: p.Addr, LocalAddr: p.LocalAddr}
	if p.TLS != nil {
		to.AuthInfo = credentials.TLSInfo{
			State:          *p.TLS,
			CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		}
	}
	return to
}

func h2Peer(p *grpcpeer.Peer) *peer.Peer {
	to := &peer.Peer{Addr: p.Addr, LocalAddr: p.LocalAddr}
	if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		to.TLS = &info.State
	}
	return to
}
