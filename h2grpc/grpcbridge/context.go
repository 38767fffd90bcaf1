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
// what h2grpc's find in ctx: incoming metadata, outgoing metadata and the peer. Each
// of the three replaces what grpc-go's packages would have found in ctx; one that
// h2grpc's do not find is left as it is. h2grpc's packages still find everything.
//
// The TLS state of a peer becomes a credentials.TLSInfo without a SPIFFE ID. Metadata
// is copied. GRPCContext may be called concurrently.
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
// grpc-go's find in ctx: incoming metadata, outgoing metadata and the peer. Each of
// the three replaces what h2grpc's packages would have found in ctx; one that
// grpc-go's do not find is left as it is. grpc-go's packages still find everything.
//
// An AuthInfo of a peer is carried over only if it is a credentials.TLSInfo; h2grpc
// has no others. Metadata is copied. H2Context may be called concurrently.
func H2Context(ctx context.Context) context.Context {
	if md, ok := grpcmetadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewIncomingContext(ctx, metadata.MD(md))
	}
	if p, ok := grpcpeer.FromContext(ctx); ok {
		ctx = peer.NewContext(ctx, h2Peer(p))
	}
	return sendGRPC(ctx)
}

// sendGRPC returns a context whose calls on h2grpc send what calls on grpc-go would.
func sendGRPC(ctx context.Context) context.Context {
	if md, ok := grpcmetadata.FromOutgoingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, metadata.MD(md))
	}
	return ctx
}

// sendBoth lets grpc-go's interceptors see all metadata that a call sends, whichever
// library set it. For a key in both, grpc-go's values count: they may come from
// [GRPCContext], and would otherwise be sent twice.
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
