package grpcbridge

import (
	"context"
	"slices"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"google.golang.org/grpc"
	grpcmetadata "google.golang.org/grpc/metadata"
)

// ServerConfig configures a [Registrar]. NewRegistrar copies it. The zero value has
// no interceptors.
type ServerConfig struct {
	// UnaryInterceptors and StreamInterceptors wrap every call of the services that are
	// registered; the first is the outermost. All of them are inside those of the
	// h2grpc.Server.
	UnaryInterceptors  []grpc.UnaryServerInterceptor
	StreamInterceptors []grpc.StreamServerInterceptor
}

// Registrar is a grpc.ServiceRegistrar that registers services with a server of
// h2grpc, for the Register…Server functions of protoc-gen-go-grpc. All methods may be
// called concurrently.
//
// Handlers and interceptors find in their context what grpc-go puts there: incoming
// metadata, the peer, and the call itself for grpc.SetHeader, SendHeader, SetTrailer
// and Method. Their errors keep the status that grpc-go would have sent, as with
// [H2Error]. h2grpc turns a panic into UNKNOWN, unless an interceptor recovers it.
//
// It also implements grpc-go's reflection.ServiceInfoProvider, for the services that
// were registered with it.
type Registrar struct {
	server h2grpc.ServiceRegistrar
	cfg    ServerConfig

	mu       sync.Mutex
	services map[string]grpc.ServiceInfo // guarded by mu
}

var _ grpc.ServiceRegistrar = (*Registrar)(nil)

// NewRegistrar returns a Registrar for s, usually an *h2grpc.Server. A nil cfg means
// the zero config. Several may be used with one server.
func NewRegistrar(s h2grpc.ServiceRegistrar, cfg *ServerConfig) *Registrar {
	r := &Registrar{server: s, services: make(map[string]grpc.ServiceInfo)}
	if cfg != nil {
		r.cfg.UnaryInterceptors = slices.Clone(cfg.UnaryInterceptors)
		r.cfg.StreamInterceptors = slices.Clone(cfg.StreamInterceptors)
	}
	return r
}

// RegisterService implements grpc.ServiceRegistrar. A mistake does not end the
// process, as it does with grpc-go: the server's next Serve returns it. As with
// grpc-go, a nil impl is not checked.
func (r *Registrar) RegisterService(desc *grpc.ServiceDesc, impl any) {
	to := &h2grpc.ServiceDesc{ServiceName: desc.ServiceName, Metadata: desc.Metadata}
	if impl != nil {
		to.HandlerType = desc.HandlerType
	}
	info := grpc.ServiceInfo{Metadata: desc.Metadata}
	for _, m := range desc.Methods {
		to.Methods = append(to.Methods, h2grpc.MethodDesc{
			MethodName: m.MethodName,
			Handler:    r.unary("/"+desc.ServiceName+"/"+m.MethodName, m),
		})
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: m.MethodName})
	}
	for _, s := range desc.Streams {
		to.Streams = append(to.Streams, h2grpc.StreamDesc{
			StreamName:    s.StreamName,
			Handler:       r.stream("/"+desc.ServiceName+"/"+s.StreamName, s),
			ServerStreams: s.ServerStreams,
			ClientStreams: s.ClientStreams,
		})
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: s.StreamName, IsClientStream: s.ClientStreams, IsServerStream: s.ServerStreams})
	}
	r.mu.Lock()
	r.services[desc.ServiceName] = info
	r.mu.Unlock()
	r.server.RegisterService(to, impl)
}

// GetServiceInfo returns the services that were registered with r, by their full
// names. The map belongs to the caller; its contents must not be changed.
func (r *Registrar) GetServiceInfo() map[string]grpc.ServiceInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]grpc.ServiceInfo, len(r.services))
	for name, info := range r.services {
		all[name] = info
	}
	return all
}

