package h2grpc_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestMessageLimits: each of the four limits, for unary calls and for streams, at the
// limit and one byte above.
func TestMessageLimits(t *testing.T) {
	const limit = 1000
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name   string
			s      setup
			opts   []h2grpc.CallOption
			second codes.Code // of a message of limit+1
			field  string     // what its error names
		}{
			{"the client sends", setup{client: h2grpc.ClientConfig{MaxSendMessageSize: limit}}, nil, codes.ResourceExhausted, "MaxSendMessageSize of the client's ClientConfig"},
			{"the server receives", setup{server: h2grpc.ServerConfig{MaxRecvMessageSize: limit}}, nil, codes.ResourceExhausted, "MaxRecvMessageSize of the server's ServerConfig"},
			{"the server sends", setup{server: h2grpc.ServerConfig{MaxSendMessageSize: limit}}, nil, codes.ResourceExhausted, "MaxSendMessageSize of the server's ServerConfig"},
			{"the client receives", setup{client: h2grpc.ClientConfig{MaxRecvMessageSize: limit}}, nil, codes.ResourceExhausted, "MaxRecvMessageSize of the client's ClientConfig"},
			{"a call sends", setup{}, []h2grpc.CallOption{h2grpc.MaxCallSendMsgSize(limit)}, codes.ResourceExhausted, "MaxCallSendMsgSize of the call"},
			{"a call receives", setup{}, []h2grpc.CallOption{h2grpc.MaxCallRecvMsgSize(limit)}, codes.ResourceExhausted, "MaxCallRecvMsgSize of the call"},
			{"a call allows more", setup{client: h2grpc.ClientConfig{MaxRecvMessageSize: 1, MaxSendMessageSize: 1}},
				[]h2grpc.CallOption{h2grpc.MaxCallSendMsgSize(2000), h2grpc.MaxCallRecvMsgSize(2000)}, codes.OK, ""},
			{"a call has no limit", setup{client: h2grpc.ClientConfig{MaxRecvMessageSize: 1, MaxSendMessageSize: 1}},
				[]h2grpc.CallOption{h2grpc.MaxCallSendMsgSize(-1), h2grpc.MaxCallRecvMsgSize(-1)}, codes.OK, ""},
			{"nobody has a limit", setup{client: h2grpc.ClientConfig{MaxRecvMessageSize: -1, MaxSendMessageSize: -1}, server: h2grpc.ServerConfig{MaxRecvMessageSize: -1, MaxSendMessageSize: -1}}, nil, codes.OK, ""},
		} {
			c.s.service = &testService{unary: echo, stream: echoStream}
			cc, _ := start(t, c.s)
			at, above := msg(strings.Repeat("x", limit)), msg(strings.Repeat("x", limit+1))
			var out raw
			if err := cc.Invoke(t.Context(), unaryMethod, at, &out, c.opts...); err != nil || len(out) != limit {
				t.Errorf("%s, at the limit: %v", c.name, err)
			}
			if err := cc.Invoke(t.Context(), unaryMethod, above, &out, c.opts...); status.Code(err) != c.second || !strings.Contains(status.Convert(err).Message(), c.field) {
				t.Errorf("%s, above the limit: %v", c.name, err)
			}
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod, c.opts...)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SendMsg(at); err != nil {
				t.Errorf("%s, a stream at the limit: %v", c.name, err)
			}
			if err := s.RecvMsg(&out); err != nil || len(out) != limit {
				t.Errorf("%s, a stream at the limit: %v", c.name, err)
			}
			if err := s.SendMsg(above); err != nil && status.Code(err) != c.second {
				t.Errorf("%s, a stream above the limit: SendMsg gives %v", c.name, err)
			}
			s.CloseSend()
			if err := s.RecvMsg(&out); status.Code(err) != c.second || !strings.Contains(status.Convert(err).Message(), c.field) {
				t.Errorf("%s, a stream above the limit: RecvMsg gives %v", c.name, err)
			}
			if err := cc.Invoke(t.Context(), unaryMethod, at, &out, c.opts...); err != nil {
				t.Errorf("%s, the next call: %v", c.name, err)
			}
		}
	})
}

// TestDefaultLimits: a message of 73 MB, the size that Terraform's plans reach, is
// sent both ways, and a server accepts no more than DefaultMaxRequestSize.
func TestDefaultLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := scriptClient(t, setup{service: &testService{unary: echo}})
		p.headers(1, 0, request(unaryMethod)...)
		p.data(1, 0, "\x00\x10\x00\x00\x01")
		p.want("a byte above the limit", "HEADERS 1 …grpc-status=8 …268435457 bytes is larger than the limit of 268435456 (MaxRecvMessageSize of the server's ServerConfig)… END_STREAM", "RST_STREAM 1 NO_ERROR")
	})
	if testing.Short() {
		t.Skip("moves 150 MB")
	}
	cc, _ := start(t, setup{listen: listenSocket, service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) { return in, nil }}})
	in := raw(make([]byte, 73_000_000))
	in[0], in[len(in)-1] = 1, 2
	var out raw
	if err := cc.Invoke(t.Context(), unaryMethod, &in, &out); err != nil || len(out) != len(in) || out[0] != 1 || out[len(out)-1] != 2 {
		t.Errorf("73 MB came back as %d bytes, %v", len(out), err)
	}
}

// TestSlowReader: a client that does not read stops its own stream alone, and
// receives everything in the end.
func TestSlowReader(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const count, size = 3000, 1000
			sent := make(chan int, 3*count)
			cc, _ := start(t, setup{tls: secure, service: &testService{
				unary: echo,
				stream: func(s h2grpc.ServerStream) error {
					for i := range count {
						m := raw(strings.Repeat(string(rune('a'+i%26)), size))
						if err := s.SendMsg(&m); err != nil {
							return err
						}
						sent <- i
					}
					return nil
				},
			}})
			var streams []h2grpc.ClientStream
			for range 5 {
				s, err := cc.NewStream(t.Context(), &serverDesc, serverMethod)
				if err != nil {
					t.Fatal(err)
				}
				s.CloseSend()
				streams = append(streams, s)
				synctest.Wait()
			}
			if n := len(sent); n == 0 || n > (3*loneWindow+2*streamWindow+5*300<<10)/size {
				t.Errorf("%d messages of 1 kB were sent to nobody", n)
			}
			for range 100 {
				var out raw
				if err := cc.Invoke(t.Context(), unaryMethod, msg("other"), &out); err != nil || string(out) != "other" {
					t.Fatalf("other calls go on: %q, %v", out, err)
				}
			}
			go func() {
				for range sent { // so that no handler waits for room in it
				}
			}()
			for _, s := range streams {
				for i := range count {
					var out raw
					if err := s.RecvMsg(&out); err != nil || len(out) != size || out[0] != byte('a'+i%26) || out[size-1] != out[0] {
						t.Fatalf("message %d: %d bytes, %v", i, len(out), err)
					}
				}
				if err := s.RecvMsg(new(raw)); err != io.EOF {
					t.Error(err)
				}
			}
			close(sent)
		})
	}
}
