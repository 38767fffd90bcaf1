package contender

import (
	"context"
	"crypto/tls"
	"io"
	"net"

	"github.com/containerd/ttrpc"
)

func serveTTRPC(l net.Listener, config *tls.Config) (func(), error) {
	s, err := ttrpc.NewServer()
	if err != nil {
		return nil, err
	}
	s.RegisterService(service, &ttrpcService)
	if config != nil {
		l = tls.NewListener(l, config)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background(), l) }()
	return func() { s.Close(); <-done }, nil
}

var ttrpcService = ttrpc.ServiceDesc{
	Methods: map[string]ttrpc.Method{
		"Echo": ttrpcUnary(echo),
		"Inspect": ttrpcUnary(func(ctx context.Context, in *Message) (*Message, error) {
			return inspect(ctx, in, func(name string) string {
				v, _ := ttrpc.GetMetadataValue(ctx, name)
				return v
			})
		}),
	},
	Streams: map[string]ttrpc.Stream{
		string(Source): {StreamingServer: true, Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
			in, err := ttrpcRecv(s)
			if err != nil {
				return nil, err
			}
			return nil, source(in, func(m *Message) error { return s.SendMsg(m) })
		}},
		string(Sink): {StreamingClient: true, Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
			return sink(func() (*Message, error) { return ttrpcRecv(s) })
		}},
		string(Chat): {StreamingClient: true, StreamingServer: true, Handler: func(_ context.Context, s ttrpc.StreamServer) (any, error) {
			return nil, chat(func() (*Message, error) { return ttrpcRecv(s) }, func(m *Message) error { return s.SendMsg(m) })
		}},
	},
}

// ttrpcUnary is what generated code has for a unary method.
func ttrpcUnary(method func(context.Context, *Message) (*Message, error)) ttrpc.Method {
	return func(ctx context.Context, decode func(any) error) (any, error) {
		in := new(Message)
		if err := decode(in); err != nil {
			return nil, err
		}
		return method(ctx, in)
	}
}

func ttrpcRecv(s interface{ RecvMsg(any) error }) (*Message, error) {
	m := new(Message)
	if err := s.RecvMsg(m); err != nil {
		return nil, err
	}
	return m, nil
}

type ttrpcConn struct{ *ttrpc.Client }

func dialTTRPC(dial Dialer, config *tls.Config) (Conn, error) {
	c, err := dialSecure(context.Background(), dial, config)
	if err != nil {
		return nil, err
	}
	return ttrpcConn{ttrpc.NewClient(c)}, nil
}

// dialSecure dials for libraries that leave TLS to their callers.
func dialSecure(ctx context.Context, dial Dialer, config *tls.Config) (net.Conn, error) {
	c, err := dial(ctx)
	if err != nil || config == nil {
		return c, err
	}
	secure := tls.Client(c, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return secure, nil
}

func (c ttrpcConn) Echo(ctx context.Context, in *Message) (*Message, error) {
	out := new(Message)
	if err := c.Call(ctx, service, "Echo", in, out); err != nil {
		return nil, err
	}
	return out, nil
}

func (c ttrpcConn) Inspect(ctx context.Context, pairs []string, in *Message) (*Message, error) {
	md := make(ttrpc.MD, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		md.Set(pairs[i], pairs[i+1])
	}
	out := new(Message)
	if err := c.Call(ttrpc.WithMetadata(ctx, md), service, "Inspect", in, out); err != nil {
		return nil, err
	}
	return out, nil
}

func (c ttrpcConn) Open(ctx context.Context, method Method) (Stream, error) {
	if method == Source {
		return &ttrpcSource{conn: c, ctx: ctx}, nil
	}
	s, err := c.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: method == Chat}, service, string(method), nil)
	if err != nil {
		return nil, err
	}
	return ttrpcStream{s}, nil
}

type ttrpcStream struct{ ttrpc.ClientStream }

func (s ttrpcStream) Send(m *Message) error   { return s.SendMsg(m) }
func (s ttrpcStream) Recv() (*Message, error) { return ttrpcRecv(s) }

// ttrpcSource is a stream whose only request opens it.
type ttrpcSource struct {
	conn ttrpcConn
	ctx  context.Context
	s    ttrpc.ClientStream
}

func (s *ttrpcSource) Send(m *Message) (err error) {
	s.s, err = s.conn.NewStream(s.ctx, &ttrpc.StreamDesc{StreamingServer: true}, service, string(Source), m)
	return err
}

func (s *ttrpcSource) CloseSend() error { return nil }

func (s *ttrpcSource) Recv() (*Message, error) {
	if s.s == nil {
		return nil, io.ErrUnexpectedEOF
	}
	return ttrpcRecv(s.s)
}
