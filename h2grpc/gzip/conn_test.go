package gzip_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/gzip"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// text is a message that is its own encoding.
type text string

func (m *text) AppendTo(b []byte) ([]byte, error) { return append(b, *m...), nil }

func (m *text) UnmarshalFrom(b []byte) error {
	*m = text(b)
	return nil
}

// counted counts the calls of a compressor.
type counted struct {
	h2grpc.Compressor
	compressed, decompressed int
}

func (c *counted) Compress(dst, src []byte) ([]byte, error) {
	c.compressed++
	return c.Compressor.Compress(dst, src)
}

func (c *counted) Decompress(dst, src []byte, limit int) ([]byte, error) {
	c.decompressed++
	return c.Compressor.Decompress(dst, src, limit)
}

const method = "/test.Service/Echo"

// connect returns a connection to a server that echoes. Both ends have the
// compressors given; nil is none.
func connect(t *testing.T, server, client h2grpc.Compressor) *h2grpc.ClientConn {
	list := func(c h2grpc.Compressor) []h2grpc.Compressor {
		if c == nil {
			return nil
		}
		return []h2grpc.Compressor{c}
	}
	srv := h2grpc.NewServer(&h2grpc.ServerConfig{Compressors: list(server), MaxRecvMessageSize: 1 << 20})
	srv.RegisterService(&h2grpc.ServiceDesc{
		ServiceName: "test.Service",
		HandlerType: (*any)(nil),
		Methods: []h2grpc.MethodDesc{{MethodName: "Echo", Handler: func(_ any, _ context.Context, dec func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
			var m text
			err := dec(&m)
			return &m, err
		}}},
	}, struct{}{})
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.ServeConn(t.Context(), far) // it ends with the connection
	}()
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{
		Dial:        func(context.Context) (net.Conn, error) { return near, nil },
		Compressors: list(client),
	})
	t.Cleanup(func() {
		cc.Close()
		<-ended
	})
	return cc
}

func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := &counted{Compressor: gzip.New()}, &counted{Compressor: gzip.New()}
		cc := connect(t, server, client)
		call := func(in string, opts ...h2grpc.CallOption) error {
			var out text
			m := text(in)
			if err := cc.Invoke(t.Context(), method, &m, &out, opts...); err != nil {
				return err
			}
			if string(out) != in {
				t.Errorf("%d bytes came back as %d", len(in), len(out))
			}
			return nil
		}
		want := func(sentence string, n int) {
			t.Helper()
			for _, got := range []int{client.compressed, server.decompressed, server.compressed, client.decompressed} {
				if got != n {
					t.Fatalf("%s: client %+v, server %+v, want %d each", sentence, *client, *server, n)
				}
			}
		}
		long := strings.Repeat("compressible ", 1000)
		if err := call(long); err != nil {
			t.Error(err)
		}
		want("a call that asks for no compression", 0)
		if err := call(long, h2grpc.UseCompressor(gzip.Name)); err != nil {
			t.Error(err)
		}
		want("a call with compression", 1)
		if err := call("", h2grpc.UseCompressor(gzip.Name)); err != nil {
			t.Error(err)
		}
		want("an empty message is not worth compressing", 1)

		// The server accepts messages of 1 MiB. These arrive in 1 and 5 kB.
		if err := call(strings.Repeat("x", 1<<20), h2grpc.UseCompressor(gzip.Name)); err != nil {
			t.Error(err)
		}
		if err := call(strings.Repeat("x", 5<<20), h2grpc.UseCompressor(gzip.Name)); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("a message that is too large once decompressed gave %v, want RESOURCE_EXHAUSTED", err)
		}
	})
}

func TestOneSide(t *testing.T) {
	for _, c := range []struct {
		name           string
		server, client h2grpc.Compressor
		compress       bool
		want           codes.Code
	}{
		{"a server that does not know gzip", nil, gzip.New(), true, codes.Unimplemented},
		{"a client that was not given it", gzip.New(), nil, true, codes.Internal},
		{"a server alone", gzip.New(), nil, false, codes.OK},
		{"a client alone", nil, gzip.New(), false, codes.OK},
	} {
		synctest.Test(t, func(t *testing.T) {
			var opts []h2grpc.CallOption
			if c.compress {
				opts = append(opts, h2grpc.UseCompressor(gzip.Name))
			}
			m, out := text("message"), text("")
			err := connect(t, c.server, c.client).Invoke(t.Context(), method, &m, &out, opts...)
			if status.Code(err) != c.want {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
		})
	}
}
