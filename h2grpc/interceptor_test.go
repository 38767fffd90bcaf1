package h2grpc_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// trace records what interceptors do, in order.
type trace struct {
	t     *testing.T
	notes []string
}

func (tr *trace) want(sentence string, notes ...string) {
	tr.t.Helper()
	if !slices.Equal(tr.notes, notes) {
		tr.t.Errorf("%s:\n\t%s\nwant\n\t%s", sentence, strings.Join(tr.notes, "\n\t"), strings.Join(notes, "\n\t"))
	}
	tr.notes = nil
}

type traceKey struct{}

// TestUnaryInterceptors: the first is the outermost, on both ends.
func TestUnaryInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{t: t}
		note := func(s string) { tr.notes = append(tr.notes, s) }
		client := func(name string) h2grpc.UnaryClientInterceptor {
			return func(ctx context.Context, method string, req, reply any, cc *h2grpc.ClientConn, invoker h2grpc.UnaryInvoker, opts ...h2grpc.CallOption) error {
				note(name + " " + method)
				ctx = metadata.AppendToOutgoingContext(ctx, "by", name)
				*req.(*raw) = append(*req.(*raw), name...)
				err := invoker(ctx, method, req, reply, cc, opts...)
				note(name + " done")
				return err
			}
		}
		server := func(name string) h2grpc.UnaryServerInterceptor {
			return func(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
				note(name + " " + info.FullMethod)
				if info.Server == nil {
					t.Error("UnaryServerInfo has no server")
				}
				seen, _ := ctx.Value(traceKey{}).(string)
				reply, err := handler(context.WithValue(ctx, traceKey{}, seen+name), req)
				note(name + " done")
				if err == nil {
					*reply.(*raw) = append(*reply.(*raw), name...)
				}
				return reply, err
			}
		}
		cc, _ := start(t, setup{
			client: h2grpc.ClientConfig{UnaryInterceptors: []h2grpc.UnaryClientInterceptor{client("A"), client("B")}},
			server: h2grpc.ServerConfig{UnaryInterceptors: []h2grpc.UnaryServerInterceptor{server("a"), server("b")}},
			service: &testService{unary: func(ctx context.Context, in *raw) (*raw, error) {
				note("handler " + ctx.Value(traceKey{}).(string))
				if got := metadata.ValueFromIncomingContext(ctx, "by"); !slices.Equal(got, []string{"A", "B"}) {
					t.Errorf("the interceptors' metadata arrived as %q", got)
				}
				// The context of an interceptor is still the context of the call.
				return in, h2grpc.SetHeader(ctx, metadata.Pairs("from", "handler"))
			}},
		})
		var out raw
		var header metadata.MD
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), &out, h2grpc.Header(&header)); err != nil {
			t.Fatal(err)
		}
		if string(out) != "xABba" {
			t.Errorf("got %q", out)
		}
		wantMD(t, "options go through", header, metadata.MD{"from": {"handler"}})
		tr.want("the order", "A "+unaryMethod, "B "+unaryMethod, "a "+unaryMethod, "b "+unaryMethod, "handler ab", "b done", "a done", "B done", "A done")
	})
}

// TestStreamInterceptors: the same for streams.
func TestStreamInterceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := &trace{t: t}
		note := func(s string) { tr.notes = append(tr.notes, s) }
		client := func(name string) h2grpc.StreamClientInterceptor {
			return func(ctx context.Context, desc *h2grpc.StreamDesc, cc *h2grpc.ClientConn, method string, streamer h2grpc.Streamer, opts ...h2grpc.CallOption) (h2grpc.ClientStream, error) {
				note(name + " " + method)
				s, err := streamer(ctx, desc, cc, method, opts...)
				if err != nil {
					return nil, err
				}
				return &shouting{ClientStream: s, with: name}, nil
			}
		}
		server := func(name string) h2grpc.StreamServerInterceptor {
			return func(srv any, ss h2grpc.ServerStream, info *h2grpc.StreamServerInfo, handler h2grpc.StreamHandler) error {
				note(name + " " + info.FullMethod)
				if !info.IsClientStream || !info.IsServerStream || srv == nil {
					t.Errorf("%+v of %v", info, srv)
				}
				seen, _ := ss.Context().Value(traceKey{}).(string)
				err := handler(srv, &contextual{ss, context.WithValue(ss.Context(), traceKey{}, seen+name)})
				note(name + " done")
				return err
			}
		}
		cc, _ := start(t, setup{
			client: h2grpc.ClientConfig{StreamInterceptors: []h2grpc.StreamClientInterceptor{client("A"), client("B")}},
			server: h2grpc.ServerConfig{StreamInterceptors: []h2grpc.StreamServerInterceptor{server("a"), server("b")}},
			service: &testService{stream: func(s h2grpc.ServerStream) error {
				note("handler " + s.Context().Value(traceKey{}).(string))
				return echoStream(s)
			}},
		})
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		var out raw
		if err := s.SendMsg(msg("x")); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&out); err != nil || string(out) != "xAB" {
			t.Errorf("got %q, %v", out, err)
		}
		s.CloseSend()
		if err := s.RecvMsg(&out); err != io.EOF {
			t.Error(err)
		}
		synctest.Wait()
		tr.want("the order", "A "+bidiMethod, "B "+bidiMethod, "a "+bidiMethod, "b "+bidiMethod, "handler ab", "b done", "a done")
	})
}

