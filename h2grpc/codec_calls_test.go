package h2grpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// protoService echoes StringValues; its unary method is /test.Proto/Unary.
var protoService = &h2grpc.ServiceDesc{
	ServiceName: "test.Proto",
	Methods: []h2grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, _ context.Context, dec func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
		in := new(wrapperspb.StringValue)
		if err := dec(in); err != nil {
			return nil, err
		}
		return wrapperspb.String(in.Value + "!"), nil
	}}},
}

func startProto(t *testing.T) *h2grpc.ClientConn {
	lis, dial := listenMemory(t)
	srv := h2grpc.NewServer(nil)
	srv.RegisterService(protoService, nil)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial})
	t.Cleanup(func() {
		cc.Close()
		srv.Close()
		<-served
	})
	return cc
}

// both is a Message and a proto.Message.
type both struct {
	*wrapperspb.StringValue
	used *int
}

func (b both) AppendTo(p []byte) ([]byte, error) {
	*b.used++
	return proto.MarshalOptions{}.MarshalAppend(p, b.StringValue)
}

func (b both) UnmarshalFrom(p []byte) error {
	*b.used++
	return proto.Unmarshal(p, b.StringValue)
}

// TestCodecs: proto.Message, Message, and which of them is preferred.
func TestCodecs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc := startProto(t)
		for _, text := range []string{"", "x", "ünï", strings.Repeat("x", 100_000)} {
			out := wrapperspb.String("rest of another call")
			if err := cc.Invoke(t.Context(), "/test.Proto/Unary", wrapperspb.String(text), out); err != nil || out.Value != text+"!" {
				t.Errorf("got %.100q, %v", out.Value, err)
			}
		}
		used := 0
		in, out := both{wrapperspb.String("x"), &used}, both{new(wrapperspb.StringValue), &used}
		if err := cc.Invoke(t.Context(), "/test.Proto/Unary", in, out); err != nil || out.Value != "x!" || used != 2 {
			t.Errorf("got %q, %v; its own codec was used %d times, want 2", out.Value, err, used)
		}
		for _, bad := range []any{nil, 7, "text", (*wrapperspb.StringValue)(nil), struct{}{}} {
			err := cc.Invoke(t.Context(), "/test.Proto/Unary", bad, new(wrapperspb.StringValue))
			if _, isNil := bad.(*wrapperspb.StringValue); !isNil && status.Code(err) != codes.Internal {
				t.Errorf("sending %T: %v", bad, err)
			}
			if bad == nil || bad == 7 {
				if err := cc.Invoke(t.Context(), "/test.Proto/Unary", wrapperspb.String("x"), bad); status.Code(err) != codes.Internal {
					t.Errorf("receiving into %T: %v", bad, err)
				}
			}
		}
		if err := cc.Invoke(t.Context(), "/test.Proto/Unary", msg("\xff\xff\xff"), new(wrapperspb.StringValue)); status.Code(err) != codes.Internal {
			t.Errorf("a request that is no message: %v", err)
		}
		if err := cc.Invoke(t.Context(), "/test.Proto/Unary", wrapperspb.String(strings.Repeat("\x00", 9)), new(durationpb.Duration)); status.Code(err) != codes.OK && status.Code(err) != codes.Internal {
			t.Errorf("a response of another type: %v", err)
		}
	})
}

// fragile fails to encode or decode itself.
type fragile struct{ in, out error }

func (f *fragile) AppendTo(b []byte) ([]byte, error) { return append(b, "partial"...), f.in }
func (f *fragile) UnmarshalFrom([]byte) error        { return f.out }

func TestCodecErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, _ := start(t, setup{service: &testService{unary: echo, stream: echoStream}})
		broken := errors.New("broken pencil")
		want := func(sentence string, err error) {
			t.Helper()
			if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "broken pencil") {
				t.Errorf("%s: %v", sentence, err)
			}
		}
		want("encoding", cc.Invoke(t.Context(), unaryMethod, &fragile{in: broken}, new(raw)))
		want("decoding", cc.Invoke(t.Context(), unaryMethod, msg("x"), &fragile{out: broken}))
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		want("encoding for a stream", s.SendMsg(&fragile{in: broken}))
		want("the stream has ended", s.RecvMsg(new(raw)))
		if s, err = cc.NewStream(t.Context(), &bidiDesc, bidiMethod); err != nil {
			t.Fatal(err)
		}
		if err := s.SendMsg(msg("x")); err != nil {
			t.Fatal(err)
		}
		want("decoding of a stream", s.RecvMsg(&fragile{out: broken}))
		want("the stream has ended", s.RecvMsg(new(raw)))
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Errorf("the connection lives: %v", err)
		}
	})
}

