package h2grpc

// ServerStreamingClient is the client's end of a call with one request and any number
// of responses. Res is the type of the responses.
type ServerStreamingClient[Res any] interface {
	// Recv returns the next response; after the last one io.EOF, if the call ended well,
	// or else the status of the call as an error.
	Recv() (*Res, error)
	ClientStream
}

// ServerStreamingServer is the server's end of a call with one request and any
// number of responses.
type ServerStreamingServer[Res any] interface {
	// Send sends a response. It waits for flow control.
	Send(*Res) error
	ServerStream
}

// ClientStreamingClient is the client's end of a call with any number of
// requests and one response.
type ClientStreamingClient[Req, Res any] interface {
	// Send sends a request. It returns io.EOF once the call has ended; CloseAndRecv then
	// returns the status.
	Send(*Req) error
	// CloseAndRecv ends the sending side and waits for the response.
	CloseAndRecv() (*Res, error)
	ClientStream
}

// ClientStreamingServer is the server's end of a call with any number of
// requests and one response.
type ClientStreamingServer[Req, Res any] interface {
	// Recv returns the next request, or io.EOF after the last one.
	Recv() (*Req, error)
	// SendAndClose sends the response. A handler that returns nil must have called it,
	// once.
	SendAndClose(*Res) error
	ServerStream
}

// BidiStreamingClient is the client's end of a call with any number of messages in
// both directions.
type BidiStreamingClient[Req, Res any] interface {
	// Send sends a request. It returns io.EOF once the call has ended; Recv then returns
	// the status.
	Send(*Req) error
	// Recv returns the next response; after the last one io.EOF, if the call ended well,
	// or else the status of the call as an error.
	Recv() (*Res, error)
	ClientStream
}

// BidiStreamingServer is the server's end of a call with any number of messages in
// both directions.
type BidiStreamingServer[Req, Res any] interface {
	// Recv returns the next request, or io.EOF after the last one.
	Recv() (*Req, error)
	// Send sends a response. It waits for flow control.
	Send(*Res) error
	ServerStream
}

// GenericClientStream gives a [ClientStream] the typed methods of all three kinds of
// streaming calls. Generated code returns it.
type GenericClientStream[Req, Res any] struct {
	ClientStream
}

var (
	_ ServerStreamingClient[int]      = (*GenericClientStream[int, int])(nil)
	_ ClientStreamingClient[int, int] = (*GenericClientStream[int, int])(nil)
	_ BidiStreamingClient[int, int]   = (*GenericClientStream[int, int])(nil)
)

// Send sends a request.
func (s *GenericClientStream[Req, Res]) Send(m *Req) error { return s.SendMsg(m) }

// Recv returns the next response.
func (s *GenericClientStream[Req, Res]) Recv() (*Res, error) {
	m := new(Res)
	if err := s.RecvMsg(m); err != nil {
		return nil, err
	}
	return m, nil
}

// CloseAndRecv ends the sending side and returns the one response.
func (s *GenericClientStream[Req, Res]) CloseAndRecv() (*Res, error) {
	if err := s.CloseSend(); err != nil {
		return nil, err
	}
	return s.Recv()
}

// GenericServerStream gives a [ServerStream] the typed methods of all three kinds of
// streaming calls. Generated code passes it to handlers.
type GenericServerStream[Req, Res any] struct {
	ServerStream
}

var (
	_ ServerStreamingServer[int]      = (*GenericServerStream[int, int])(nil)
	_ ClientStreamingServer[int, int] = (*GenericServerStream[int, int])(nil)
	_ BidiStreamingServer[int, int]   = (*GenericServerStream[int, int])(nil)
)

// Send sends a response.
func (s *GenericServerStream[Req, Res]) Send(m *Res) error { return s.SendMsg(m) }

// SendAndClose sends the one response of a client-streaming call.
func (s *GenericServerStream[Req, Res]) SendAndClose(m *Res) error { return s.SendMsg(m) }

// Recv returns the next request.
func (s *GenericServerStream[Req, Res]) Recv() (*Req, error) {
	m := new(Req)
	if err := s.RecvMsg(m); err != nil {
		return nil, err
	}
	return m, nil
}
