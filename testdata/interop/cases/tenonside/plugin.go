package tenonside

import (
	"context"
	"fmt"
	"os"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside/richh2grpc"
)

// Serve is the main function of the rich plugin on this library.
func Serve() {
	setup, err := cases.ParseSetup(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	config := &plugin.ServeConfig{Handshake: Handshake}
	if config.TLS, err = setup.TLSConfig(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	log := plugin.NewLogger(os.Stderr, "rich")
	if setup.PluginVersions == nil {
		config.Plugins = sets([]int{cases.ProtocolVersion}, log)[cases.ProtocolVersion]
	} else {
		config.Versions = sets(setup.PluginVersions, log)
	}
	if setup.TCP {
		config.Sockets.Network = "tcp"
	}
	plugin.Serve(config)
}

// library is cases.Library on this library.
type library struct {
	broker *plugin.Broker
	log    plugin.Logger
}

func (l library) Log(level, message, key, value string) error {
	write := map[string]func(string, ...any){
		"DEBUG": l.log.Debug, "INFO": l.log.Info, "WARN": l.log.Warn, "ERROR": l.log.Error,
	}[level]
	if write == nil {
		return fmt.Errorf("there is no level %q", level)
	}
	write(message, key, value)
	return nil
}

func (library) Incoming(ctx context.Context) cases.MD {
	md, _ := metadata.FromIncomingContext(ctx)
	return cases.MD(md)
}

func (library) SetHeader(ctx context.Context, md cases.MD) error {
	return h2grpc.SetHeader(ctx, metadata.MD(md))
}

func (library) SetTrailer(ctx context.Context, md cases.MD) error {
	return h2grpc.SetTrailer(ctx, metadata.MD(md))
}

func (library) Error(code uint32, message string, details ...*richpb.Reason) error {
	return ErrorOf(code, message, details...)
}

func (l library) ServeMirror() (uint32, error) {
	// It is served until the process ends.
	return serveMirror(context.Background(), l.broker, "plugin")
}

func (l library) DialMirror(ctx context.Context, id uint32) (cases.Mirror, func(), error) {
	return dialMirror(ctx, l.broker, id)
}

// server puts the rich plugin's behaviour behind the generated code.
type server struct {
	richh2grpc.UnimplementedRichServer
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

func (s *server) Count(in *richpb.CountRequest, stream richh2grpc.Rich_CountServer) error {
	return s.h.Count(in, stream.Send)
}

func (s *server) Sum(stream richh2grpc.Rich_SumServer) error {
	return s.h.Sum(stream.Recv, stream.SendAndClose)
}

func (s *server) Chat(stream richh2grpc.Rich_ChatServer) error {
	return s.h.Chat(stream.Context(), stream.Recv, stream.Send)
}

func (s *server) Hold(in *richpb.HoldRequest, stream richh2grpc.Rich_HoldServer) error {
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
