package h2grpc

import (
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/peer"
)

// CallOption changes one call or returns something of it. The options have grpc-go's
// names. An option may be used for several calls, but not at the same time if it
// stores something.
type CallOption interface {
	apply(*callOptions)
}

// callOptions is the sum of the options of one call.
type callOptions struct {
	headers, trailers []*metadata.MD // filled when the call ends, or when its headers have arrived
	peers             []*peer.Peer
	waitForReady      bool
	maxRecv, maxSend  int // 0: the connection's
	compressor        string
}

type callOptionFunc func(*callOptions)

func (f callOptionFunc) apply(o *callOptions) { f(o) }

// StaticMethod marks a call as made by generated code. It has no effect; generated
// code uses it for grpc-go's statistics.
func StaticMethod() CallOption { return callOptionFunc(func(*callOptions) {}) }

// Header stores the response headers of a unary call in md before the call returns.
// For streams see [ClientStream].
func Header(md *metadata.MD) CallOption {
	return callOptionFunc(func(o *callOptions) { o.headers = append(o.headers, md) })
}

// Trailer stores the response trailers of a unary call in md before the call returns.
// For streams see [ClientStream].
func Trailer(md *metadata.MD) CallOption {
	return callOptionFunc(func(o *callOptions) { o.trailers = append(o.trailers, md) })
}

// Peer stores in p the other end of the connection that the call is sent on, as soon
// as it is sent.
func Peer(p *peer.Peer) CallOption {
	return callOptionFunc(func(o *callOptions) { o.peers = append(o.peers, p) })
}

// WaitForReady sets whether the call waits for a connection, as long as its context
// allows, instead of failing with UNAVAILABLE when dialling fails. The default is
// false.
func WaitForReady(wait bool) CallOption {
	return callOptionFunc(func(o *callOptions) { o.waitForReady = wait })
}

// MaxCallRecvMsgSize limits the messages that this call accepts, in bytes after
// decompression; a larger one ends the call with RESOURCE_EXHAUSTED. Zero means the
// limit of the connection, a negative number the largest limit there is.
func MaxCallRecvMsgSize(bytes int) CallOption {
	return callOptionFunc(func(o *callOptions) { o.maxRecv = bytes })
}

// MaxCallSendMsgSize limits the messages that this call sends, in bytes before
// compression; a larger one is not sent and ends the call with RESOURCE_EXHAUSTED.
// Zero means the limit of the connection, a negative number the largest limit there
// is.
func MaxCallSendMsgSize(bytes int) CallOption {
	return callOptionFunc(func(o *callOptions) { o.maxSend = bytes })
}

// UseCompressor compresses the requests of this call with the compressor of that
// name, which must be one of ClientConfig.Compressors; otherwise the call fails with
// INTERNAL before anything is sent.
func UseCompressor(name string) CallOption {
	return callOptionFunc(func(o *callOptions) { o.compressor = name })
}