// TestBuffersAreNotShared: the bytes that a Message decodes do not change while it
// decodes them, and replies do not change afterwards.
func TestBuffersAreNotShared(t *testing.T) {
	cc, _ := start(t, setup{listen: listenSocket, service: &testService{unary: echo}})
	var kept []*raw
	for i := range 2000 {
		want := bytes.Repeat([]byte{byte(i)}, i%700)
		in, out := raw(want), new(raw)
		if err := cc.Invoke(t.Context(), unaryMethod, &in, out); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(in, want) {
			t.Fatal("the request was changed")
		}
		kept = append(kept, out)
	}
	for i, out := range kept {
		if !bytes.Equal(*out, bytes.Repeat([]byte{byte(i)}, i%700)) {
			t.Fatalf("reply %d has changed since", i)
		}
	}
}

// rle is a toy compressor: runs of a byte as a count and the byte.
type rle struct{ name string }

func (r rle) Name() string { return r.name }

func (rle) Compress(dst, src []byte) ([]byte, error) {
	for len(src) > 0 {
		n := 1
		for n < len(src) && src[n] == src[0] {
			n++
		}
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(n)), src[0])
		src = src[n:]
	}
	return dst, nil
}

func (rle) Decompress(dst, src []byte, limit int) ([]byte, error) {
	for total := 0; len(src) > 0; src = src[5:] {
		if len(src) < 5 {
			return dst, errors.New("half a run")
		}
		n := int(binary.BigEndian.Uint32(src))
		if total += n; total > limit {
			return dst, h2grpc.ErrTooLarge
		}
		dst = append(dst, bytes.Repeat(src[4:5], n)...)
	}
	return dst, nil
}

// TestCompressor: calls are compressed if the option is given, and responses like
// their requests.
func TestCompressor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, _ := start(t, setup{
			client:  h2grpc.ClientConfig{Compressors: []h2grpc.Compressor{rle{"rle"}, rle{"other"}}},
			server:  h2grpc.ServerConfig{Compressors: []h2grpc.Compressor{rle{"rle"}}},
			service: &testService{unary: echo, stream: echoStream},
		})
		for _, text := range []string{"", "abc", strings.Repeat("z", 1_000_000)} {
			for _, opts := range [][]h2grpc.CallOption{nil, {h2grpc.UseCompressor("rle")}, {h2grpc.UseCompressor("identity")}} {
				var out raw
				if err := cc.Invoke(t.Context(), unaryMethod, msg(text), &out, opts...); err != nil || string(out) != text {
					t.Errorf("%.10q: got %.10q, %v", text, out, err)
				}
			}
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod, h2grpc.UseCompressor("rle"))
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				var out raw
				if err := s.SendMsg(msg(text)); err != nil {
					t.Error(err)
				}
				if err := s.RecvMsg(&out); err != nil || string(out) != text {
					t.Errorf("%.10q, a stream: got %.10q, %v", text, out, err)
				}
			}
			s.CloseSend()
			if err := s.RecvMsg(new(raw)); err != io.EOF {
				t.Error(err)
			}
		}
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw), h2grpc.UseCompressor("other")); status.Code(err) != codes.Unimplemented {
			t.Errorf("a compressor that the server lacks: %v", err)
		}
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw), h2grpc.UseCompressor("none")); status.Code(err) != codes.Internal {
			t.Errorf("a compressor that the client lacks: %v", err)
		}
	})
}

