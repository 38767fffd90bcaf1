package limit_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/limit"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// text is a message that is its own encoding.
type text string

func (m *text) AppendTo(b []byte) ([]byte, error) { return append(b, *m...), nil }

func (m *text) UnmarshalFrom(b []byte) error {
	*m = text(b)
	return nil
}

// newLimiter returns a limiter whose configuration is in order.
func newLimiter(t testing.TB, config limit.Config) *limit.Limiter {
	t.Helper()
	l, err := limit.New(&config)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// try makes a unary call of a method without a connection; its handler returns at once.
func try(l *limit.Limiter, method string) error {
	return during(l, method, func() {})
}

// during makes such a call whose handler is f.
func during(l *limit.Limiter, method string, f func()) error {
	_, err := l.Unary(context.Background(), nil, &h2grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) {
		f()
		return nil, nil
	})
	return err
}

// wantIn fails unless the call was let in.
func wantIn(t testing.TB, sentence string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", sentence, err)
	}
}

// wantDelay fails unless the call was refused with a delay.
func wantDelay(t testing.TB, sentence string, err error, want time.Duration) {
	t.Helper()
	got, ok := limit.RetryDelay(err)
	if status.Code(err) != codes.ResourceExhausted || !ok || got != want {
		t.Errorf("%s: got %v with the delay %v, %v; want RESOURCE_EXHAUSTED with %v", sentence, err, got, ok, want)
	}
}

// wantFull fails unless the call was refused because of calls in progress.
func wantFull(t testing.TB, sentence string, err error) {
	t.Helper()
	if d, ok := limit.RetryDelay(err); status.Code(err) != codes.ResourceExhausted || ok || len(status.Convert(err).Proto().Details) > 0 {
		t.Errorf("%s: got %v with the delay %v, %v; want RESOURCE_EXHAUSTED without details", sentence, err, d, ok)
	}
}

// connect returns a connection to a server with the limiter, and with what register
// adds; if that is nil, calls of all methods are echoed. Both end with the test.
func connect(t *testing.T, l *limit.Limiter, register func(*h2grpc.Server)) *h2grpc.ClientConn {
	t.Helper()
	config := h2grpc.ServerConfig{
		UnaryInterceptors:  []h2grpc.UnaryServerInterceptor{l.Unary},
		StreamInterceptors: []h2grpc.StreamServerInterceptor{l.Stream},
	}
	if register == nil {
		config.Unknown = func(_ string, s h2grpc.ServerStream) error {
			var m text
			return errors.Join(s.RecvMsg(&m), s.SendMsg(&m))
		}
		register = func(*h2grpc.Server) {}
	}
	server := h2grpc.NewServer(&config)
	register(server)
	near, far := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ServeConn(t.Context(), far) // it ends with the connection
	}()
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(context.Context) (net.Conn, error) { return near, nil }})
	t.Cleanup(func() {
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
		<-ended
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return cc
}

// unary describes a method whose handler is f.
func unary(name string, f func(context.Context) error) h2grpc.MethodDesc {
	handler := func(srv any, ctx context.Context, dec func(any) error, interceptor h2grpc.UnaryServerInterceptor) (any, error) {
		var in text
		if err := dec(&in); err != nil {
			return nil, err
		}
		run := func(ctx context.Context, req any) (any, error) { return req, f(ctx) }
		if interceptor == nil {
			return run(ctx, &in)
		}
		return interceptor(ctx, &in, &h2grpc.UnaryServerInfo{Server: srv, FullMethod: "/test.S/" + name}, run)
	}
	return h2grpc.MethodDesc{MethodName: name, Handler: handler}
}

// call makes a unary call over a connection.
func call(t *testing.T, cc *h2grpc.ClientConn, method string) error {
	in, out := text("x"), text("")
	return cc.Invoke(t.Context(), method, &in, &out)
}
