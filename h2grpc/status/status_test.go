package status_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

func TestOK(t *testing.T) {
	var none *status.Status
	for _, s := range []*status.Status{none, status.New(codes.OK, ""), status.FromContextError(nil)} {
		if s.Code() != codes.OK || s.Message() != "" || s.Err() != nil || len(s.Details()) != 0 || s.Proto().Code != 0 {
			t.Errorf("OK is %v", s)
		}
	}
	if status.Error(codes.OK, "x") != nil || status.Errorf(codes.OK, "%d", 1) != nil {
		t.Error("an error for OK")
	}
	if s, ok := status.FromError(nil); !ok || s.Code() != codes.OK {
		t.Errorf("FromError(nil) is %v, %t", s, ok)
	}
	if status.Code(nil) != codes.OK {
		t.Error("Code(nil)")
	}
}

// carrier is an error of another package that carries a status.
type carrier struct{ s *status.Status }

func (c carrier) Error() string              { return "carrier" }
func (c carrier) GRPCStatus() *status.Status { return c.s }

// TestDeadlineErrors: for package errors, a status with the code DEADLINE_EXCEEDED is
// the context's error, wherever it is made. One with CANCELLED is not.
func TestDeadlineErrors(t *testing.T) {
	for code := range codes.Code(18) {
		err := status.Error(code, "text")
		if got, want := errors.Is(fmt.Errorf("wrapped: %w", err), context.DeadlineExceeded), code == codes.DeadlineExceeded; got != want {
			t.Errorf("%v is context.DeadlineExceeded: %t", code, got)
		}
		if errors.Is(err, context.Canceled) {
			t.Errorf("%v is context.Canceled", code)
		}
	}
}

func TestFromError(t *testing.T) {
	plain := status.Error(codes.NotFound, "gone")
	for _, c := range []struct {
		name    string
		err     error
		code    codes.Code
		message string
		ok      bool
	}{
		{"a status error", plain, codes.NotFound, "gone", true},
		{"wrapped", fmt.Errorf("reading: %w", plain), codes.NotFound, "reading: rpc error: code = NotFound desc = gone", true},
		{"joined", errors.Join(io.EOF, plain), codes.NotFound, "EOF\nrpc error: code = NotFound desc = gone", true},
		{"a carrier", carrier{status.New(codes.Aborted, "a")}, codes.Aborted, "a", true},
		{"a wrapped carrier", fmt.Errorf("x: %w", carrier{status.New(codes.Aborted, "a")}), codes.Aborted, "x: carrier", true},
		{"a carrier of nothing", carrier{nil}, codes.Unknown, "carrier", false},
		{"any other", io.EOF, codes.Unknown, "EOF", false},
		{"a context's", context.Canceled, codes.Unknown, "context canceled", false},
	} {
		s, ok := status.FromError(c.err)
		if s.Code() != c.code || s.Message() != c.message || ok != c.ok {
			t.Errorf("%s: %v %q %t", c.name, s.Code(), s.Message(), ok)
		}
		if status.Convert(c.err).Code() != c.code || status.Code(c.err) != c.code {
			t.Errorf("%s: Convert and Code differ", c.name)
		}
	}
}

func TestFromContextError(t *testing.T) {
	for err, want := range map[error]codes.Code{
		context.Canceled: codes.Canceled, context.DeadlineExceeded: codes.DeadlineExceeded, io.EOF: codes.Unknown,
		fmt.Errorf("x: %w", context.Canceled): codes.Canceled,
	} {
		if s := status.FromContextError(err); s.Code() != want || s.Message() != err.Error() {
			t.Errorf("%v gives %v", err, s)
		}
	}
}

func TestErrorsIs(t *testing.T) {
	a := status.Error(codes.NotFound, "x")
	if !errors.Is(fmt.Errorf("y: %w", a), status.Error(codes.NotFound, "x")) {
		t.Error("the same status is another")
	}
	for _, b := range []error{status.Error(codes.NotFound, "y"), status.Error(codes.Aborted, "x"), io.EOF} {
		if errors.Is(a, b) {
			t.Errorf("%v is %v", a, b)
		}
	}
	if want := "rpc error: code = NotFound desc = x"; a.Error() != want {
		t.Errorf("the text is %q, want grpc-go's %q", a.Error(), want)
	}
	if s := status.Newf(codes.DataLoss, "%d%%", 5); s.Message() != "5%" || s.String() != "rpc error: code = DataLoss desc = 5%" {
		t.Errorf("Newf gives %v", s)
	}
}

