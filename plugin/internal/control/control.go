// Package control holds the stubs of the protocol's control services, which are in the
// protobuf package "plugin": the broker's stream, the controller and the plugin's output.
// They look like generated code, but their messages are those of package wire, so that no
// protobuf name is registered: otherwise a program that also links go-plugin would panic
// when it starts.
//
// Source: the section "Control services" of package wire.
package control

import (
	"context"
	_ "embed"
	"io"
	"strings"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/wire"
)

// HealthService is the name under which a plugin reports its health.
const HealthService = "plugin"

// The full names of the services.
const (
	BrokerService     = "plugin.GRPCBroker"
	ControllerService = "plugin.GRPCController"
	StdioService      = "plugin.GRPCStdio"
)

const (
	methodStartStream = "/" + BrokerService + "/StartStream"
	methodShutdown    = "/" + ControllerService + "/Shutdown"
	methodStreamStdio = "/" + StdioService + "/StreamStdio"
	protoFile         = "plugin/control.proto"
)

// Own reports whether a method belongs to the services that every plugin has, these and
// health, which are independent of the application.
func Own(method string) bool {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	switch service {
	case BrokerService, ControllerService, StdioService, health.ServiceName:
		return true
	}
	return false
}

//go:generate ./generate.sh

//go:embed descriptors.binpb
var descriptors string

// Descriptors returns the serialized FileDescriptorSet of the services and of what they
// import, for reflection.
func Descriptors() []byte { return []byte(descriptors) }

// BrokerServer is the plugin's side of the broker.
type BrokerServer interface {
	// StartStream is called when a host opens the broker's stream. The host
	// expects it to stay open.
	StartStream(h2grpc.BidiStreamingServer[wire.ConnInfo, wire.ConnInfo]) error
}

// ControllerServer stops the plugin for a host.
type ControllerServer interface {
	Shutdown(context.Context, *wire.Empty) (*wire.Empty, error)
}

// StdioServer sends the plugin's output.
type StdioServer interface {
	// StreamStdio is called when a host asks for the output. The host expects
	// it to stay open.
	StreamStdio(*wire.Empty, h2grpc.ServerStreamingServer[wire.StdioData]) error
}

// RegisterBroker registers the broker service with r.
func RegisterBroker(r h2grpc.ServiceRegistrar, srv BrokerServer) {
	r.RegisterService(&brokerDesc, srv)
}

// RegisterController registers the controller service with r.
func RegisterController(r h2grpc.ServiceRegistrar, srv ControllerServer) {
	r.RegisterService(&controllerDesc, srv)
}

// RegisterStdio registers the output service with r.
func RegisterStdio(r h2grpc.ServiceRegistrar, srv StdioServer) {
	r.RegisterService(&stdioDesc, srv)
}

var brokerDesc = h2grpc.ServiceDesc{
	ServiceName: BrokerService,
	HandlerType: (*BrokerServer)(nil),
	Streams: []h2grpc.StreamDesc{{
		StreamName:    "StartStream",
		Handler:       startStreamHandler,
		ServerStreams: true,
		ClientStreams: true,
	}},
	Metadata: protoFile,
}

var controllerDesc = h2grpc.ServiceDesc{
	ServiceName: ControllerService,
	HandlerType: (*ControllerServer)(nil),
	Methods:     []h2grpc.MethodDesc{{MethodName: "Shutdown", Handler: shutdownHandler}},
	Metadata:    protoFile,
}

var stdioDesc = h2grpc.ServiceDesc{
	ServiceName: StdioService,
	HandlerType: (*StdioServer)(nil),
	Streams: []h2grpc.StreamDesc{{
		StreamName:    "StreamStdio",
		Handler:       streamStdioHandler,
		ServerStreams: true,
	}},
	Metadata: protoFile,
}

func startStreamHandler(srv any, stream h2grpc.ServerStream) error {
	return srv.(BrokerServer).StartStream(&h2grpc.GenericServerStream[wire.ConnInfo, wire.ConnInfo]{ServerStream: stream})
}

func shutdownHandler(srv any, ctx context.Context, dec func(any) error, interceptor h2grpc.UnaryServerInterceptor) (any, error) {
	in := new(wire.Empty)
	if err := dec(in); err != nil {
		return nil, err
	}
	if interceptor == nil {
		return srv.(ControllerServer).Shutdown(ctx, in)
	}
	info := &h2grpc.UnaryServerInfo{Server: srv, FullMethod: methodShutdown}
	return interceptor(ctx, in, info, func(ctx context.Context, _ any) (any, error) {
		return srv.(ControllerServer).Shutdown(ctx, in)
	})
}

func streamStdioHandler(srv any, stream h2grpc.ServerStream) error {
	in := new(wire.Empty)
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	return srv.(StdioServer).StreamStdio(in, &h2grpc.GenericServerStream[wire.Empty, wire.StdioData]{ServerStream: stream})
}

// StartStream opens the broker's stream to a plugin. It is open until ctx ends, the
// plugin ends it, or the connection is lost.
func StartStream(ctx context.Context, cc h2grpc.ClientConnInterface, opts ...h2grpc.CallOption) (h2grpc.BidiStreamingClient[wire.ConnInfo, wire.ConnInfo], error) {
	stream, err := cc.NewStream(ctx, &brokerDesc.Streams[0], methodStartStream, opts...)
	if err != nil {
		return nil, err
	}
	return &h2grpc.GenericClientStream[wire.ConnInfo, wire.ConnInfo]{ClientStream: stream}, nil
}

// Shutdown asks a plugin to stop and waits for its answer until ctx ends. Plugins of
// other libraries may exit without an answer: the error is then UNAVAILABLE, and the
// plugin's exit status tells more than the error.
func Shutdown(ctx context.Context, cc h2grpc.ClientConnInterface) error {
	return cc.Invoke(ctx, methodShutdown, &wire.Empty{}, new(wire.Empty))
}

// StreamStdio asks a plugin for its output. The stream is open until ctx ends, the plugin
// ends it, or the connection is lost.
func StreamStdio(ctx context.Context, cc h2grpc.ClientConnInterface) (h2grpc.ServerStreamingClient[wire.StdioData], error) {
	stream, err := cc.NewStream(ctx, &stdioDesc.Streams[0], methodStreamStdio)
	if err != nil {
		return nil, err
	}
	// io.EOF means that the call has ended already; Recv returns the reason.
	if err := stream.SendMsg(&wire.Empty{}); err != nil && err != io.EOF {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	return &h2grpc.GenericClientStream[wire.Empty, wire.StdioData]{ClientStream: stream}, nil
}
