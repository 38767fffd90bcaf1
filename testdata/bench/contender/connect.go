package contender

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"

	"connectrpc.com/connect"
)

// connect-go speaks the gRPC protocol here, over the HTTP/2 of net/http.

func serveConnect(l net.Listener, config *tls.Config) (func(), error) {
	mux := http.NewServeMux()
	limits := []connect.HandlerOption{connect.WithReadMaxBytes(maxMessage), connect.WithSendMaxBytes(maxMessage)}
	handle := func(path string, h *connect.Handler) { mux.Handle(path, h) }
	handle(echoPath, connect.NewUnaryHandlerSimple(echoPath, echo, limits...))
	handle(inspectPath, connect.NewUnaryHandler(inspectPath, func(ctx context.Context, in *connect.Request[Message]) (*connect.Response[Message], error) {
		out, err := inspect(ctx, in.Msg, in.Header().Get)
		if err != nil {
			return nil, err
		}
		return connect.NewResponse(out), nil
	}, limits...))
	handle(path(string(Source)), connect.NewServerStreamHandlerSimple(path(string(Source)), func(_ context.Context, in *Message, s *connect.ServerStream[Message]) error {
		return source(in, s.Send)
	}, limits...))
	handle(path(string(Sink)), connect.NewClientStreamHandlerSimple(path(string(Sink)), func(_ context.Context, s *connect.ClientStream[Message]) (*Message, error) {
		return sink(func() (*Message, error) {
			if s.Receive() {
				return s.Msg(), nil
			}
			if err := s.Err(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		})
	}, limits...))
	handle(path(string(Chat)), connect.NewBidiStreamHandler(path(string(Chat)), func(_ context.Context, s *connect.BidiStream[Message, Message]) error {
		return chat(func() (*Message, error) { return connectEnd(s.Receive()) }, s.Send)
	}, limits...))

	s := &http.Server{
		Handler:   mux,
		Protocols: new(http.Protocols),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
	}
	done := make(chan error, 1)
	if config == nil {
		s.Protocols.SetUnencryptedHTTP2(true)
		go func() { done <- s.Serve(l) }()
	} else {
		s.Protocols.SetHTTP2(true)
		s.TLSConfig = config.Clone() // net/http changes it
		go func() { done <- s.ServeTLS(l, "", "") }()
	}
	return func() { s.Close(); <-done }, nil
}

// connectEnd makes the end of a stream io.EOF itself, which connect wraps.
func connectEnd(m *Message, err error) (*Message, error) {
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	return m, err
}

type connectConn struct {
	transport               *http.Transport
	echo, inspect           *connect.Client[Message, Message]
	source, sink, chatCalls *connect.Client[Message, Message]
}

func dialConnect(dial Dialer, config *tls.Config) (Conn, error) {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		Protocols:   new(http.Protocols),
	}
	url := "http://localhost"
	if config == nil {
		t.Protocols.SetUnencryptedHTTP2(true)
	} else {
		t.Protocols.SetHTTP2(true)
		t.TLSClientConfig = config.Clone()
		url = "https://localhost"
	}
	client := func(path string) *connect.Client[Message, Message] {
		return connect.NewClient[Message, Message](&http.Client{Transport: t}, url+path, connect.WithGRPC(),
			connect.WithReadMaxBytes(maxMessage), connect.WithSendMaxBytes(maxMessage))
	}
	return connectConn{t, client(echoPath), client(inspectPath),
		client(path(string(Source))), client(path(string(Sink))), client(path(string(Chat)))}, nil
}

func (c connectConn) Echo(ctx context.Context, in *Message) (*Message, error) {
	out, err := c.echo.CallUnary(ctx, connect.NewRequest(in))
	if err != nil {
		return nil, err
	}
	return out.Msg, nil
}

func (c connectConn) Inspect(ctx context.Context, pairs []string, in *Message) (*Message, error) {
	request := connect.NewRequest(in)
	for i := 0; i < len(pairs); i += 2 {
		request.Header().Set(pairs[i], pairs[i+1])
	}
	out, err := c.inspect.CallUnary(ctx, request)
	if err != nil {
		return nil, err
	}
	return out.Msg, nil
}

func (c connectConn) Open(ctx context.Context, method Method) (Stream, error) {
	switch method {
	case Source:
		return &connectSource{call: func(m *Message) (*connect.ServerStreamForClient[Message], error) {
			return c.source.CallServerStream(ctx, connect.NewRequest(m))
		}}, nil
	case Sink:
		return connectSink{c.sink.CallClientStream(ctx)}, nil
	default:
		return connectChat{c.chatCalls.CallBidiStream(ctx)}, nil
	}
}

func (c connectConn) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// connectSource is a stream whose only request opens it.
type connectSource struct {
	call func(*Message) (*connect.ServerStreamForClient[Message], error)
	s    *connect.ServerStreamForClient[Message]
}

func (s *connectSource) Send(m *Message) (err error) {
	s.s, err = s.call(m)
	return err
}

func (s *connectSource) CloseSend() error { return nil }

func (s *connectSource) Recv() (*Message, error) {
	if s.s == nil {
		return nil, io.ErrUnexpectedEOF
	}
	if s.s.Receive() {
		// The library's message is overwritten by the next; whoever keeps
		// messages has to copy them. Nobody does here.
		return s.s.Msg(), nil
	}
	err := s.s.Err()
	if closeErr := s.s.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = io.EOF
	}
	return nil, err
}

type connectSink struct {
	s *connect.ClientStreamForClient[Message, Message]
}

func (s connectSink) Send(m *Message) error { return s.s.Send(m) }
func (s connectSink) CloseSend() error      { return nil }

func (s connectSink) Recv() (*Message, error) {
	out, err := s.s.CloseAndReceive()
	if err != nil {
		return nil, err
	}
	return out.Msg, nil
}

type connectChat struct {
	s *connect.BidiStreamForClient[Message, Message]
}

func (s connectChat) Send(m *Message) error { return s.s.Send(m) }
func (s connectChat) CloseSend() error      { return s.s.CloseRequest() }

func (s connectChat) Recv() (*Message, error) {
	m, err := connectEnd(s.s.Receive())
	if err == io.EOF {
		s.s.CloseResponse()
	}
	return m, err
}
