package main

import "google.golang.org/protobuf/compiler/protogen"

// The templates of the stubs. Names that begin with $ are replaced by
// [writer.template]; in those of methods $Req and $Res are the messages, and
// $req and $res are the same inside a function. gofmt's work is done by
// protogen.

// variables are the parameters and variables of the functions below. Inside a
// function each of them hides an imported package of the same name.
var variables = map[string]bool{
	"c": true, "cc": true, "ctx": true, "in": true, "out": true, "opts": true, "err": true,
	"stream": true, "srv": true, "dec": true, "interceptor": true, "info": true, "req": true,
}

const assertionTemplate = `
// The stubs need a package h2grpc that is new enough to have this constant.
const _ = $h2grpc_SupportPackageIsVersion9
`

const clientCommentTemplate = `
// ${Service}Client is the client of service $serviceName.
`

const clientTemplate = `
type $client struct {
	cc $h2grpc_ClientConnInterface
}

// New${Service}Client returns a client that makes its calls through cc.
`

const newClientTemplate = `func New${Service}Client(cc $h2grpc_ClientConnInterface) ${Service}Client {
	return &$client{cc}
}
`

const serverCommentTemplate = `
// ${Service}Server is what an implementation of service $serviceName offers.
`

const mustEmbedCommentTemplate = `// It must embed Unimplemented${Service}Server, so that methods can be added to
// the service without breaking it.
`

const mayEmbedCommentTemplate = `// It should embed Unimplemented${Service}Server: otherwise a method added to the
// service breaks it.
`

const unimplementedTemplate = `
// Unimplemented${Service}Server answers every method with UNIMPLEMENTED. Embed it by
// value: the methods of an embedded nil pointer panic.
type Unimplemented${Service}Server struct{}
`

const byValueTemplate = `
func (Unimplemented${Service}Server) testEmbeddedByValue() {}
`

const mustEmbedTemplate = `
func (Unimplemented${Service}Server) mustEmbedUnimplemented${Service}Server() {}

// Unsafe${Service}Server may be embedded in place of Unimplemented${Service}Server by an
// implementation that wants to be broken by a method added to the service.
type Unsafe${Service}Server interface {
	mustEmbedUnimplemented${Service}Server()
}
`

const registerCommentTemplate = `
// Register${Service}Server makes s serve srv.
`

const registerTemplate = `func Register${Service}Server(s $h2grpc_ServiceRegistrar, srv ${Service}Server) {
	// This panics if srv embeds a nil *Unimplemented${Service}Server: better now, when
	// the program starts, than at the first call of a missing method.
	if u, ok := srv.(interface{ testEmbeddedByValue() }); ok {
		u.testEmbeddedByValue()
	}
	s.RegisterService(&${Service}_ServiceDesc, srv)
}
`

const descTemplate = `
// ${Service}_ServiceDesc describes service $serviceName to
// Register${Service}Server and to the client. It must not be changed.
var ${Service}_ServiceDesc = $h2grpc_ServiceDesc{
	ServiceName: "$serviceName",
	HandlerType: (*${Service}Server)(nil),
`

// A shape is what differs between the four kinds of method.
type shape struct {
	clientSignature   string
	clientBody        string
	serverSignature   string
	unimplementedBody string
	handler           string // the function in the descriptor, and the types of streams
	desc              string
}

func shapeOf(m *protogen.Method) *shape {
	switch client, server := m.Desc.IsStreamingClient(), m.Desc.IsStreamingServer(); {
	case client && server:
		return &bidiStream
	case client:
		return &clientStream
	case server:
		return &serverStream
	default:
		return &unary
	}
}

var unary = shape{
	clientSignature: `$Method(ctx $context_Context, in *$Req, opts ...$h2grpc_CallOption) (*$Res, error)`,
	clientBody: ` {
	out := new($res)
	if err := c.cc.Invoke(ctx, ${Service}_${Method}_FullMethodName, in, out, opts...); err != nil {
		return nil, err
	}
	return out, nil
}
`,
	serverSignature: `$Method($context_Context, *$Req) (*$Res, error)`,
	unimplementedBody: ` {
	return nil, $status_Error($codes_Unimplemented, "method $wireName is not implemented")
}
`,
	handler: `
func _${Service}_${Method}_Handler(srv any, ctx $context_Context, dec func(any) error, interceptor $h2grpc_UnaryServerInterceptor) (any, error) {
	in := new($req)
	if err := dec(in); err != nil {
		return nil, err
	}
	if interceptor == nil {
		return srv.(${Service}Server).$Method(ctx, in)
	}
	info := &$h2grpc_UnaryServerInfo{Server: srv, FullMethod: ${Service}_${Method}_FullMethodName}
	return interceptor(ctx, in, info, func(ctx $context_Context, req any) (any, error) {
		return srv.(${Service}Server).$Method(ctx, req.(*$req))
	})
}
`,
	desc: `{MethodName: "$name", Handler: _${Service}_${Method}_Handler},`,
}

