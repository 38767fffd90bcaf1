package health

import (
	"context"

	"github.com/tenonrpc/tenon/h2grpc"
)

// ServiceName is the full name of the service.
const ServiceName = "grpc.health.v1.Health"

const (
	methodCheck = "/" + ServiceName + "/Check"
	methodList  = "/" + ServiceName + "/List"
	methodWatch = "/" + ServiceName + "/Watch"
)

// serviceDesc describes the service in the way generated code does.
var serviceDesc = h2grpc.ServiceDesc{
	ServiceName: ServiceName,
	Methods: []h2grpc.MethodDesc{
		{MethodName: "Check", Handler: unary(methodCheck, (*Server).check)},
		{MethodName: "List", Handler: unary(methodList, (*Server).list)},
	},
	Streams: []h2grpc.StreamDesc{
		{StreamName: "Watch", Handler: watch, ServerStreams: true},
	},
	Metadata: "grpc/health/v1/health.proto",
}

// Register adds the health service to r.
func (s *Server) Register(r h2grpc.ServiceRegistrar) { r.RegisterService(&serviceDesc, s) }

// unary returns the handler of a unary method.
func unary[Req any](name string, method func(*Server, context.Context, *Req) (any, error)) h2grpc.MethodHandler {
	return func(srv any, ctx context.Context, dec func(any) error, interceptor h2grpc.UnaryServerInterceptor) (any, error) {
		request := new(Req)
		if err := dec(request); err != nil {
			return nil, err
		}
		server := srv.(*Server)
		if interceptor == nil {
			return method(server, ctx, request)
		}
		info := &h2grpc.UnaryServerInfo{Server: srv, FullMethod: name}
		return interceptor(ctx, request, info, func(ctx context.Context, request any) (any, error) {
			return method(server, ctx, request.(*Req))
		})
	}
}

// watch is the handler of Watch.
func watch(srv any, stream h2grpc.ServerStream) error {
	var request checkRequest
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	return srv.(*Server).watch(&request, stream)
}
