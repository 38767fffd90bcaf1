package h2grpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestUnknownOnTheWire: which calls ServerConfig.Unknown gets, and which are refused
// as if it were not set.
func TestUnknownOnTheWire(t *testing.T) {
	const refused = "HEADERS 1 :status=200 content-type=application/grpc grpc-status="
	for _, c := range []struct {
		name   string
		fields []string
		method string // what Unknown gets; empty: it is not called
		want   string // the beginning of the answer
	}{
		{"a service that is not there", request("/a.B/C"), "/a.B/C", replied(1, "q")[0]},
		{"a method that the service has not", request("/test.Service/Nothing"), "/test.Service/Nothing", replied(1, "q")[0]},
		{"more slashes", request("/a/b/C"), "/a/b/C", replied(1, "q")[0]},
		{"a method that is there", request(unaryMethod), "", replied(1, "q")[0]},
		{"no slash at the beginning", request("a.B/C"), "", "RST_STREAM 1 PROTOCOL_ERROR"},
		{"one slash", request("/C"), "", refused + "12 "},
		{"no service", request("//C"), "", refused + "12 "},
		{"no method", request("/a.B/"), "", refused + "12 "},
		{"white space", request("/a.B/C D"), "", refused + "12 "},
		{"messages of another format", append(request("/a.B/C")[:5], "content-type=application/grpc+json"), "", refused + "12 "},
		{"a compression that the server has not", request("/a.B/C", "grpc-encoding=br"), "", refused + "12 "},
		{"a deadline that is no number", request("/a.B/C", "grpc-timeout=x"), "", "HEADERS 1 :status=400 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := make(chan string, 1)
				p, _ := scriptClient(t, setup{server: h2grpc.ServerConfig{Unknown: func(method string, s h2grpc.ServerStream) error {
					got <- method
					return echoStream(s)
				}}})
				p.headers(1, 0, c.fields...)
				p.data(1, endStream, grpcMsg("q"))
				if p.take(); len(p.held) == 0 || !strings.HasPrefix(p.held[0], c.want) {
					t.Errorf("the answer is %q, want it to begin with %q", p.held, c.want)
				}
				method := ""
				select {
				case method = <-got:
				default:
				}
				if method != c.method {
					t.Errorf("Unknown is called for %q, want %q", method, c.method)
				}
			})
		})
	}
}

// proxy returns a handler that passes all calls on.
func proxy(to *h2grpc.ClientConn) func(method string, from h2grpc.ServerStream) error {
	return func(method string, from h2grpc.ServerStream) error {
		ctx, cancel := context.WithCancel(from.Context())
		defer cancel()
		in, _ := metadata.FromIncomingContext(ctx)
		call, err := to.NewStream(metadata.NewOutgoingContext(ctx, in), &bidiDesc, method, h2grpc.UseCompressor(h2grpc.RequestCompressor(ctx)))
		if err != nil {
			return err
		}
		go func() {
			var m h2grpc.Raw
			for {
				if err := from.RecvMsg(&m); err == io.EOF {
					call.CloseSend()
					return
				} else if err != nil || call.SendMsg(&m) != nil {
					return
				}
			}
		}()
		if header, _ := call.Header(); header != nil {
			if err := from.SendHeader(header); err != nil {
				return err
			}
		}
		var m h2grpc.Raw
		for {
			err := call.RecvMsg(&m)
			if err != nil {
				from.SetTrailer(call.Trailer())
				if err == io.EOF {
					err = nil
				}
				return err
			}
			if err := from.SendMsg(&m); err != nil {
				return err
			}
		}
	}
}

// proxied returns a connection to a proxy in front of the server of s.
func proxied(t *testing.T, s setup, front h2grpc.ServerConfig) *h2grpc.ClientConn {
	t.Helper()
	compressors := s.server.Compressors
	s.client.Compressors = compressors
	to, _ := start(t, s)
	front.Unknown, front.Compressors = proxy(to), compressors
	lis, dial := listenMemory(t)
	srv := h2grpc.NewServer(&front)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial, Compressors: compressors})
	t.Cleanup(func() {
		cc.Close()
		srv.Close()
		<-served
	})
	return cc
}

