package contender

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

func serveGRPC(l net.Listener, config *tls.Config) (func(), error) {
	options := []grpc.ServerOption{grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage)}
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	s := grpc.NewServer(options...)
	s.RegisterService(&grpcService, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	return func() { s.Stop(); <-done }, nil
}

var grpcService = grpc.ServiceDesc{
	ServiceName: service,
	Methods: []grpc.MethodDesc{
		{MethodName: "Echo", Handler: grpcUnary(echo)},
		{MethodName: "Inspect", Handler: grpcUnary(func(ctx context.Context, in *Message) (*Message, error) {
			return inspect(ctx, in, func(name string) string {
				if v := metadata.ValueFromIncomingContext(ctx, name); len(v) > 0 {
					return v[0]
				}
				return ""
			})
		})},
	},
	Streams: []grpc.StreamDesc{
		{StreamName: string(Source), ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			in, err := grpcRecv(s)
			if err != nil {
				return err
			}
			return source(in, func(m *Message) error { return s.SendMsg(m) })
		}},
		{StreamName: string(Sink), ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			out, err := sink(func() (*Message, error) { return grpcRecv(s) })
			if err != nil {
				return err
			}
			return s.SendMsg(out)
		}},
		{StreamName: string(Chat), ClientStreams: true, ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			return chat(func() (*Message, error) { return grpcRecv(s) }, func(m *Message) error { return s.SendMsg(m) })
		}},
	},
}

// grpcUnary is what generated code has for a unary method.
func grpcUnary(method func(context.Context, *Message) (*Message, error)) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(Message)
		if err := decode(in); err != nil {
			return nil, err
		}
		return method(ctx, in)
	}
}

func grpcRecv(s interface{ RecvMsg(any) error }) (*Message, error) {
	m := new(Message)
	if err := s.RecvMsg(m); err != nil {
		return nil, err
	}
	return m, nil
}

type grpcConn struct{ *grpc.ClientConn }

func dialGRPC(dial Dialer, config *tls.Config) (Conn, error) {
	creds := insecure.NewCredentials()
	if config != nil {
		creds = credentials.NewTLS(config)
	}
	cc, err := grpc.NewClient("passthrough:///bench",
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return nil, err
	}
	return grpcConn{cc}, nil
}

func (c grpcConn) Echo(ctx context.Context, in *Message) (*Message, error) {
	out := new(Message)
	if err := c.Invoke(ctx, echoPath, in, out, grpc.StaticMethod()); err != nil {
		return nil, err
	}
	return out, nil
}

func (c grpcConn) Inspect(ctx context.Context, pairs []string, in *Message) (*Message, error) {
	out := new(Message)
	if err := c.Invoke(metadata.AppendToOutgoingContext(ctx, pairs...), inspectPath, in, out, grpc.StaticMethod()); err != nil {
		return nil, err
	}
	return out, nil
}

func (c grpcConn) Open(ctx context.Context, method Method) (Stream, error) {
	s, err := c.NewStream(ctx, grpcStreams[method], path(string(method)), grpc.StaticMethod())
	if err != nil {
		return nil, err
	}
	return grpcStream{s}, nil
}

var grpcStreams = map[Method]*grpc.StreamDesc{
	Source: {StreamName: string(Source), ServerStreams: true},
	Sink:   {StreamName: string(Sink), ClientStreams: true},
	Chat:   {StreamName: string(Chat), ClientStreams: true, ServerStreams: true},
}

type grpcStream struct{ grpc.ClientStream }

func (s grpcStream) Send(m *Message) error   { return s.SendMsg(m) }
func (s grpcStream) Recv() (*Message, error) { return grpcRecv(s) }
