package tenonside

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// Example runs go-plugin's own example of a gRPC plugin, a store of keys and
// values in files, through both of its methods. dir is where it keeps them.
func Example(ctx context.Context, program, dir string, autoMTLS bool, log io.Writer) error {
	cmd := exec.Command(program)
	cmd.Dir = dir
	client, err := host.Start(ctx, &host.Config{
		Handshake: plugin.Handshake{
			ProtocolVersion:  1,
			MagicCookieKey:   "BASIC_PLUGIN",
			MagicCookieValue: "hello",
		},
		Cmd:               cmd,
		InsecurePlaintext: !autoMTLS,
		Logger:            slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return fmt.Errorf("calling Ping: %w", err)
	}
	if err := client.Conn().Invoke(ctx, "/proto.KV/Put", &record{"tenon", "mortise"}, &record{}); err != nil {
		return fmt.Errorf("calling Put: %w", err)
	}
	var got record
	if err := client.Conn().Invoke(ctx, "/proto.KV/Get", &record{"tenon"}, &got); err != nil {
		return fmt.Errorf("calling Get: %w", err)
	}
	// The example adds its signature to what it stores.
	const want = "mortise\n\nWritten from plugin-go-grpc"
	if len(got) != 1 || got[0] != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return client.Shutdown(ctx)
}

// record is a message whose fields from 1 on are text or bytes. The example's
// own messages differ too much between the versions of go-plugin to be used:
// the older ones cannot be told from no protobuf message at all.
type record []string

// AppendTo implements h2grpc.Message.
func (r *record) AppendTo(b []byte) ([]byte, error) {
	for i, field := range *r {
		b = protowire.AppendTag(b, protowire.Number(i+1), protowire.BytesType)
		b = protowire.AppendString(b, field)
	}
	return b, nil
}

// UnmarshalFrom implements h2grpc.Message.
func (r *record) UnmarshalFrom(b []byte) error {
	*r = nil
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if kind != protowire.BytesType || int(number) != len(*r)+1 {
			return fmt.Errorf("field %d of type %d is not expected", number, kind)
		}
		field, m := protowire.ConsumeString(b[n:])
		if m < 0 {
			return protowire.ParseError(m)
		}
		*r = append(*r, field)
		b = b[n+m:]
	}
	return nil
}
