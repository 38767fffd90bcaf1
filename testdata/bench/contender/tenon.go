package contender

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
)

func serveTenon(l net.Listener, config *tls.Config) (func(), error) {
	s := h2grpc.NewServer(&h2grpc.ServerConfig{
		TLS:                  config,
		MaxConcurrentStreams: maxStreams,
		MaxRecvMessageSize:   maxMessage,
		MaxSendMessageSize:   maxMessage,
	})
	s.RegisterService(&tenonService, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	return func() { s.Close(); <-done }, nil
}

var tenonService = h2grpc.ServiceDesc{
	ServiceName: service,
	Methods: []h2grpc.MethodDesc{
		{MethodName: "Echo", Handler: tenonUnary(echo)},
		{MethodName: "Inspect", Handler: tenonUnary(func(ctx context.Context, in *Message) (*Message, error) {
			return inspect(ctx, in, func(name string) string {
				if v := metadata.ValueFromIncomingContext(ctx, name); len(v) > 0 {
					return v[0]
				}
				return ""
			})
		})},
	},
	Streams: []h2grpc.StreamDesc{
		{StreamName: string(Source), ServerStreams: true, Handler: func(_ any, s h2grpc.ServerStream) error {
			in, err := tenonRecv(s)
			if err != nil {
				return err
			}
			return source(in, func(m *Message) error { return s.SendMsg(m) })
		}},
		{StreamName: string(Sink), ClientStreams: true, Handler: func(_ any, s h2grpc.ServerStream) error {
			out, err := sink(func() (*Message, error) { return tenonRecv(s) })
			if err != nil {
				return err
			}
			return s.SendMsg(out)
		}},
		{StreamName: string(Chat), ClientStreams: true, ServerStreams: true, Handler: func(_ any, s h2grpc.ServerStream) error {
			return chat(func() (*Message, error) { return tenonRecv(s) }, func(m *Message) error { return s.SendMsg(m) })
		}},
	},
}

// tenonUnary is what generated code has for a unary method.
func tenonUnary(method func(context.Context, *Message) (*Message, error)) h2grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
		in := new(Message)
		if err := decode(in); err != nil {
			return nil, err
		}
		return method(ctx, in)
	}
}

func tenonRecv(s interface{ RecvMsg(any) error }) (*Message, error) {
	m := new(Message)
	if err := s.RecvMsg(m); err != nil {
		return nil, err
	}
	return m, nil
}

type tenonConn struct{ *h2grpc.ClientConn }

func dialTenon(dial Dialer, config *tls.Config) (Conn, error) {
	return tenonConn{h2grpc.NewClient(&h2grpc.ClientConfig{
		Dial:               dial,
		TLS:                config,
		MaxRecvMessageSize: maxMessage,
		MaxSendMessageSize: maxMessage,
	})}, nil
}

func (c tenonConn) Echo(ctx context.Context, in *Message) (*Message, error) {
	out := new(Message)
	if err := c.Invoke(ctx, echoPath, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

func (c tenonConn) Inspect(ctx context.Context, pairs []string, in *Message) (*Message, error) {
	out := new(Message)
	if err := c.Invoke(metadata.AppendToOutgoingContext(ctx, pairs...), inspectPath, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

func (c tenonConn) Open(ctx context.Context, method Method) (Stream, error) {
	s, err := c.NewStream(ctx, tenonStreams[method], path(string(method)))
	if err != nil {
		return nil, err
	}
	return tenonStream{s}, nil
}

var tenonStreams = map[Method]*h2grpc.StreamDesc{
	Source: {StreamName: string(Source), ServerStreams: true},
	Sink:   {StreamName: string(Sink), ClientStreams: true},
	Chat:   {StreamName: string(Chat), ClientStreams: true, ServerStreams: true},
}

type tenonStream struct{ h2grpc.ClientStream }

func (s tenonStream) Send(m *Message) error   { return s.SendMsg(m) }
func (s tenonStream) Recv() (*Message, error) { return tenonRecv(s) }

// The full names of the unary methods, which generated code has as constants.
var echoPath, inspectPath = path("Echo"), path("Inspect")
