// Code generated from testdata/interop/upstream/plugin.go by generate.sh. DO NOT EDIT.

package upstream

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/tenonrpc/tenon/plugin/interop-old/upstream/richgrpc"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
)

// Serve is the main function of the rich plugin on upstream, whose plugins
// cannot be told to listen on TCP.
func Serve() {
	setup, err := cases.ParseSetup(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	config := &plugin.ServeConfig{
		HandshakeConfig: Handshake,
		GRPCServer:      NewServer,
		Logger:          hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, JSONFormat: true}),
	}
	// It keeps the real stderr, which Serve is about to replace.
	log := hclog.New(&hclog.LoggerOptions{Name: "rich", Level: hclog.Debug, Output: os.Stderr, JSONFormat: true})
	if setup.PluginVersions == nil {
		config.Plugins = sets([]int{cases.ProtocolVersion}, log)[cases.ProtocolVersion]
	} else {
		config.VersionedPlugins = sets(setup.PluginVersions, log)
	}
	if setup.TLS != "" {
		config.TLSProvider = setup.TLSConfig
	}
	plugin.Serve(config)
}

// library is cases.Library on go-plugin and grpc-go.
type library struct {
	broker *plugin.GRPCBroker
	log    hclog.Logger
}

func (l library) Log(level, message, key, value string) error {
	l.log.Log(hclog.LevelFromString(level), message, key, value)
	return nil
}

func (library) Incoming(ctx context.Context) cases.MD {
	md, _ := metadata.FromIncomingContext(ctx)
	return cases.MD(md)
}

func (library) SetHeader(ctx context.Context, md cases.MD) error {
	return grpc.SetHeader(ctx, metadata.MD(md))
}

func (library) SetTrailer(ctx context.Context, md cases.MD) error {
	return grpc.SetTrailer(ctx, metadata.MD(md))
}

func (library) Error(code uint32, message string, details ...*richpb.Reason) error {
	return ErrorOf(code, message, details...)
}

func (l library) ServeMirror() (uint32, error) {
	// It is served until the process ends.
	id, _ := serveMirror(l.broker, "plugin")
	return id, nil
}

func (l library) DialMirror(_ context.Context, id uint32) (cases.Mirror, func(), error) {
	return dialMirror(l.broker, id)
}

// server puts the rich plugin's behaviour behind the generated code.
type server struct {
	richgrpc.UnimplementedRichServer
	h *cases.Handler
}

func newServer(lib library, version int) *server {
	return &server{h: cases.NewHandler(lib, version)}
}

func (s *server) Echo(ctx context.Context, in *richpb.EchoRequest) (*richpb.EchoReply, error) {
	return s.h.Echo(ctx, in)
}

func (s *server) Fail(ctx context.Context, in *richpb.FailRequest) (*richpb.Note, error) {
	return s.h.Fail(ctx, in)
}

func (s *server) Print(ctx context.Context, in *richpb.PrintRequest) (*richpb.Note, error) {
	return s.h.Print(ctx, in)
}

func (s *server) Log(ctx context.Context, in *richpb.LogRequest) (*richpb.Note, error) {
	return s.h.Log(ctx, in)
}

func (s *server) Count(in *richpb.CountRequest, stream richgrpc.Rich_CountServer) error {
	return s.h.Count(in, stream.Send)
}

func (s *server) Sum(stream richgrpc.Rich_SumServer) error {
	return s.h.Sum(stream.Recv, stream.SendAndClose)
}

func (s *server) Chat(stream richgrpc.Rich_ChatServer) error {
	return s.h.Chat(stream.Context(), stream.Recv, stream.Send)
}

func (s *server) Hold(in *richpb.HoldRequest, stream richgrpc.Rich_HoldServer) error {
	return s.h.Hold(stream.Context(), in, stream.Send)
}

func (s *server) Released(ctx context.Context, in *richpb.HoldRequest) (*richpb.Note, error) {
	return s.h.Released(ctx, in)
}

func (s *server) CallBack(ctx context.Context, in *richpb.CallBackRequest) (*richpb.Note, error) {
	return s.h.CallBack(ctx, in)
}

func (s *server) Offer(ctx context.Context, in *richpb.Note) (*richpb.Offered, error) {
	return s.h.Offer(ctx, in)
}