// TestCompressionOnTheWire: which fields are sent, and what is compressed.
func TestCompressionOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const run = "\x00\x00\x00\x03z"
		compressed := "\x01" + u32(uint32(len(run))) + run
		server := h2grpc.ServerConfig{Compressors: []h2grpc.Compressor{rle{"rle"}}, MaxRecvMessageSize: 100}
		p, _ := scriptClient(t, setup{server: server})
		call := func(id uint32, message string, more ...string) {
			p.headers(id, 0, request(unaryMethod, more...)...)
			p.data(id, endStream, message)
		}
		call(1, compressed, "grpc-encoding=rle", "grpc-accept-encoding=gzip, rle")
		p.want("a compressed answer to one who accepts it", "HEADERS 1 :status=200 content-type=application/grpc grpc-encoding=rle", `DATA 1 "\x01\x00\x00\x00\x05\x00\x00\x00\x03z"`, "HEADERS 1 grpc-status=0 END_STREAM")
		call(3, compressed, "grpc-encoding=rle")
		p.want("a plain answer to one who does not say", replied(3, "zzz")...)
		call(5, grpcMsg("zzz"), "grpc-encoding=rle", "grpc-accept-encoding=rle")
		p.want("an uncompressed message on a compressed stream", "HEADERS 5 …", "DATA 5 …", "HEADERS 5 grpc-status=0 END_STREAM")
		call(7, compressed, "grpc-accept-encoding=rle")
		p.want("a compressed message on a stream that announced none", "HEADERS 7 …grpc-status=13 …END_STREAM")
		call(9, "\x01"+u32(3)+"abc", "grpc-encoding=rle")
		p.want("a corrupt message", "HEADERS 9 …grpc-status=13 …half a run END_STREAM")
		call(11, "\x01"+u32(5)+"\x7f\xff\xff\xffz", "grpc-encoding=rle")
		p.want("2 GiB after decompression", "HEADERS 11 …grpc-status=8 …END_STREAM")
		call(13, "\x01"+u32(5)+"\x00\x00\x00\x64z", "grpc-encoding=rle")
		p.want("exactly the limit", replied(13, strings.Repeat("z", 100))...)
		call(15, "\x01"+u32(5)+"\x00\x00\x00\x65z", "grpc-encoding=rle")
		p.want("one more than the limit", "HEADERS 15 …grpc-status=8 …END_STREAM")
		call(17, compressed, "grpc-encoding=br")
		p.want("an unknown encoding", "HEADERS 17 …grpc-status=12 grpc-accept-encoding=identity,rle …END_STREAM", "RST_STREAM 17 NO_ERROR")
	})
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{Compressors: []h2grpc.Compressor{rle{"rle"}}, MaxRecvMessageSize: 100})
		call := invoke(t.Context(), cc, "zzz", h2grpc.UseCompressor("rle"))
		p.want("a compressed request", "HEADERS 1 …grpc-encoding=rle …grpc-accept-encoding=identity,rle", `DATA 1 "\x01\x00\x00\x00\x05\x00\x00\x00\x03z" END_STREAM`)
		p.headers(1, 0, response("grpc-encoding=rle")...)
		p.data(1, 0, "\x01"+u32(5)+"\x00\x00\x00\x65z")
		p.headers(1, endStream, "grpc-status=0")
		if r := <-call; status.Code(r.err) != codes.ResourceExhausted {
			t.Errorf("a response above the limit: %v", r.err)
		}
		call = invoke(t.Context(), cc, "zzz")
		p.want("a plain request says what it accepts", "HEADERS 3 …grpc-accept-encoding=identity,rle", `DATA 3 "\x00\x00\x00\x00\x03zzz" END_STREAM`)
		p.headers(3, 0, response("grpc-encoding=rle")...)
		p.data(3, 0, "\x01"+u32(5)+"\x00\x00\x00\x02y")
		p.headers(3, endStream, "grpc-status=0")
		if r := <-call; r.err != nil || r.reply != "yy" {
			t.Errorf("a compressed response: %q, %v", r.reply, r.err)
		}
	})
}

// sizedMessage knows its size, and records how much room it was given.
type sizedMessage struct {
	raw
	room int
}

func (m *sizedMessage) AppendTo(b []byte) ([]byte, error) {
	m.room = cap(b) - len(b)
	return m.raw.AppendTo(b)
}

// TestMessageSize: a message that knows its size is encoded without growing anything,
// and one whose Size is wrong is sent nevertheless.
func TestMessageSize(t *testing.T) {
	cc, _ := start(t, setup{service: &testService{unary: echo}})
	m := &sizedMessage{raw: raw(strings.Repeat("x", 100_000))}
	var out raw
	if err := cc.Invoke(t.Context(), unaryMethod, m, &out); err != nil || string(out) != string(m.raw) || m.room < len(m.raw) {
		t.Errorf("%d bytes came back, %v; of %d there was room for %d", len(out), err, len(m.raw), m.room)
	}
	for _, size := range []int{-1, 1, 200_000, math.MaxInt} {
		m := &wrongMessage{raw: raw(strings.Repeat("x", 100_000)), size: size}
		if err := cc.Invoke(t.Context(), unaryMethod, m, &out); err != nil || string(out) != string(m.raw) {
			t.Errorf("a message of %d bytes that says %d: %d bytes came back, %v", len(m.raw), size, len(out), err)
		}
	}
}

type wrongMessage struct {
	raw
	size int
}

func (m *wrongMessage) Size() int { return m.size }
