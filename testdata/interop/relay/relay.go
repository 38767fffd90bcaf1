// Package relay is a process that links this library, go-plugin and grpc-go
// together: it serves the rich plugin with one of them and hosts a rich plugin
// with the other, to which it passes the calls on. It is what an application
// that moves from one library to the other looks like on its way.
package relay

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside/richh2grpc"
	"github.com/tenonrpc/tenon/plugin/interop/upstream"
	"github.com/tenonrpc/tenon/plugin/interop/upstream/richgrpc"
)

// The arguments that choose what a process is.
const (
	// OnTenon serves with this library and hosts with go-plugin.
	OnTenon = "relay-on-tenon"
	// OnUpstream serves with go-plugin and hosts with this library.
	OnUpstream = "relay-on-go-plugin"
)

// Run is the process, if its first argument is one of the above; the second is
// the program of the rich plugin to host.
func Run(args []string) (code int, ran bool) {
	if len(args) != 2 {
		return 0, false
	}
	serve := map[string]func(string) error{OnTenon: onTenon, OnUpstream: onUpstream}[args[0]]
	if serve == nil {
		return 0, false
	}
	if err := serve(args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
		return 1, true
	}
	return 0, true
}

// onTenon returns the inner plugin's errors as they are: MapError takes care
// of them.
func onTenon(program string) (err error) {
	inner, err := upstream.Start(true, os.Stderr, program)
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := inner.Stop(context.Background()); err == nil {
			err = stopErr
		}
	}()
	return plugin.ServeContext(context.Background(), &plugin.ServeConfig{
		Handshake: tenonside.Handshake,
		Plugins: plugin.Set{cases.PluginName: plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
			richh2grpc.RegisterRichServer(s, &tenonServer{inner: inner})
			return nil
		})},
		Server: h2grpc.ServerConfig{MapError: mapError},
	})
}

// mapError turns grpc-go's status errors into this library's.
func mapError(err error) error {
	if _, ok := grpcstatus.FromError(err); !ok {
		return err
	}
	st := upstream.StatusOf(err)
	return tenonside.ErrorOf(st.Code, st.Message, st.Details...)
}

type tenonServer struct {
	richh2grpc.UnimplementedRichServer
	inner cases.Host
}

func (s *tenonServer) Echo(ctx context.Context, in *richpb.EchoRequest) (*richpb.EchoReply, error) {
	out, _, _, err := s.inner.Echo(ctx, in)
	return out, err
}

func (s *tenonServer) Fail(ctx context.Context, in *richpb.FailRequest) (*richpb.Note, error) {
	return nil, s.inner.Fail(ctx, in)
}

// onUpstream converts the inner plugin's errors itself: grpc-go has nothing
// like MapError.
func onUpstream(program string) error {
	inner, err := tenonside.Start(true, os.Stderr, program)
	if err != nil {
		return err
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: upstream.Handshake,
		Plugins:         goplugin.PluginSet{cases.PluginName: upstreamPlugin{inner: inner}},
		GRPCServer:      upstream.NewServer,
		Logger:          hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, JSONFormat: true}),
	})
	return inner.Stop(context.Background())
}

// upstreamPlugin serves the relay on go-plugin.
type upstreamPlugin struct {
	upstream.Plugin
	inner cases.Host
}

func (p upstreamPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	richgrpc.RegisterRichServer(s, &upstreamServer{inner: p.inner})
	return nil
}

type upstreamServer struct {
	richgrpc.UnimplementedRichServer
	inner cases.Host
}

func (s *upstreamServer) Echo(ctx context.Context, in *richpb.EchoRequest) (*richpb.EchoReply, error) {
	out, _, _, err := s.inner.Echo(ctx, in)
	return out, s.convert(err)
}

func (s *upstreamServer) Fail(ctx context.Context, in *richpb.FailRequest) (*richpb.Note, error) {
	return nil, s.convert(s.inner.Fail(ctx, in))
}

func (s *upstreamServer) convert(err error) error {
	if err == nil {
		return nil
	}
	st := s.inner.Status(err)
	return upstream.ErrorOf(st.Code, st.Message, st.Details...)
}
