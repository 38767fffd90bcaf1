package plugin_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
)

// The frame types of RFC 9113 that the test checks.
const (
	frameData    = 0
	frameHeaders = 1
	frameSetting = 4
	frameGoAway  = 7
	endStream    = 1
	endHeaders   = 4
)

func appendFrame(b []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	b = append(b, byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)), kind, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

// TestAnswerBeforeGoAway checks that the whole answer to Shutdown comes before the
// GOAWAY. Python's HTTP/2 library, h2, treats every frame after a GOAWAY as a protocol
// error, and drops what it has read together with it.
func TestAnswerBeforeGoAway(t *testing.T) {
	// head is time for a GOAWAY that does not wait for the answer to overtake it.
	const head = 50 * time.Millisecond
	s := serve(t, &plugin.ServeConfig{Plugins: echoSet(), Server: h2grpc.ServerConfig{
		Exempt: func(string) bool { return false },
		UnaryInterceptors: []h2grpc.UnaryServerInterceptor{
			func(ctx context.Context, in any, _ *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
				out, err := handler(ctx, in)
				timer := time.NewTimer(head)
				defer timer.Stop()
				<-timer.C
				return out, err
			},
		},
	}})
	conn, err := net.Dial(s.hs.Network, s.hs.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if end, ok := deadline(t).Deadline(); ok {
		conn.SetDeadline(end)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/plugin.GRPCController/Shutdown"},
		{":authority", "localhost"}, {"te", "trailers"}, {"content-type", "application/grpc"},
	} {
		encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	request := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	request = appendFrame(request, frameSetting, 0, 0, nil)
	request = appendFrame(request, frameHeaders, endHeaders, 1, block.Bytes())
	request = appendFrame(request, frameData, endStream, 1, make([]byte, 5)) // an empty message
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	for answered := false; !answered; {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Fatalf("the connection ends before the answer: %v", err)
		}
		length := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, conn, length); err != nil {
			t.Fatal(err)
		}
		switch kind, flags := head[3], head[4]; {
		case kind == frameGoAway:
			t.Fatal("GOAWAY comes before the answer to Shutdown")
		case kind == frameHeaders && flags&endStream != 0:
			answered = true
		}
	}
	conn.Close()
	s.wantEnd()
}
