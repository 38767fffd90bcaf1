package contender

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/protobuf/proto"
	"storj.io/drpc"
	"storj.io/drpc/drpcconn"
	"storj.io/drpc/drpcmetadata"
	"storj.io/drpc/drpcmux"
	"storj.io/drpc/drpcpool"
	"storj.io/drpc/drpcserver"
)

// A connection of drpc has one call at a time. Its client here is the library's
// own pool: calls that overlap have connections of their own, and so has every
// open stream.

func serveDRPC(l net.Listener, config *tls.Config) (func(), error) {
	mux := drpcmux.New()
	if err := mux.Register(drpcServer{}, drpcDescription{}); err != nil {
		return nil, err
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- drpcserver.New(mux).Serve(ctx, l) }()
	return func() { cancel(); <-done }, nil
}

type drpcServer struct{}

func (drpcServer) Echo(ctx context.Context, in *Message) (*Message, error) { return echo(ctx, in) }

func (drpcServer) Inspect(ctx context.Context, in *Message) (*Message, error) {
	// drpc does not carry deadlines: only the client knows of them.
	ctx, cancel := context.WithTimeout(ctx, Deadline)
	defer cancel()
	md, _ := drpcmetadata.Get(ctx)
	return inspect(ctx, in, func(name string) string { return md[name] })
}

func (drpcServer) Source(in *Message, s drpcStream) error {
	return source(in, s.Send)
}

func (drpcServer) Sink(s drpcStream) error {
	out, err := sink(s.Recv)
	if err != nil {
		return err
	}
	return s.Send(out)
}

func (drpcServer) Chat(s drpcStream) error { return chat(s.Recv, s.Send) }

// drpcDescription is what generated code has for the service.
type drpcDescription struct{}

func (drpcDescription) NumMethods() int { return 5 }

func (drpcDescription) Method(n int) (string, drpc.Encoding, drpc.Receiver, any, bool) {
	switch n {
	case 0:
		return echoPath, drpcEncoding{}, func(srv any, ctx context.Context, in1, _ any) (drpc.Message, error) {
			return srv.(drpcServer).Echo(ctx, in1.(*Message))
		}, drpcServer.Echo, true
	case 1:
		return inspectPath, drpcEncoding{}, func(srv any, ctx context.Context, in1, _ any) (drpc.Message, error) {
			return srv.(drpcServer).Inspect(ctx, in1.(*Message))
		}, drpcServer.Inspect, true
	case 2:
		return path(string(Source)), drpcEncoding{}, func(srv any, _ context.Context, in1, in2 any) (drpc.Message, error) {
			return nil, srv.(drpcServer).Source(in1.(*Message), drpcStream{in2.(drpc.Stream)})
		}, drpcServer.Source, true
	case 3:
		return path(string(Sink)), drpcEncoding{}, func(srv any, _ context.Context, in1, _ any) (drpc.Message, error) {
			return nil, srv.(drpcServer).Sink(drpcStream{in1.(drpc.Stream)})
		}, drpcServer.Sink, true
	case 4:
		return path(string(Chat)), drpcEncoding{}, func(srv any, _ context.Context, in1, _ any) (drpc.Message, error) {
			return nil, srv.(drpcServer).Chat(drpcStream{in1.(drpc.Stream)})
		}, drpcServer.Chat, true
	}
	return "", nil, nil, nil, false
}

// drpcEncoding is what generated code has for protobuf.
type drpcEncoding struct{}

func (drpcEncoding) Marshal(m drpc.Message) ([]byte, error) { return proto.Marshal(m.(proto.Message)) }

// MarshalAppend makes unary calls reuse their buffers.
func (drpcEncoding) MarshalAppend(b []byte, m drpc.Message) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(b, m.(proto.Message))
}

func (drpcEncoding) Unmarshal(b []byte, m drpc.Message) error {
	return proto.Unmarshal(b, m.(proto.Message))
}

type drpcConn struct {
	pool *drpcpool.Pool[string, *drpcconn.Conn]
	drpc.Conn
}

func dialDRPC(dial Dialer, config *tls.Config) (Conn, error) {
	pool := drpcpool.New[string, *drpcconn.Conn](drpcpool.Options{})
	conn := pool.Get(context.Background(), "", func(ctx context.Context, _ string) (*drpcconn.Conn, error) {
		c, err := dialSecure(ctx, dial, config)
		if err != nil {
			return nil, err
		}
		return drpcconn.New(c), nil
	})
	return drpcConn{pool, conn}, nil
}

func (c drpcConn) Echo(ctx context.Context, in *Message) (*Message, error) {
	out := new(Message)
	if err := c.Invoke(ctx, echoPath, drpcEncoding{}, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

func (c drpcConn) Inspect(ctx context.Context, pairs []string, in *Message) (*Message, error) {
	for i := 0; i < len(pairs); i += 2 {
		ctx = drpcmetadata.Add(ctx, pairs[i], pairs[i+1])
	}
	out := new(Message)
	if err := c.Invoke(ctx, inspectPath, drpcEncoding{}, in, out); err != nil {
		return nil, err
	}
	return out, nil
}

func (c drpcConn) Open(ctx context.Context, method Method) (Stream, error) {
	s, err := c.NewStream(ctx, path(string(method)), drpcEncoding{})
	if err != nil {
		return nil, err
	}
	return drpcClientStream{drpcStream{s}, method == Sink}, nil
}

func (c drpcConn) Close() error { return c.pool.Close() }

type drpcStream struct{ s drpc.Stream }

func (s drpcStream) Send(m *Message) error { return s.s.MsgSend(m, drpcEncoding{}) }
func (s drpcStream) CloseSend() error      { return s.s.CloseSend() }

func (s drpcStream) Recv() (*Message, error) {
	m := new(Message)
	if err := s.s.MsgRecv(m, drpcEncoding{}); err != nil {
		return nil, err
	}
	return m, nil
}

// drpcClientStream gives its connection back at its end: after the only
// response of a sink, and after the last one otherwise.
type drpcClientStream struct {
	drpcStream
	one bool
}

func (s drpcClientStream) Recv() (*Message, error) {
	m, err := s.drpcStream.Recv()
	if err != nil || s.one {
		s.s.Close()
	}
	return m, err
}
