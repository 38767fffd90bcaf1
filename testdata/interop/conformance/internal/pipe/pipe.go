// Package pipe is how connectconformance talks to the programs that it tests:
// protobuf messages on standard input and output, each after its length in four
// bytes, and key-value pairs as protobuf messages.
package pipe

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tenonrpc/tenon/h2grpc/metadata"
	pb "github.com/tenonrpc/tenon/plugin/interop/conformance/conformancepb"
)

// maxMessage bounds a message from the suite, whose largest are 400 KB.
const maxMessage = 64 << 20

// Read reads the next message. It returns io.EOF after the last one.
func Read(r io.Reader, m proto.Message) error {
	var prefix [4]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(prefix[:])
	if n > maxMessage {
		return fmt.Errorf("a message of %d bytes is too large", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("reading a message of %d bytes: %w", n, err)
	}
	return proto.Unmarshal(b, m)
}

// Write writes a message.
func Write(w io.Writer, m proto.Message) error {
	b, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 4), m)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	_, err = w.Write(b)
	return err
}

// Metadata turns the suite's headers into metadata.
func Metadata(headers []*pb.Header) metadata.MD {
	md := metadata.MD{}
	for _, h := range headers {
		md.Append(strings.ToLower(h.Name), h.Value...)
	}
	return md
}

// Headers turns metadata into the suite's headers.
func Headers(md metadata.MD) []*pb.Header {
	var out []*pb.Header
	for _, name := range slices.Sorted(maps.Keys(md)) {
		out = append(out, &pb.Header{Name: name, Value: md[name]})
	}
	return out
}

// Delay waits, unless ctx ends first.
func Delay(ctx context.Context, milliseconds uint32) error {
	if milliseconds == 0 {
		return nil
	}
	t := time.NewTimer(time.Duration(milliseconds) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
