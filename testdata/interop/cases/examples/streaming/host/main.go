// Host takes the place of the host of go-plugin's example "streaming": it runs
// ./plugin/streamer, which writes a file and reads it again, in small pieces.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/example"
	"github.com/tenonrpc/tenon/plugin/interop/cases/examples/streamerpb"
)

const (
	text = "Lorem ipsum dolor sit amet"
	// piece is how long the pieces of the file are that both sides send.
	piece = 10
	// limit is the longest message that the host sends and receives.
	limit = 1000
)

var logger = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))

func main() {
	example.Host(&host.Config{
		Cmd:    exec.Command("./plugin/streamer"),
		Client: h2grpc.ClientConfig{MaxRecvMessageSize: limit, MaxSendMessageSize: limit},
		Logger: logger,
	}, use)
}

func use(ctx context.Context, client *host.Client, args []string) error {
	if len(args) != 1 {
		return errors.New("the argument must be the path of a file")
	}
	streamer := streamerpb.NewStreamerServiceClient(client.Conn())
	if _, err := streamer.Configure(ctx, &streamerpb.Configure_Request{Path: args[0], ChunkSize: piece}); err != nil {
		return fmt.Errorf("configuring: %w", err)
	}
	if err := write(ctx, streamer); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	back, err := read(ctx, streamer)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	logger.Debug(fmt.Sprintf("received %d bytes", len(back)), "bytes", string(back))
	return nil
}

func write(ctx context.Context, streamer streamerpb.StreamerServiceClient) error {
	stream, err := streamer.Write(ctx)
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk([]byte(text), piece) {
		if err := stream.Send(&streamerpb.Write_RequestChunk{BytesToWrite: chunk}); err != nil {
			return err
		}
	}
	_, err = stream.CloseAndRecv()
	if status.Code(err) == codes.Unimplemented {
		// The original's plugin ends the call without the message that is due,
		// which is for its client to report: with UNIMPLEMENTED, by
		// https://grpc.github.io/grpc/core/md_doc_statuscodes.html. What is read
		// tells whether it has written.
		return nil
	}
	return err
}

func read(ctx context.Context, streamer streamerpb.StreamerServiceClient) ([]byte, error) {
	stream, err := streamer.Read(ctx, &streamerpb.Read_Request{})
	if err != nil {
		return nil, err
	}
	var back bytes.Buffer
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return back.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		back.Write(chunk.GetReadBytes())
	}
}
