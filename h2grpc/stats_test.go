package h2grpc_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// tracer is a Stats like that of a tracing or metrics library: it gives each call a
// name, sends it in the metadata, and records what happens.
type tracer struct {
	mu    sync.Mutex
	lines []string // guarded by mu
	ended chan struct{}
}

func newTracer() *tracer { return &tracer{ended: make(chan struct{}, 16)} }

type spanKey struct{}

func (t *tracer) note(ctx context.Context, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf("%v: ", ctx.Value(spanKey{}))+fmt.Sprintf(format, args...))
}

func (t *tracer) Begin(ctx context.Context, call h2grpc.CallInfo) context.Context {
	if call.Client {
		ctx = context.WithValue(ctx, spanKey{}, "client")
		ctx = metadata.AppendToOutgoingContext(ctx, "trace", "abc")
	} else {
		trace := metadata.ValueFromIncomingContext(ctx, "trace")
		ctx = context.WithValue(ctx, spanKey{}, "server of "+strings.Join(trace, ","))
	}
	t.note(ctx, "begin %s %v %v", call.Method, call.IsClientStream, call.IsServerStream)
	return ctx
}

func (t *tracer) Headers(ctx context.Context, dir h2grpc.Direction, md metadata.MD) {
	t.note(ctx, "headers %v %v", dir, md.Get("x"))
}

func (t *tracer) Message(ctx context.Context, dir h2grpc.Direction, size h2grpc.MessageSize) {
	t.note(ctx, "message %v %d %d", dir, size.Plain, size.Wire)
}

func (t *tracer) End(ctx context.Context, err error, took time.Duration) {
	t.note(ctx, "end %v %v", status.Code(err), took >= 0)
	t.ended <- struct{}{}
}

// want compares with what was recorded once n calls have ended.
func (t *tracer) want(tb testing.TB, n int, want ...string) {
	tb.Helper()
	for range n {
		<-t.ended
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Equal(t.lines, want) {
		tb.Errorf("got\n  %s\nwant\n  %s", strings.Join(t.lines, "\n  "), strings.Join(want, "\n  "))
	}
	t.lines = nil
}

func TestStats(t *testing.T) {
	service := &testService{
		unary: func(ctx context.Context, in *raw) (*raw, error) {
			if ctx.Value(spanKey{}) != "server of abc" {
				t.Errorf("the handler's context is not the one that Begin returned: %v", ctx.Value(spanKey{}))
			}
			h2grpc.SetHeader(ctx, metadata.Pairs("x", "from the server"))
			if string(*in) == "fail" {
				return nil, status.Error(codes.NotFound, "no")
			}
			return in, nil
		},
		stream: func(s h2grpc.ServerStream) error {
			if s.Context().Value(spanKey{}) != "server of abc" {
				t.Error("the stream's context is not the one that Begin returned")
			}
			return echoStream(s)
		},
	}
	client, server := newTracer(), newTracer()
	s := setup{service: service}
	s.client.Stats, s.server.Stats = client, server
	cc, _ := start(t, s)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x", "from the client")

	if err := cc.Invoke(ctx, unaryMethod, msg("hello"), new(raw)); err != nil {
		t.Fatal(err)
	}
	client.want(t, 1,
		"client: begin /test.Service/Unary false false",
		"client: headers sent [from the client]",
		"client: message sent 5 10",
		"client: headers received [from the server]",
		"client: message received 5 10",
		"client: end OK true")
	server.want(t, 1,
		"server of abc: begin /test.Service/Unary false false",
		"server of abc: headers received [from the client]",
		"server of abc: message received 5 10",
		"server of abc: headers sent [from the server]",
		"server of abc: message sent 5 10",
		"server of abc: end OK true")

	cc.Invoke(ctx, unaryMethod, msg("fail"), new(raw))
	client.want(t, 1,
		"client: begin /test.Service/Unary false false",
		"client: headers sent [from the client]",
		"client: message sent 4 9",
		"client: headers received [from the server]",
		"client: end NotFound true")
	server.want(t, 1,
		"server of abc: begin /test.Service/Unary false false",
		"server of abc: headers received [from the client]",
		"server of abc: message received 4 9",
		"server of abc: headers sent [from the server]",
		"server of abc: end NotFound true")

	cc.Invoke(ctx, "/test.Service/Nope", msg("?"), new(raw))
	client.want(t, 1,
		"client: begin /test.Service/Nope false false",
		"client: headers sent [from the client]",
		"client: message sent 1 6",
		"client: headers received []",
		"client: end Unimplemented true")
	server.want(t, 1,
		"server of abc: begin /test.Service/Nope false false",
		"server of abc: headers received [from the client]",
		"server of abc: headers sent []",
		"server of abc: end Unimplemented true")

	stream, err := cc.NewStream(ctx, &bidiDesc, bidiMethod)
	if err != nil {
		t.Fatal(err)
	}
	stream.SendMsg(msg("one"))
	if err := stream.RecvMsg(new(raw)); err != nil {
		t.Fatal(err)
	}
	stream.CloseSend()
	if err := stream.RecvMsg(new(raw)); err != io.EOF {
		t.Fatal(err)
	}
	client.want(t, 1,
		"client: begin /test.Service/Bidi true true",
		"client: headers sent [from the client]",
		"client: message sent 3 8",
		"client: headers received []",
		"client: message received 3 8",
		"client: end OK true")
	server.want(t, 1,
		"server of abc: begin /test.Service/Bidi true true",
		"server of abc: headers received [from the client]",
		"server of abc: message received 3 8",
		"server of abc: headers sent []",
		"server of abc: message sent 3 8",
		"server of abc: end OK true")

	// A call whose caller goes away ends as well.
	cancelled, cancel := context.WithCancel(ctx)
	if _, err := cc.NewStream(cancelled, &bidiDesc, bidiMethod); err != nil {
		t.Fatal(err)
	}
	cancel()
	client.want(t, 1,
		"client: begin /test.Service/Bidi true true",
		"client: headers sent [from the client]",
		"client: end Canceled true")
}