// TestProxy: all parts of a call pass through a server that has no methods.
func TestProxy(t *testing.T) {
	sent := metadata.MD{"word": {"one", "two"}, "some-bin": {"\x00\xff", ""}}
	answer := metadata.MD{"answer": {"yes"}, "more-bin": {"\x01"}}
	t.Run("unary", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cc := proxied(t, setup{service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
				got, _ := metadata.FromIncomingContext(ctx)
				wantMD(t, "the request's metadata", got, sent)
				if d, ok := ctx.Deadline(); !ok || time.Until(d) > time.Minute {
					t.Errorf("the deadline is in %v, %v", time.Until(d), ok)
				}
				return msg("<" + string(*in) + ">"), errors.Join(h2grpc.SetHeader(ctx, answer), h2grpc.SetTrailer(ctx, metadata.Pairs("end", "now")))
			}}}, h2grpc.ServerConfig{})
			ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(t.Context(), sent), time.Minute)
			defer cancel()
			var out raw
			var header, trailer metadata.MD
			if err := cc.Invoke(ctx, unaryMethod, msg("q"), &out, h2grpc.Header(&header), h2grpc.Trailer(&trailer)); err != nil || string(out) != "<q>" {
				t.Fatalf("got %q, %v", out, err)
			}
			wantMD(t, "the headers", header, answer)
			wantMD(t, "the trailers", trailer, metadata.MD{"end": {"now"}})
		})
	})
	t.Run("status", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			st, err := status.New(codes.DataLoss, "lost: 100% ünknown").WithDetails(wrapperspb.String("why"))
			if err != nil {
				t.Fatal(err)
			}
			// No program on the way knows this type.
			w := st.Proto()
			w.Details = append(w.Details, status.Any{TypeURL: "example.com/unheard.Of", Value: []byte{1, 2, 3}})
			st = status.FromProto(w)
			cc := proxied(t, setup{service: &testService{unary: func(context.Context, *raw) (*raw, error) { return nil, st.Err() }}}, h2grpc.ServerConfig{})
			got := status.Convert(cc.Invoke(t.Context(), unaryMethod, msg("q"), new(raw)))
			if !reflect.DeepEqual(got.Proto(), w) {
				t.Errorf("got %+v, want %+v", got.Proto(), w)
			}
			if err := cc.Invoke(t.Context(), "/not.There/X", msg("q"), new(raw)); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), `unknown service "not.There"`) {
				t.Errorf("a method that nobody has: %v", err)
			}
		})
	})
	t.Run("headers before any message, and messages in turns", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cc := proxied(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
				s.SendHeader(answer)
				return echoStream(s)
			}}}, h2grpc.ServerConfig{})
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			header, err := s.Header()
			if err != nil {
				t.Fatal(err)
			}
			wantMD(t, "the headers", header, answer)
			for i := range 10 {
				var out raw
				if err := s.SendMsg(msg(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				if err := s.RecvMsg(&out); err != nil || string(out) != fmt.Sprint(i) {
					t.Fatalf("got %q, %v", out, err)
				}
			}
			s.CloseSend()
			if err := s.RecvMsg(new(raw)); err != io.EOF {
				t.Errorf("half of the call has ended, and then the other: %v", err)
			}
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error, 1)
			cc := proxied(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
				<-s.Context().Done()
				ended <- s.Context().Err()
				return s.Context().Err()
			}}}, h2grpc.ServerConfig{})
			ctx, cancel := context.WithCancel(t.Context())
			s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.SendMsg(msg("q")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			cancel()
			if err := <-ended; err != context.Canceled {
				t.Errorf("the handler's context ends with %v", err)
			}
		})
	})
	t.Run("the handler ends while the client sends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cc := proxied(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
				s.RecvMsg(new(raw))
				return status.Error(codes.OutOfRange, "enough")
			}}}, h2grpc.ServerConfig{})
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			for s.SendMsg(msg(strings.Repeat("x", 10_000))) == nil {
			}
			if err := s.RecvMsg(new(raw)); status.Code(err) != codes.OutOfRange {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("compressed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var names []string
			back := setup{
				server: h2grpc.ServerConfig{Compressors: []h2grpc.Compressor{rle{"rle"}}},
				service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
					names = append(names, h2grpc.RequestCompressor(ctx))
					return in, nil
				}},
			}
			cc := proxied(t, back, h2grpc.ServerConfig{})
			for _, opts := range [][]h2grpc.CallOption{nil, {h2grpc.UseCompressor("rle")}} {
				want := strings.Repeat("a", 5000) + "b"
				var out raw
				if err := cc.Invoke(t.Context(), unaryMethod, msg(want), &out, opts...); err != nil || string(out) != want {
					t.Errorf("%d bytes, %v", len(out), err)
				}
			}
			if want := []string{"", "rle"}; !slices.Equal(names, want) {
				t.Errorf("the requests were compressed with %q, want %q", names, want)
			}
		})
	})
}