// unary returns the h2grpc handler of m.
func (r *Registrar) unary(method string, m grpc.MethodDesc) h2grpc.MethodHandler {
	return func(srv any, ctx context.Context, dec func(any) error, outer h2grpc.UnaryServerInterceptor) (any, error) {
		// Generated code decodes the request and then calls the interceptor with it. The
		// outer interceptor is h2grpc's; grpc-go's context is made within it, so that it
		// contains what that interceptor has added to its own.
		inner := func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			ctx = serverContext(ctx, method)
			reply, err := r.unaryThrough(r.cfg.UnaryInterceptors, info, handler)(ctx, req)
			return reply, H2Error(err)
		}
		all := inner
		if outer != nil {
			all = func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
				return outer(ctx, req, &h2grpc.UnaryServerInfo{Server: info.Server, FullMethod: info.FullMethod},
					func(ctx context.Context, req any) (any, error) { return inner(ctx, req, info, handler) })
			}
		}
		reply, err := m.Handler(srv, ctx, dec, all)
		return reply, H2Error(err)
	}
}

func (r *Registrar) unaryThrough(rest []grpc.UnaryServerInterceptor, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) grpc.UnaryHandler {
	if len(rest) == 0 {
		return handler
	}
	return func(ctx context.Context, req any) (any, error) {
		return rest[0](ctx, req, info, r.unaryThrough(rest[1:], info, handler))
	}
}

// stream returns the h2grpc handler of d.
func (r *Registrar) stream(method string, d grpc.StreamDesc) h2grpc.StreamHandler {
	info := grpc.StreamServerInfo{FullMethod: method, IsClientStream: d.ClientStreams, IsServerStream: d.ServerStreams}
	return func(srv any, s h2grpc.ServerStream) error {
		ss := &serverStream{s, serverContext(s.Context(), method)}
		info := info // an interceptor may keep or change its copy
		return H2Error(r.streamThrough(r.cfg.StreamInterceptors, &info, d.Handler)(srv, ss))
	}
}

func (r *Registrar) streamThrough(rest []grpc.StreamServerInterceptor, info *grpc.StreamServerInfo, handler grpc.StreamHandler) grpc.StreamHandler {
	if len(rest) == 0 {
		return handler
	}
	return func(srv any, ss grpc.ServerStream) error {
		return rest[0](srv, ss, info, r.streamThrough(rest[1:], info, handler))
	}
}

// serverStream presents a stream of h2grpc as a grpc.ServerStream.
type serverStream struct {
	s   h2grpc.ServerStream
	ctx context.Context
}

func (s *serverStream) Context() context.Context { return s.ctx }
func (s *serverStream) SendMsg(m any) error      { return GRPCError(s.s.SendMsg(m)) }
func (s *serverStream) RecvMsg(m any) error      { return GRPCError(s.s.RecvMsg(m)) }

func (s *serverStream) SetHeader(md grpcmetadata.MD) error {
	if md.Len() == 0 { // allowed at any time, as with grpc-go
		return nil
	}
	return GRPCError(s.s.SetHeader(metadata.MD(md)))
}

func (s *serverStream) SendHeader(md grpcmetadata.MD) error {
	return GRPCError(s.s.SendHeader(metadata.MD(md)))
}

func (s *serverStream) SetTrailer(md grpcmetadata.MD) { s.s.SetTrailer(metadata.MD(md)) }

// serverContext returns the context for a handler of grpc-go.
func serverContext(ctx context.Context, method string) context.Context {
	return grpc.NewContextWithServerTransportStream(GRPCContext(ctx), transportStream{ctx, method})
}

// transportStream is the call that grpc.SetHeader and other functions find in a
// context.
type transportStream struct {
	ctx    context.Context // h2grpc's, which has the call
	method string
}

func (t transportStream) Method() string { return t.method }

func (t transportStream) SetHeader(md grpcmetadata.MD) error {
	if md.Len() == 0 {
		return nil
	}
	return GRPCError(h2grpc.SetHeader(t.ctx, metadata.MD(md)))
}

func (t transportStream) SendHeader(md grpcmetadata.MD) error {
	return GRPCError(h2grpc.SendHeader(t.ctx, metadata.MD(md)))
}

func (t transportStream) SetTrailer(md grpcmetadata.MD) error {
	return GRPCError(h2grpc.SetTrailer(t.ctx, metadata.MD(md)))
}
