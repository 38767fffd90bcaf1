package h2grpc

import (
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/peer"
)

// CallOption changes one call or learns something from it. The options carry
// grpc-go's names.
type CallOption interface {
	apply(*callOptions)
}

// callOptions is what the options of one call add up to.
type callOptions struct {
	headers, trailers []*metadata.MD // filled when the call ends, or its headers are there
	peers             []*peer.Peer
	waitForReady      bool
	maxRecv, maxSend  int // 0: the connection's
	compressor        string
}

type callOptionFunc func(*callOptions)

func (f callOptionFunc) apply(o *callOptions) { f(o) }

// StaticMethod marks a call as made by generated code. It changes nothing;
// generated code uses it for grpc-go's statistics.
func StaticMethod() CallOption { return callOptionFunc(func(*callOptions) {}) }

// Header stores the response headers of a unary call in md when the call
// returns.
func Header(md *metadata.MD) CallOption {
	return callOptionFunc(func(o *callOptions) { o.headers = append(o.headers, md) })
}

// Trailer stores the response trailers of a unary call in md when the call
// returns.
func Trailer(md *metadata.MD) CallOption {
	return callOptionFunc(func(o *callOptions) { o.trailers = append(o.trailers, md) })
}

// Peer stores in p who answered the call, as soon as it is sent.
func Peer(p *peer.Peer) CallOption {
	return callOptionFunc(func(o *callOptions) { o.peers = append(o.peers, p) })
}

// WaitForReady says whether the call waits for a connection, as long as its
// context allows, instead of failing with UNAVAILABLE when dialling fails.
// The default is false.
func WaitForReady(wait bool) CallOption {
	return callOptionFunc(func(o *callOptions) { o.waitForReady = wait })
}

// MaxCallRecvMsgSize limits the messages this call accepts, in bytes after
// decompression; a larger one ends the call with RESOURCE_EXHAUSTED. Zero
// means the connection's limit.
func MaxCallRecvMsgSize(bytes int) CallOption {
	return callOptionFunc(func(o *callOptions) { o.maxRecv = bytes })
}

// MaxCallSendMsgSize limits the messages this call sends, in bytes before
// compression; a larger one ends the call with RESOURCE_EXHAUSTED and is not
// sent. Zero means the connection's limit.
func MaxCallSendMsgSize(bytes int) CallOption {
	return callOptionFunc(func(o *callOptions) { o.maxSend = bytes })
}

// UseCompressor compresses this call's requests with the named compressor,
// which must be one of ClientConfig.Compressors; otherwise the call fails with
// INTERNAL before anything is sent.
func UseCompressor(name string) CallOption {
	return callOptionFunc(func(o *callOptions) { o.compressor = name })
}
