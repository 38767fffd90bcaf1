// Plugin takes the place of the plugin of go-plugin's example "streaming".
package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/streamerpb"
)

type streamer struct {
	streamerpb.UnimplementedStreamerServiceServer
	log plugin.Logger

	mu    sync.Mutex
	path  string // guarded by mu
	piece int    // guarded by mu
}

func (s *streamer) Configure(_ context.Context, in *streamerpb.Configure_Request) (*streamerpb.Configure_Response, error) {
	if in.GetChunkSize() < 1 {
		return nil, status.Errorf(codes.InvalidArgument, "pieces of %d bytes", in.GetChunkSize())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.path, s.piece = in.GetPath(), int(in.GetChunkSize())
	return &streamerpb.Configure_Response{}, nil
}

func (s *streamer) configured() (path string, piece int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" {
		return "", 0, status.Error(codes.FailedPrecondition, "Configure comes first")
	}
	return s.path, s.piece, nil
}

func (s *streamer) Write(stream streamerpb.StreamerService_WriteServer) error {
	path, _, err := s.configured()
	if err != nil {
		return err
	}
	var file bytes.Buffer
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		file.Write(chunk.GetBytesToWrite())
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		return err
	}
	s.log.Debug("tenon's plugin has written the file", "bytes", file.Len())
	return stream.SendAndClose(&streamerpb.Write_Response{})
}

func (s *streamer) Read(_ *streamerpb.Read_Request, stream streamerpb.StreamerService_ReadServer) error {
	path, piece, err := s.configured()
	if err != nil {
		return err
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(file, piece) {
		if err := stream.Send(&streamerpb.Read_ResponseChunk{ReadBytes: chunk}); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	s := &streamer{log: plugin.NewLogger(os.Stderr, "streamer")}
	set := plugin.Set{"streamer": plugin.ServeOnly(func(_ *plugin.Broker, server *h2grpc.Server) error {
		streamerpb.RegisterStreamerServiceServer(server, s)
		return nil
	})}
	example.Serve(map[int]plugin.Set{example.Handshake.ProtocolVersion: set})
}