// shouting appends to what is sent.
type shouting struct {
	h2grpc.ClientStream
	with string
}

func (s *shouting) SendMsg(m any) error {
	return s.ClientStream.SendMsg(msg(string(*m.(*raw)) + s.with))
}

// contextual has another context.
type contextual struct {
	h2grpc.ServerStream
	ctx context.Context
}

func (s *contextual) Context() context.Context { return s.ctx }

// TestInterceptorsThatAnswer: an interceptor may answer by itself, with a
// reply or an error; the next ones and the handler are not called.
func TestInterceptorsThatAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := &testService{
			unary:  func(context.Context, *raw) (*raw, error) { t.Error("the handler is called"); return nil, nil },
			stream: func(h2grpc.ServerStream) error { t.Error("the handler is called"); return nil },
		}
		cc, _ := start(t, setup{service: never, server: h2grpc.ServerConfig{
			UnaryInterceptors: []h2grpc.UnaryServerInterceptor{func(ctx context.Context, req any, _ *h2grpc.UnaryServerInfo, _ h2grpc.UnaryHandler) (any, error) {
				if string(*req.(*raw)) == "bad" {
					return nil, status.Error(codes.PermissionDenied, "no")
				}
				return msg("instead"), nil
			}},
			StreamInterceptors: []h2grpc.StreamServerInterceptor{func(any, h2grpc.ServerStream, *h2grpc.StreamServerInfo, h2grpc.StreamHandler) error {
				return status.Error(codes.Unauthenticated, "who are you")
			}},
		}})
		var out raw
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), &out); err != nil || string(out) != "instead" {
			t.Errorf("got %q, %v", out, err)
		}
		if err := cc.Invoke(t.Context(), unaryMethod, msg("bad"), &out); status.Code(err) != codes.PermissionDenied {
			t.Errorf("got %v", err)
		}
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(new(raw)); status.Code(err) != codes.Unauthenticated {
			t.Errorf("got %v", err)
		}

		mine := errors.New("mine")
		cc2, _ := start(t, setup{service: never, client: h2grpc.ClientConfig{
			UnaryInterceptors: []h2grpc.UnaryClientInterceptor{func(_ context.Context, _ string, req, reply any, _ *h2grpc.ClientConn, _ h2grpc.UnaryInvoker, _ ...h2grpc.CallOption) error {
				*reply.(*raw) = *req.(*raw)
				return mine
			}},
			StreamInterceptors: []h2grpc.StreamClientInterceptor{func(context.Context, *h2grpc.StreamDesc, *h2grpc.ClientConn, string, h2grpc.Streamer, ...h2grpc.CallOption) (h2grpc.ClientStream, error) {
				return nil, mine
			}},
		}})
		if err := cc2.Invoke(t.Context(), unaryMethod, msg("x"), &out); err != mine || string(out) != "x" {
			t.Errorf("got %q, %v", out, err)
		}
		if _, err := cc2.NewStream(t.Context(), &bidiDesc, bidiMethod); err != mine {
			t.Errorf("got %v", err)
		}
	})
}

// TestInterceptorPanics: a panic has the same result as in a handler.
func TestInterceptorPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, _ := start(t, setup{service: &testService{unary: echo, stream: echoStream}, server: h2grpc.ServerConfig{
			UnaryInterceptors:  []h2grpc.UnaryServerInterceptor{func(context.Context, any, *h2grpc.UnaryServerInfo, h2grpc.UnaryHandler) (any, error) { panic("x") }},
			StreamInterceptors: []h2grpc.StreamServerInterceptor{func(any, h2grpc.ServerStream, *h2grpc.StreamServerInfo, h2grpc.StreamHandler) error { panic("x") }},
		}})
		for _, err := range outcomes(t, cc) {
			if status.Code(err) != codes.Unknown {
				t.Errorf("got %v", err)
			}
		}
	})
}

