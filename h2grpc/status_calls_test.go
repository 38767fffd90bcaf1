package h2grpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// fails returns a service whose handlers return *err.
func fails(err *error) *testService {
	return &testService{
		unary:  func(context.Context, *raw) (*raw, error) { return nil, *err },
		stream: func(h2grpc.ServerStream) error { return *err },
	}
}

// outcomes makes a unary and a streaming call and returns their errors.
func outcomes(t *testing.T, cc *h2grpc.ClientConn) []error {
	t.Helper()
	s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
	if err != nil {
		t.Fatal(err)
	}
	return []error{cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)), s.RecvMsg(new(raw))}
}

func TestStatusArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handlerErr error
		cc, _ := start(t, setup{service: fails(&handlerErr)})
		for _, message := range []string{"", "plain", "100%", "%zz %41", "ünïcödé 日本語 🎉", "line\nend\ttab\r\x00\x7f", " spaces ", "\xff\xfe no UTF-8", strings.Repeat("long ", 3000)} {
			handlerErr = status.Error(codes.Aborted, message)
			want := message
			if !utf8.ValidString(want) {
				want = strings.ToValidUTF8(want, "\ufffd")
			}
			for _, err := range outcomes(t, cc) {
				got := status.Convert(err)
				if got.Code() != codes.Aborted || (got.Message() != message && got.Message() != want && !utf8.ValidString(message) == utf8.ValidString(got.Message())) {
					t.Errorf("%.40q arrived as %v %.60q", message, got.Code(), got.Message())
				}
			}
		}
		for c := codes.Code(1); c <= 20; c++ {
			handlerErr = status.Error(c, c.String())
			for _, err := range outcomes(t, cc) {
				if status.Code(err) != c {
					t.Errorf("%v arrived as %v", c, err)
				}
			}
		}
	})
}

func TestStatusDetails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := status.New(codes.FailedPrecondition, "not yet: ü").WithDetails(durationpb.New(3*time.Second), wrapperspb.String("text"))
		if err != nil {
			t.Fatal(err)
		}
		handlerErr := st.Err()
		cc, _ := start(t, setup{service: fails(&handlerErr)})
		for _, err := range outcomes(t, cc) {
			got := status.Convert(err)
			d := got.Details()
			if got.Code() != codes.FailedPrecondition || got.Message() != "not yet: ü" || len(d) != 2 {
				t.Fatalf("got %v with %d details", got, len(d))
			}
			first, ok1 := d[0].(proto.Message)
			second, ok2 := d[1].(proto.Message)
			if !ok1 || !ok2 || !proto.Equal(first, durationpb.New(3*time.Second)) || !proto.Equal(second, wrapperspb.String("text")) {
				t.Errorf("got the details %v", d)
			}
		}
		// A wrapped status keeps its code and details, and has the text of the whole chain.
		handlerErr = fmt.Errorf("while trying: %w", st.Err())
		for _, err := range outcomes(t, cc) {
			got := status.Convert(err)
			if got.Code() != codes.FailedPrecondition || !strings.HasPrefix(got.Message(), "while trying: ") || len(got.Details()) != 2 {
				t.Errorf("wrapped: got %v", err)
			}
		}
	})
}

// TestPlainErrors: errors without a status.
func TestPlainErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handlerErr error
		cc, _ := start(t, setup{service: fails(&handlerErr)})
		for _, c := range []struct {
			err  error
			code codes.Code
		}{
			{errors.New("no status"), codes.Unknown},
			{io.EOF, codes.Unknown},
			{context.Canceled, codes.Canceled},
			{fmt.Errorf("x: %w", context.DeadlineExceeded), codes.DeadlineExceeded},
		} {
			handlerErr = c.err
			for _, err := range outcomes(t, cc) {
				if got := status.Convert(err); got.Code() != c.code || got.Message() != c.err.Error() {
					t.Errorf("%v arrived as %v", c.err, err)
				}
			}
		}
	})
}

// TestMapError: foreign errors become ours, on both ends.
func TestMapError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		foreign := errors.New("foreign")
		mine := errors.New("the process has died")
		handlerErr := foreign
		cc, _ := start(t, setup{
			server: h2grpc.ServerConfig{MapError: func(err error) error {
				if errors.Is(err, foreign) {
					return status.Error(codes.DataLoss, "mapped")
				}
				return err
			}},
			client: h2grpc.ClientConfig{MapError: func(err error) error {
				if err == nil || err == io.EOF {
					t.Errorf("MapError is given %v", err)
				}
				return fmt.Errorf("%w: %w", mine, err)
			}},
			service: fails(&handlerErr),
		})
		for _, err := range outcomes(t, cc) {
			if !errors.Is(err, mine) || status.Code(err) != codes.DataLoss || !strings.Contains(err.Error(), "mapped") {
				t.Errorf("got %v", err)
			}
		}
		handlerErr = nil
		s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(new(raw)); err != io.EOF {
			t.Errorf("the end of a stream: %v", err)
		}
		cc.Close()
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); !errors.Is(err, mine) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestPanics: a panic is a status, and the process goes on.
func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var what any
		service := &testService{
			unary: func(_ context.Context, in *raw) (*raw, error) {
				if what != nil {
					panic(what)
				}
				return in, nil
			},
			stream: func(h2grpc.ServerStream) error { panic(what) },
		}
		cc, _ := start(t, setup{service: service})
		for _, what = range []any{"out of cheese", errors.New("an error"), 42, status.Error(codes.NotFound, "x")} {
			for range 10 {
				for _, err := range outcomes(t, cc) {
					if status.Code(err) != codes.Unknown || !strings.Contains(err.Error(), "panic") {
						t.Errorf("panic(%v): got %v", what, err)
					}
				}
			}
		}
		what = nil
		if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Errorf("after the panics: %v", err)
		}
	})
}

