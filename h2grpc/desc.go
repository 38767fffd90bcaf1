package h2grpc

import (
	"context"

	"github.com/tenonrpc/tenon/h2grpc/metadata"
)

// The names in this file and in generic.go are those that the output of
// protoc-gen-go-grpc refers to, so that a generated file compiles once its import
// paths are changed.

// SupportPackageIsVersion7, SupportPackageIsVersion8 and SupportPackageIsVersion9 are
// referred to by generated code, so that it does not compile with a package that is
// too old for it.
const (
	SupportPackageIsVersion7 = true
	SupportPackageIsVersion8 = true
	SupportPackageIsVersion9 = true
)

// ServiceRegistrar is what generated Register…Server functions register a service
// with. [Server] implements it.
type ServiceRegistrar interface {
	// RegisterService adds a service and its implementation, which must satisfy
	// desc.HandlerType.
	RegisterService(desc *ServiceDesc, impl any)
}

// ClientConnInterface is what generated clients make their calls on. [ClientConn]
// implements it. method is always a full name, "/package.Service/Method".
type ClientConnInterface interface {
	// Invoke performs a unary call: it sends args and stores the response in reply. Both
	// are a proto.Message or a [Message].
	Invoke(ctx context.Context, method string, args, reply any, opts ...CallOption) error
	// NewStream begins a streaming call. It may return before the server has answered.
	NewStream(ctx context.Context, desc *StreamDesc, method string, opts ...CallOption) (ClientStream, error)
}

// ServiceDesc describes a service: its full name, its methods and streams. Generated
// code has one for each service; it must not be changed.
type ServiceDesc struct {
	ServiceName string
	// HandlerType is a nil pointer to the service interface; RegisterService checks that
	// the implementation satisfies it. Nil skips the check.
	HandlerType any
	Methods     []MethodDesc
	Streams     []StreamDesc
	// Metadata is any value; generated code sets it to the name of the .proto file.
	Metadata any
}

// MethodDesc describes a unary method. MethodName is without the service.
type MethodDesc struct {
	MethodName string
	Handler    MethodHandler
}

// MethodHandler calls the implementation srv of a unary method: it decodes the
// request with dec and runs the method within interceptor, unless that is nil.
type MethodHandler func(srv any, ctx context.Context, dec func(any) error, interceptor UnaryServerInterceptor) (any, error)

// StreamDesc describes a streaming method. Clients need only the two flags.
type StreamDesc struct {
	StreamName    string
	Handler       StreamHandler
	ServerStreams bool // the server may send any number of messages
	ClientStreams bool // the client may send any number of messages
}

// StreamHandler calls the implementation srv of a streaming method. Its error becomes
// the status of the call.
type StreamHandler func(srv any, stream ServerStream) error

// ClientStream is the client's end of a streaming call.
//
// One goroutine may send while another receives; neither side may be used by two
// goroutines at once. Header, Trailer and Context may be called by any goroutine. The
// resources of a stream are freed when RecvMsg has returned an error (io.EOF
// included), when the context of the call ends, or when the connection is closed; one
// of these must happen.
type ClientStream interface {
	// Header returns the response headers. It waits until they have arrived or the call
	// has ended; for a call that ended without headers it returns nil.
	Header() (metadata.MD, error)
	// Trailer returns the response trailers. They are available once RecvMsg has
	// returned an error.
	Trailer() metadata.MD
	// CloseSend ends the sending side: no more messages will be sent. It does not wait.
	// It belongs to the sending side.
	CloseSend() error
	// Context returns the call's context.
	Context() context.Context
	// SendMsg sends m. It waits for flow control. It does not keep m. Once the call has
	// ended it returns io.EOF, or nil if the kind of the call allows one request only;
	// RecvMsg then returns the status.
	SendMsg(m any) error
	// RecvMsg stores the next message in m. It returns io.EOF when the call has ended
	// with the status OK, and a status error when it has ended with another.
	RecvMsg(m any) error
}

// ServerStream is the server's end of a streaming call.
//
// One goroutine may send while another receives; neither side may be used by two
// goroutines at once. SendHeader belongs to the sending side; SetHeader, SetTrailer
// and Context may be called by any goroutine. It must not be used after the handler
// has returned. A RecvMsg of another goroutine that is in progress then returns, and
// its result is meaningless.
type ServerStream interface {
	// SetHeader adds to the response headers. They are sent with the first message, by
	// SendHeader, or when the handler returns; after that it returns an error.
	SetHeader(metadata.MD) error
	// SendHeader adds to the response headers and sends them. It fails if they have been
	// sent.
	SendHeader(metadata.MD) error
	// SetTrailer adds to the trailers, which are sent with the status. Metadata that
	// cannot be sent is logged and dropped.
	SetTrailer(metadata.MD)
	// Context returns the context of the call, which ends when the client cancels, the
	// deadline passes, the connection is lost or the handler returns.
	Context() context.Context
	// SendMsg sends m. It waits for flow control. It does not keep m.
	SendMsg(m any) error
	// RecvMsg stores the next message in m. It returns io.EOF when the client has ended
	// its sending side.
	RecvMsg(m any) error
}

// UnaryServerInfo describes the call that a [UnaryServerInterceptor] wraps.
type UnaryServerInfo struct {
	Server     any    // the service's implementation
	FullMethod string // "/package.Service/Method"
}

// UnaryHandler runs a unary method, or the next interceptor around it.
type UnaryHandler func(ctx context.Context, req any) (any, error)

// UnaryServerInterceptor wraps unary calls on the server. To go on it calls handler,
// at most once; what it returns is the result of the call.
type UnaryServerInterceptor func(ctx context.Context, req any, info *UnaryServerInfo, handler UnaryHandler) (any, error)

// StreamServerInfo describes the call that a [StreamServerInterceptor] wraps.
type StreamServerInfo struct {
	FullMethod     string // "/package.Service/Method"
	IsClientStream bool
	IsServerStream bool
}

// StreamServerInterceptor wraps streaming calls on the server. To go on it calls
// handler, with ss or a ServerStream that wraps it.
type StreamServerInterceptor func(srv any, ss ServerStream, info *StreamServerInfo, handler StreamHandler) error

// UnaryInvoker performs a unary call, or runs the next interceptor around it.
type UnaryInvoker func(ctx context.Context, method string, req, reply any, cc *ClientConn, opts ...CallOption) error

// UnaryClientInterceptor wraps unary calls on the client. To go on it calls invoker;
// it may do so again to retry.
type UnaryClientInterceptor func(ctx context.Context, method string, req, reply any, cc *ClientConn, invoker UnaryInvoker, opts ...CallOption) error

// Streamer begins a streaming call, or runs the next interceptor around it.
type Streamer func(ctx context.Context, desc *StreamDesc, cc *ClientConn, method string, opts ...CallOption) (ClientStream, error)

// StreamClientInterceptor wraps streaming calls on the client. To go on it calls
// streamer.
type StreamClientInterceptor func(ctx context.Context, desc *StreamDesc, cc *ClientConn, method string, streamer Streamer, opts ...CallOption) (ClientStream, error)
