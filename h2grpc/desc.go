package h2grpc

import (
	"context"

	"github.com/tenonrpc/tenon/h2grpc/metadata"
)

// The names in this file and in generic.go are those that the output of
// protoc-gen-go-grpc refers to, so that a generated file compiles once its
// import paths are changed.

// SupportPackageIsVersion7, 8 and 9 are referred to by generated code to make
// sure that it is compiled against a package new enough for it.
const (
	SupportPackageIsVersion7 = true
	SupportPackageIsVersion8 = true
	SupportPackageIsVersion9 = true
)

// ServiceRegistrar is what generated Register…Server functions register with.
// [Server] implements it.
type ServiceRegistrar interface {
	// RegisterService adds a service and its implementation, which must
	// satisfy desc.HandlerType.
	RegisterService(desc *ServiceDesc, impl any)
}

// ClientConnInterface is what generated clients call. [ClientConn] implements
// it.
type ClientConnInterface interface {
	// Invoke performs a unary call: it sends args and stores the response in
	// reply.
	Invoke(ctx context.Context, method string, args, reply any, opts ...CallOption) error
	// NewStream begins a streaming call.
	NewStream(ctx context.Context, desc *StreamDesc, method string, opts ...CallOption) (ClientStream, error)
}

// ServiceDesc describes a service: its full name, its methods and streams.
// Generated code holds one a service; it must not be changed.
type ServiceDesc struct {
	ServiceName string
	// HandlerType is a nil pointer to the service interface; RegisterService
	// checks the implementation against it. Nil skips the check.
	HandlerType any
	Methods     []MethodDesc
	Streams     []StreamDesc
	// Metadata is the name of the .proto file in generated code.
	Metadata any
}

// MethodDesc describes a unary method.
type MethodDesc struct {
	MethodName string
	Handler    MethodHandler
}

// MethodHandler calls a unary method's implementation: it decodes the request
// with dec and runs interceptor, if there is one, around the method.
type MethodHandler func(srv any, ctx context.Context, dec func(any) error, interceptor UnaryServerInterceptor) (any, error)

// StreamDesc describes a streaming method. Clients need only the flags.
type StreamDesc struct {
	StreamName    string
	Handler       StreamHandler
	ServerStreams bool // the server may send any number of messages
	ClientStreams bool // the client may send any number of messages
}

// StreamHandler calls a streaming method's implementation. Its error becomes
// the status of the call.
type StreamHandler func(srv any, stream ServerStream) error

// ClientStream is the client's end of a streaming call.
//
// One goroutine may send while another receives; neither side may be used by
// two goroutines at once. Header, Trailer and Context may be called by any
// goroutine. A stream's resources are freed when RecvMsg has returned an
// error (io.EOF included), its context ends or its connection is closed; one
// of these must happen.
type ClientStream interface {
	// Header returns the response headers. It waits until they are there or
	// the call has ended; a call that ended without headers has none (nil).
	Header() (metadata.MD, error)
	// Trailer returns the response trailers. They are there once RecvMsg has
	// returned an error.
	Trailer() metadata.MD
	// CloseSend says that no more messages will be sent. It does not wait.
	CloseSend() error
	// Context returns the call's context.
	Context() context.Context
	// SendMsg sends m. It waits for flow control. m is not retained. Once the
	// call has ended it returns io.EOF, or nil if the call has one request
	// only; RecvMsg then returns the status.
	SendMsg(m any) error
	// RecvMsg stores the next message in m. It returns io.EOF when the call
	// has ended with the status OK and a status error otherwise.
	RecvMsg(m any) error
}

// ServerStream is the server's end of a streaming call.
//
// One goroutine may send while another receives; neither side may be used by
// two goroutines at once. It must not be used after the handler has returned. A
// RecvMsg that another goroutine has begun before then returns, and what it
// returns is of no use to anybody.
type ServerStream interface {
	// SetHeader adds to the response headers; they are sent with the first
	// message, by SendHeader, or when the handler returns. It fails once they
	// have been sent.
	SetHeader(metadata.MD) error
	// SendHeader adds to the response headers and sends them.
	SendHeader(metadata.MD) error
	// SetTrailer adds to the trailers, which are sent with the status.
	SetTrailer(metadata.MD)
	// Context returns the call's context, which ends when the client cancels,
	// the deadline passes, the connection is lost or the handler returns.
	Context() context.Context
	// SendMsg sends m. It waits for flow control. m is not retained.
	SendMsg(m any) error
	// RecvMsg stores the next message in m. It returns io.EOF when the client
	// has said that there are no more.
	RecvMsg(m any) error
}

// UnaryServerInfo describes the call a [UnaryServerInterceptor] wraps.
type UnaryServerInfo struct {
	Server     any    // the service's implementation
	FullMethod string // "/package.Service/Method"
}

// UnaryHandler runs a unary method, or the next interceptor around it.
type UnaryHandler func(ctx context.Context, req any) (any, error)

// UnaryServerInterceptor wraps unary calls on the server. It must call handler
// to go on, at most once.
type UnaryServerInterceptor func(ctx context.Context, req any, info *UnaryServerInfo, handler UnaryHandler) (any, error)

// StreamServerInfo describes the call a [StreamServerInterceptor] wraps.
type StreamServerInfo struct {
	FullMethod     string // "/package.Service/Method"
	IsClientStream bool
	IsServerStream bool
}

// StreamServerInterceptor wraps streaming calls on the server.
type StreamServerInterceptor func(srv any, ss ServerStream, info *StreamServerInfo, handler StreamHandler) error

// UnaryInvoker performs a unary call, or runs the next interceptor around it.
type UnaryInvoker func(ctx context.Context, method string, req, reply any, cc *ClientConn, opts ...CallOption) error

// UnaryClientInterceptor wraps unary calls on the client.
type UnaryClientInterceptor func(ctx context.Context, method string, req, reply any, cc *ClientConn, invoker UnaryInvoker, opts ...CallOption) error

// Streamer begins a streaming call, or runs the next interceptor around it.
type Streamer func(ctx context.Context, desc *StreamDesc, cc *ClientConn, method string, opts ...CallOption) (ClientStream, error)

// StreamClientInterceptor wraps streaming calls on the client.
type StreamClientInterceptor func(ctx context.Context, desc *StreamDesc, cc *ClientConn, method string, streamer Streamer, opts ...CallOption) (ClientStream, error)