// streamOpen begins the client's part of every streaming method.
const streamOpen = ` {
	stream, err := c.cc.NewStream(ctx, &${Service}_ServiceDesc.Streams[$index], ${Service}_${Method}_FullMethodName, opts...)
	if err != nil {
		return nil, err
	}
`

const streamUnimplemented = ` {
	return $status_Error($codes_Unimplemented, "method $wireName is not implemented")
}
`

var serverStream = shape{
	clientSignature: `$Method(ctx $context_Context, in *$Req, opts ...$h2grpc_CallOption) ($h2grpc_ServerStreamingClient[$Res], error)`,
	clientBody: streamOpen + `	if err := stream.SendMsg(in); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	return &$h2grpc_GenericClientStream[$req, $res]{ClientStream: stream}, nil
}
`,
	serverSignature:   `$Method(*$Req, $h2grpc_ServerStreamingServer[$Res]) error`,
	unimplementedBody: streamUnimplemented,
	handler: `
func _${Service}_${Method}_Handler(srv any, stream $h2grpc_ServerStream) error {
	in := new($req)
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	return srv.(${Service}Server).$Method(in, &$h2grpc_GenericServerStream[$req, $res]{ServerStream: stream})
}

// The two ends of a call of $Method.
type (
	${Service}_${Method}Client = $h2grpc_ServerStreamingClient[$Res]
	${Service}_${Method}Server = $h2grpc_ServerStreamingServer[$Res]
)
`,
	desc: `{StreamName: "$name", Handler: _${Service}_${Method}_Handler, ServerStreams: true},`,
}

// streamRest ends the client's part of a method whose requests are a stream.
const streamRest = `	return &$h2grpc_GenericClientStream[$req, $res]{ClientStream: stream}, nil
}
`

// streamHandler is the handler of a method whose requests are a stream.
const streamHandler = `
func _${Service}_${Method}_Handler(srv any, stream $h2grpc_ServerStream) error {
	return srv.(${Service}Server).$Method(&$h2grpc_GenericServerStream[$req, $res]{ServerStream: stream})
}
`

var clientStream = shape{
	clientSignature:   `$Method(ctx $context_Context, opts ...$h2grpc_CallOption) ($h2grpc_ClientStreamingClient[$Req, $Res], error)`,
	clientBody:        streamOpen + streamRest,
	serverSignature:   `$Method($h2grpc_ClientStreamingServer[$Req, $Res]) error`,
	unimplementedBody: streamUnimplemented,
	handler: streamHandler + `
// The two ends of a call of $Method.
type (
	${Service}_${Method}Client = $h2grpc_ClientStreamingClient[$Req, $Res]
	${Service}_${Method}Server = $h2grpc_ClientStreamingServer[$Req, $Res]
)
`,
	desc: `{StreamName: "$name", Handler: _${Service}_${Method}_Handler, ClientStreams: true},`,
}

var bidiStream = shape{
	clientSignature:   `$Method(ctx $context_Context, opts ...$h2grpc_CallOption) ($h2grpc_BidiStreamingClient[$Req, $Res], error)`,
	clientBody:        streamOpen + streamRest,
	serverSignature:   `$Method($h2grpc_BidiStreamingServer[$Req, $Res]) error`,
	unimplementedBody: streamUnimplemented,
	handler: streamHandler + `
// The two ends of a call of $Method.
type (
	${Service}_${Method}Client = $h2grpc_BidiStreamingClient[$Req, $Res]
	${Service}_${Method}Server = $h2grpc_BidiStreamingServer[$Req, $Res]
)
`,
	desc: `{StreamName: "$name", Handler: _${Service}_${Method}_Handler, ServerStreams: true, ClientStreams: true},`,
}