func TestDetails(t *testing.T) {
	base := status.New(codes.Aborted, "m")
	one, err := base.WithDetails(durationpb.New(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	two, err := one.WithDetails(wrapperspb.Int32(7), wrapperspb.String("x"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := one.WithDetails(wrapperspb.Bool(true))
	if err != nil {
		t.Fatal(err)
	}
	if len(base.Details()) != 0 || len(one.Details()) != 1 || len(two.Details()) != 3 || len(other.Details()) != 2 {
		t.Error("WithDetails changes its receiver")
	}
	for i, want := range []proto.Message{durationpb.New(time.Second), wrapperspb.Int32(7), wrapperspb.String("x")} {
		if m, ok := two.Details()[i].(proto.Message); !ok || !proto.Equal(m, want) {
			t.Errorf("detail %d is %v, want %v", i, two.Details()[i], want)
		}
	}
	if m, ok := other.Details()[1].(proto.Message); !ok || !proto.Equal(m, wrapperspb.Bool(true)) {
		t.Errorf("two statuses share details: %v", other.Details())
	}
	if got := status.Convert(two.Err()); len(got.Details()) != 3 {
		t.Errorf("an error loses details: %v", got.Details())
	}
	if _, err := status.New(codes.OK, "").WithDetails(wrapperspb.Int32(7)); err == nil {
		t.Error("OK takes details")
	}
	if url := two.Proto().Details[0].TypeURL; url != "type.googleapis.com/google.protobuf.Duration" {
		t.Errorf("the type is %q", url)
	}
}

// TestStrangeDetails: a detail of a peer that this program cannot decode becomes an
// error instead.
func TestStrangeDetails(t *testing.T) {
	s := status.FromProto(status.Proto{Code: 5, Details: []status.Any{
		{TypeURL: "type.googleapis.com/no.such.Type", Value: []byte("x")},
		{TypeURL: "type.googleapis.com/google.protobuf.Duration", Value: []byte("\xff")},
		{TypeURL: "", Value: nil},
		{TypeURL: "/", Value: nil},
		{TypeURL: strings.Repeat("x", 10_000)},
		{TypeURL: "google.protobuf.Duration"},
	}})
	d := s.Details()
	if len(d) != 6 {
		t.Fatalf("%d details", len(d))
	}
	for i := range 5 {
		if err, ok := d[i].(error); !ok || len(err.Error()) > 1000 {
			t.Errorf("detail %d is %.100v", i, d[i])
		}
	}
	if _, ok := d[5].(proto.Message); !ok {
		t.Errorf("a type without a host is %v", d[5])
	}
}

// TestErrorsArePrintable: the message belongs to the peer, and is data; the error's
// text is made to be shown.
func TestErrorsArePrintable(t *testing.T) {
	for message, want := range map[string]string{
		"":                           "",
		"plain":                      "plain",
		"日本語 \t naïve \\x1b":         "日本語 \t naïve \\x1b",
		"\x1b]0;owned\a\x1b[2J\rx":   `\x1b]0;owned\a\x1b[2J\rx`,
		"EOF\n2026 ERROR forged":     `EOF\n2026 ERROR forged`,
		"\x00\x7f\u009b\u202e\u2069": `\x00\x7f\u009b\u202e\u2069`,
		"not \xff UTF-8 \xe2\x82":    `not \xff UTF-8 \xe2\x82`,
		strings.Repeat("A", 8000):    strings.Repeat("A", 4096) + "… (3904 bytes more)",
		strings.Repeat("\x1b", 8000): strings.Repeat(`\x1b`, 1024) + "… (6976 bytes more)",
	} {
		err := status.Error(codes.Internal, message)
		want = "rpc error: code = Internal desc = " + want
		if err.Error() != want || status.Convert(err).String() != want {
			t.Errorf("%.40q has the text %.200q", message, err)
		}
		if got := status.Convert(err).Message(); got != message {
			t.Errorf("%.40q became %.40q", message, got)
		}
		if w := status.Convert(err).Proto(); w.Message != message {
			t.Errorf("%.40q goes out as %.40q", message, w.Message)
		}
		if !errors.Is(err, status.Error(codes.Internal, message)) {
			t.Errorf("%.40q is another error", message)
		}
		wrapped := status.Convert(fmt.Errorf("calling: %w", err))
		if wrapped.Message() != "calling: "+want {
			t.Errorf("%.40q wrapped is %.200q", message, wrapped.Message())
		}
	}
}

// TestPrintableErrorsCostNothing: their text is built once.
func TestPrintableErrorsCostNothing(t *testing.T) {
	err := status.Error(codes.NotFound, strings.Repeat("naïve ", 100))
	if n := testing.AllocsPerRun(100, func() { _ = err.Error() }); n > 1 {
		t.Errorf("%v allocations", n)
	}
}
