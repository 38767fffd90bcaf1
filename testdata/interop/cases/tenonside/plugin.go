package tenonside

import (
	"context"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside/richh2grpc"
)

// Serve is the main function of the rich plugin on this library.
func Serve() {
	plugin.Serve(&plugin.ServeConfig{Handshake: Handshake, Plugins: Plugins})
}

// library is cases.Library on this library.
type library struct {
	broker *plugin.Broker
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

func newServer(broker *plugin.Broker) *server {
	return &server{h: cases.NewHandler(library{broker})}
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