// TestCardinality: gRPC's statuscodes document: a wrong number of messages is
// UNIMPLEMENTED on both sides.
func TestCardinality(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		responses := 0
		cc, _ := start(t, setup{service: &testService{unary: echo, stream: func(s h2grpc.ServerStream) error {
			if err := s.RecvMsg(new(raw)); err != nil {
				return err
			}
			for range responses {
				if err := s.SendMsg(msg("x")); err != nil {
					return err
				}
			}
			return nil
		}}})
		call := func(desc h2grpc.StreamDesc, method string, requests int) error {
			s, err := cc.NewStream(t.Context(), &desc, method)
			if err != nil {
				t.Fatal(err)
			}
			for range requests {
				s.SendMsg(msg("x"))
			}
			s.CloseSend()
			for err == nil {
				err = s.RecvMsg(new(raw))
				if err == nil && !desc.ServerStreams {
					return s.RecvMsg(new(raw))
				}
			}
			return err
		}
		wrong := bidiDesc // a client that does not follow the method's kind
		want := func(sentence string, err error, code codes.Code) {
			t.Helper()
			if (code == codes.OK && err != io.EOF) || (code != codes.OK && status.Code(err) != code) {
				t.Errorf("%s: got %v, want %v", sentence, err, code)
			}
		}
		want("no request to a server stream", call(wrong, serverMethod, 0), codes.Unimplemented)
		want("one request to a server stream", call(wrong, serverMethod, 1), codes.OK)
		want("two requests to a server stream", call(wrong, serverMethod, 2), codes.Unimplemented)
		want("no request to a unary method", call(wrong, unaryMethod, 0), codes.Unimplemented)
		want("one request to a unary method", call(wrong, unaryMethod, 1), codes.OK)
		want("two requests to a unary method", call(wrong, unaryMethod, 2), codes.Unimplemented)
		want("no response from a client stream", call(clientDesc, clientMethod, 1), codes.Unimplemented)
		want("no response from a client stream, a lenient client", call(wrong, clientMethod, 1), codes.Unimplemented)
		responses = 1
		want("one response from a client stream", call(clientDesc, clientMethod, 1), codes.OK)
		responses = 2
		want("two responses from a client stream", call(clientDesc, clientMethod, 1), codes.Internal)
		want("two responses where the client wants one", call(clientDesc, bidiMethod, 1), codes.Unimplemented)
		responses = 0
		want("no response where the client wants one", call(clientDesc, bidiMethod, 1), codes.Unimplemented)
		err := cc.Invoke(t.Context(), bidiMethod, msg("x"), new(raw))
		want("a unary call of a stream without responses", err, codes.Unimplemented)
		responses = 2
		err = cc.Invoke(t.Context(), bidiMethod, msg("x"), new(raw))
		want("a unary call of a stream with two responses", err, codes.Unimplemented)
	})
}

// foreignStatus looks like the errors of another gRPC library.
type foreignStatus struct{}

func (foreignStatus) Error() string              { return "rpc error: code = NotFound desc = gone" }
func (foreignStatus) GRPCStatus() *foreignStatus { return nil }

// ofOurs has a status of this library, or would have.
type ofOurs struct{}

func (ofOurs) Error() string              { return "gone" }
func (ofOurs) GRPCStatus() *status.Status { return nil }

// warned is a Logger that keeps its warnings.
type warned struct {
	silent
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (w *warned) Warn(msg string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, fmt.Sprintln(append([]any{msg}, args...)...))
}

// TestForeignStatus: a handler's status of another library loses its code, and that
// is logged once, with the method and a remedy, unless MapError translates it.
func TestForeignStatus(t *testing.T) {
	ours := status.Error(codes.NotFound, "gone")
	mapped := func(err error) error {
		if errors.As(err, new(foreignStatus)) {
			return ours
		}
		return err
	}
	for name, c := range map[string]struct {
		err  error
		mapE func(error) error
		code codes.Code
		said int
	}{
		"foreign":      {foreignStatus{}, nil, codes.Unknown, 1},
		"wrapped":      {fmt.Errorf("looking: %w", foreignStatus{}), nil, codes.Unknown, 1},
		"joined":       {errors.Join(errors.New("looking"), foreignStatus{}), nil, codes.Unknown, 1},
		"one of ours":  {ofOurs{}, nil, codes.Unknown, 0},
		"mapped":       {foreignStatus{}, mapped, codes.NotFound, 0},
		"ours":         {ours, nil, codes.NotFound, 0},
		"ours wrapped": {fmt.Errorf("looking: %w", ours), nil, codes.NotFound, 0},
		"none":         {errors.New("gone"), nil, codes.Unknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log warned
				cc, _ := start(t, setup{
					server: h2grpc.ServerConfig{MapError: c.mapE, Logger: &log},
					service: &testService{
						unary:  func(context.Context, *raw) (*raw, error) { return nil, c.err },
						stream: func(h2grpc.ServerStream) error { return c.err },
					},
				})
				for range 2 {
					if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); status.Code(err) != c.code {
						t.Errorf("a call: %v", err)
					}
				}
				s, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.RecvMsg(new(raw)); status.Code(err) != c.code {
					t.Errorf("a stream: %v", err)
				}
				log.mu.Lock()
				defer log.mu.Unlock()
				if len(log.lines) != c.said {
					t.Fatalf("%d lines in the log, want %d: %q", len(log.lines), c.said, log.lines)
				}
				for _, line := range log.lines {
					for _, want := range []string{unaryMethod, "ServerConfig.MapError", "code = NotFound"} {
						if !strings.Contains(line, want) {
							t.Errorf("%q is not in %q", want, line)
						}
					}
				}
			})
		})
	}
}