// TestUnknownIsSeen: interceptors and statistics see the call by its name.
func TestUnknownIsSeen(t *testing.T) {
	tr := newTracer()
	var infos []h2grpc.StreamServerInfo
	cc, _ := start(t, setup{server: h2grpc.ServerConfig{
		Unknown: func(method string, s h2grpc.ServerStream) error {
			if name, ok := h2grpc.Method(s.Context()); !ok || name != method {
				t.Errorf("Method says %q, %v; the handler is told %q", name, ok, method)
			}
			return echoStream(s)
		},
		Stats: tr,
		UnaryInterceptors: []h2grpc.UnaryServerInterceptor{func(context.Context, any, *h2grpc.UnaryServerInfo, h2grpc.UnaryHandler) (any, error) {
			return nil, errors.New("nobody knows that it is unary")
		}},
		StreamInterceptors: []h2grpc.StreamServerInterceptor{func(srv any, ss h2grpc.ServerStream, info *h2grpc.StreamServerInfo, handler h2grpc.StreamHandler) error {
			infos = append(infos, *info)
			return handler(srv, ss)
		}},
	}})
	for range 2 { // the second has its head from the memo
		if err := cc.Invoke(t.Context(), "/a.B/C", msg("qq"), new(raw)); err != nil {
			t.Fatal(err)
		}
		tr.want(t, 1, "server of : begin /a.B/C true true", "server of : headers received []", "server of : message received 2 7",
			"server of : headers sent []", "server of : message sent 2 7", "server of : end OK true")
	}
	if want := (h2grpc.StreamServerInfo{FullMethod: "/a.B/C", IsClientStream: true, IsServerStream: true}); !slices.Equal(infos, []h2grpc.StreamServerInfo{want, want}) {
		t.Errorf("interceptors are told %+v", infos)
	}
}

// TestUnknownPanics: a panic has the same result as in other handlers.
func TestUnknownPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, _ := start(t, setup{server: h2grpc.ServerConfig{Unknown: func(string, h2grpc.ServerStream) error { panic("oh") }}})
		if err := cc.Invoke(t.Context(), "/a.B/C", msg("q"), new(raw)); status.Code(err) != codes.Unknown || !strings.Contains(err.Error(), "oh") {
			t.Errorf("got %v", err)
		}
	})
}

// TestReceivingWhenTheHandlerReturns: a goroutine that receives is not left behind.
func TestReceivingWhenTheHandlerReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		cc, _ := start(t, setup{service: &testService{stream: func(s h2grpc.ServerStream) error {
			go func() { ended <- s.RecvMsg(new(raw)) }()
			synctest.Wait()
			return status.Error(codes.OutOfRange, "enough")
		}}})
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.OutOfRange {
			t.Errorf("the call ends with %v", err)
		}
		if err := <-ended; err == nil {
			t.Error("RecvMsg returns a message that nobody has sent")
		}
	})
}

// TestRaw: the content of a Raw is replaced, in place if possible.
func TestRaw(t *testing.T) {
	r := make(h2grpc.Raw, 0, 8)
	first := r[:cap(r)]
	if err := r.UnmarshalFrom([]byte("abc")); err != nil || string(r) != "abc" || string(first[:3]) != "abc" {
		t.Errorf("got %q in %q, %v", r, first, err)
	}
	from := []byte("0123456789")
	if err := r.UnmarshalFrom(from); err != nil || string(r) != "0123456789" || r.Size() != 10 {
		t.Errorf("got %q, %v", r, err)
	}
	from[0] = 'x'
	if string(r) != "0123456789" {
		t.Error("it has kept what it was decoded from")
	}
	if b, err := r.AppendTo([]byte(">")); err != nil || string(b) != ">0123456789" {
		t.Errorf("got %q, %v", b, err)
	}
	if name := h2grpc.RequestCompressor(t.Context()); name != "" {
		t.Errorf("a context of no call has the compressor %q", name)
	}
}

// lateLogger keeps what is logged as an error.
type lateLogger struct {
	silent
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (l *lateLogger) Error(msg string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintln(append([]any{msg}, args...)...))
}

// TestRegisterServiceWhileServing: a listener goes on being served, and the mistake
// is logged.
func TestRegisterServiceWhileServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(lateLogger)
		lis, dial := listenMemory(t)
		s := setup{server: h2grpc.ServerConfig{Logger: log}, service: &testService{unary: echo}}
		s.listen = func(testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) { return lis, dial }
		cc, srv := start(t, s)
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Fatal(err)
		}
		srv.RegisterService(protoService, nil)
		other := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: dial})
		defer other.Close()
		if err := other.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Errorf("a connection after the mistake: %v", err)
		}
		log.mu.Lock()
		defer log.mu.Unlock()
		if len(log.lines) != 1 || !strings.Contains(log.lines[0], `registering the service "test.Proto": the server is already serving`) {
			t.Errorf("the log says %q", log.lines)
		}
	})
}