// TestRetryingInterceptor: an interceptor may call the invoker again.
func TestRetryingInterceptor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		cc, _ := start(t, setup{
			service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) {
				if tries++; tries < 3 {
					return nil, status.Error(codes.Aborted, "again")
				}
				return in, nil
			}},
			client: h2grpc.ClientConfig{UnaryInterceptors: []h2grpc.UnaryClientInterceptor{func(ctx context.Context, method string, req, reply any, cc *h2grpc.ClientConn, invoker h2grpc.UnaryInvoker, opts ...h2grpc.CallOption) error {
				for {
					if err := invoker(ctx, method, req, reply, cc, opts...); status.Code(err) != codes.Aborted {
						return err
					}
				}
			}}},
		})
		var out raw
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), &out); err != nil || string(out) != "x" || tries != 3 {
			t.Errorf("got %q, %v after %d tries", out, err, tries)
		}
	})
}

// seen is a Stats that records the methods of the calls that it sees.
type seen struct {
	h2grpc.Stats
	mu      sync.Mutex
	methods []string
}

func (s *seen) Begin(ctx context.Context, call h2grpc.CallInfo) context.Context {
	s.note(call.Method)
	return ctx
}
func (s *seen) Headers(context.Context, h2grpc.Direction, metadata.MD)        {}
func (s *seen) Message(context.Context, h2grpc.Direction, h2grpc.MessageSize) {}
func (s *seen) End(context.Context, error, time.Duration)                     {}

func (s *seen) note(method string) {
	s.mu.Lock()
	s.methods = append(s.methods, method)
	s.mu.Unlock()
}

// TestExempt: neither interceptors nor Stats see calls of exempt methods, on either
// end; both see the others.
func TestExempt(t *testing.T) {
	for _, exempt := range []string{unaryMethod, bidiMethod} {
		synctest.Test(t, func(t *testing.T) {
			is := func(method string) bool { return method == exempt }
			var client, server seen
			cc, _ := start(t, setup{
				client: h2grpc.ClientConfig{Exempt: is, Stats: &client,
					UnaryInterceptors: []h2grpc.UnaryClientInterceptor{func(ctx context.Context, method string, req, reply any, cc *h2grpc.ClientConn, invoker h2grpc.UnaryInvoker, opts ...h2grpc.CallOption) error {
						client.note(method)
						return invoker(ctx, method, req, reply, cc, opts...)
					}},
					StreamInterceptors: []h2grpc.StreamClientInterceptor{func(ctx context.Context, desc *h2grpc.StreamDesc, cc *h2grpc.ClientConn, method string, streamer h2grpc.Streamer, opts ...h2grpc.CallOption) (h2grpc.ClientStream, error) {
						client.note(method)
						return streamer(ctx, desc, cc, method, opts...)
					}}},
				server: h2grpc.ServerConfig{Exempt: is, Stats: &server,
					UnaryInterceptors: []h2grpc.UnaryServerInterceptor{func(ctx context.Context, req any, info *h2grpc.UnaryServerInfo, handler h2grpc.UnaryHandler) (any, error) {
						server.note(info.FullMethod)
						return handler(ctx, req)
					}},
					StreamInterceptors: []h2grpc.StreamServerInterceptor{func(srv any, ss h2grpc.ServerStream, info *h2grpc.StreamServerInfo, handler h2grpc.StreamHandler) error {
						server.note(info.FullMethod)
						return handler(srv, ss)
					}}},
				service: &testService{unary: func(_ context.Context, in *raw) (*raw, error) { return in, nil }, stream: echoStream},
			})
			if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
				t.Fatal(err)
			}
			s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
			if err != nil {
				t.Fatal(err)
			}
			s.CloseSend()
			if err := s.RecvMsg(new(raw)); err != io.EOF {
				t.Error(err)
			}
			synctest.Wait()
			other := map[string]string{unaryMethod: bidiMethod, bidiMethod: unaryMethod}[exempt]
			for name, s := range map[string]*seen{"client": &client, "server": &server} {
				if want := []string{other, other}; !slices.Equal(s.methods, want) {
					t.Errorf("%s is exempt, and the %s's interceptor and Stats have seen %q, want %q", exempt, name, s.methods, want)
				}
			}
		})
	}
}
