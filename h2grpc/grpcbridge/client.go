package grpcbridge

import (
	"context"
	"errors"
	"net"
	"slices"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	grpcpeer "google.golang.org/grpc/peer"
)

// ClientConfig configures a [ClientConn]. NewClient copies it. The zero value has no
// interceptors.
type ClientConfig struct {
	// UnaryInterceptors and StreamInterceptors wrap every call; the first is the
	// outermost. All of them are outside those of the h2grpc.ClientConn.
	UnaryInterceptors  []grpc.UnaryClientInterceptor
	StreamInterceptors []grpc.StreamClientInterceptor
	// Target is the destination that interceptors see: the Target of the
	// *grpc.ClientConn that they are given is "passthrough:///" and this. It is not used
	// to connect. Empty means "h2grpc".
	Target string
}

// ClientConn is a grpc.ClientConnInterface that makes its calls on a connection of
// h2grpc, for stubs of protoc-gen-go-grpc. All methods may be called concurrently.
//
// Calls send the outgoing metadata of both libraries; for a key in both, the values
// of grpc-go. Their errors are those of [GRPCError].
//
// These call options of grpc-go have the same effect as there: Header, Trailer, Peer,
// OnFinish, WaitForReady and FailFast, StaticMethod, MaxCallRecvMsgSize and
// MaxCallSendMsgSize with more than zero bytes, UseCompressor with a name that
// h2grpc.ClientConfig's Compressors have, CallContentSubtype("proto") and
// EmptyCallOption. Any other fails the call with UNIMPLEMENTED and an error that
// names it: PerRPCCredentials, CallAuthority, the options of codecs and of retries,
// and those that later versions of grpc-go add. An option of another package that
// embeds one of grpc-go's has the effect of the embedded one.
type ClientConn struct {
	cc  h2grpc.ClientConnInterface
	cfg ClientConfig

	idle *grpc.ClientConn // for interceptors; nil if there are none
	err  error            // of making idle
}

var _ grpc.ClientConnInterface = (*ClientConn)(nil)

// NewClient returns a ClientConn that makes its calls on cc. A nil cfg means the zero
// config. It does not connect. If grpc-go does not accept the Target, every call
// fails.
func NewClient(cc h2grpc.ClientConnInterface, cfg *ClientConfig) *ClientConn {
	c := &ClientConn{cc: cc}
	if cfg != nil {
		c.cfg = *cfg
		c.cfg.UnaryInterceptors = slices.Clone(cfg.UnaryInterceptors)
		c.cfg.StreamInterceptors = slices.Clone(cfg.StreamInterceptors)
	}
	if c.cfg.Target == "" {
		c.cfg.Target = "h2grpc"
	}
	if len(c.cfg.UnaryInterceptors)+len(c.cfg.StreamInterceptors) == 0 {
		return c
	}
	// It stays idle, because nobody makes a call on it. An interceptor that does gets an
	// explanation, instead of reaching a server that happens to have the name.
	c.idle, c.err = grpc.NewClient("passthrough:///"+c.cfg.Target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return nil, errIdle }),
		grpc.WithDisableServiceConfig(), grpc.WithNoProxy(), grpc.WithIdleTimeout(0))
	return c
}

var errIdle = errors.New("grpcbridge: this grpc.ClientConn only stands for an h2grpc connection: call the interceptor's invoker or streamer")

// Close frees the *grpc.ClientConn that interceptors are given. It does not close the
// connection of h2grpc. No calls may be made afterwards; those in progress go on. It
// may be called more than once, and its error is always nil.
func (c *ClientConn) Close() error {
	if c.idle != nil {
		c.idle.Close() // the only error is that it is closed already
	}
	return nil
}

// Invoke implements grpc.ClientConnInterface: it performs a unary call. After an
// error the content of reply is undefined.
func (c *ClientConn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if c.err != nil {
		return c.err
	}
	return c.invokeThrough(c.cfg.UnaryInterceptors)(sendBoth(ctx), method, args, reply, c.idle, opts...)
}

func (c *ClientConn) invokeThrough(rest []grpc.UnaryClientInterceptor) grpc.UnaryInvoker {
	if len(rest) == 0 {
		return c.invoke
	}
	return func(ctx context.Context, method string, args, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
		return rest[0](ctx, method, args, reply, c.idle, c.invokeThrough(rest[1:]), opts...)
	}
}

func (c *ClientConn) invoke(ctx context.Context, method string, args, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption) error {
	o, err := newOptions(opts)
	var header, trailer metadata.MD
	var p peer.Peer
	if err == nil {
		if len(o.headers)+len(o.trailers) > 0 {
			o.h2 = append(o.h2, h2grpc.Header(&header), h2grpc.Trailer(&trailer))
		}
		if len(o.peers) > 0 {
			o.h2 = append(o.h2, h2grpc.Peer(&p))
		}
		err = GRPCError(c.cc.Invoke(sendGRPC(ctx), method, args, reply, o.h2...))
	}
	o.ended(header, trailer, answered(&p))
	o.tell(err)
	return err
}

// answered returns the peer of a call, nil if the call was never sent.
func answered(p *peer.Peer) *grpcpeer.Peer {
	if p.Addr == nil {
		return nil
	}
	return grpcPeer(p)
}

// NewStream implements grpc.ClientConnInterface: it begins a streaming call. Its
// resources are freed as grpc-go documents it: by an error of RecvMsg (io.EOF
// included) or of SendMsg (io.EOF excluded), by the only response of a call that has
// one, or by the end of ctx.
func (c *ClientConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.streamThrough(c.cfg.StreamInterceptors)(sendBoth(ctx), desc, c.idle, method, opts...)
}

func (c *ClientConn) streamThrough(rest []grpc.StreamClientInterceptor) grpc.Streamer {
	if len(rest) == 0 {
		return c.newStream
	}
	return func(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		return rest[0](ctx, desc, c.idle, method, c.streamThrough(rest[1:]), opts...)
	}
}

func (c *ClientConn) newStream(ctx context.Context, desc *grpc.StreamDesc, _ *grpc.ClientConn, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	o, err := newOptions(opts)
	if err != nil {
		o.tell(err)
		return nil, err
	}
	var p peer.Peer
	ctx, cancel := context.WithCancel(ctx)
	s, err := c.cc.NewStream(sendGRPC(ctx), &h2grpc.StreamDesc{
		StreamName:    desc.StreamName,
		ServerStreams: desc.ServerStreams,
		ClientStreams: desc.ClientStreams,
	}, method, append(o.h2, h2grpc.Peer(&p))...)
	if err != nil {
		cancel()
		err = GRPCError(err)
		o.ended(nil, nil, answered(&p))
		o.tell(err)
		return nil, err
	}
	cs := &clientStream{s: s, ctx: s.Context(), cancel: cancel, opts: o, one: !desc.ServerStreams, peer: answered(&p)}
	if cs.peer != nil {
		cs.ctx = grpcpeer.NewContext(cs.ctx, cs.peer)
	}
	cs.stop = context.AfterFunc(ctx, func() { cs.end(GRPCError(status.FromContextError(ctx.Err()).Err())) })
	return cs, nil
}
