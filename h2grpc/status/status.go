// Package status makes and reads gRPC statuses, with the names and shapes of
// grpc-go's status package.
//
// A [Status] is immutable. Err turns it into an error, and FromError finds it in a
// chain of errors. Details are sent as google.rpc.Status, which is encoded by hand
// ([Proto]): no protobuf name is registered.
//
// The message of a status may come from the peer, with any content. Message and Proto
// return it unchanged. The texts of errors are made to be shown: in them everything
// that a terminal would act on (control characters, line ends, characters that change
// the direction of text, bytes that are not UTF-8) is escaped as in a Go string, and
// the message is cut after 4 KiB, with the number of missing bytes. grpc-go's texts
// have the message whole and unescaped. For a message of one printable line that is
// not that long there is no difference.
package status

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/wire"
)

// Status is the outcome of a call: a code, a message for people and any number
// of details for programs. A nil Status is OK.
type Status struct {
	p Proto
}

// New returns a status.
//
//go:noinline
func New(c codes.Code, msg string) *Status {
	return &Status{Proto{Code: int32(c), Message: msg}}
}

// Newf returns a status whose message is formatted.
func Newf(c codes.Code, format string, args ...any) *Status {
	return New(c, fmt.Sprintf(format, args...))
}

// Error returns an error that carries a status, or nil for codes.OK.
//
//go:noinline
func Error(c codes.Code, msg string) error { return New(c, msg).Err() }

// Errorf is like Error, with a formatted message.
func Errorf(c codes.Code, format string, args ...any) error {
	return Error(c, fmt.Sprintf(format, args...))
}

// FromProto returns the status that p describes. The status keeps p.Details, which
// must not be changed afterwards.
func FromProto(p Proto) *Status { return &Status{p} }

// Proto returns the status as it is sent. The details are shared and must not be
// changed.
func (s *Status) Proto() Proto {
	if s == nil {
		return Proto{}
	}
	return s.p
}

// Code returns the status code.
func (s *Status) Code() codes.Code {
	if s == nil {
		return codes.OK
	}
	return codes.Code(s.p.Code)
}

// Message returns the message unchanged. It may be the peer's: escape it before
// showing it on a terminal, as String does.
func (s *Status) Message() string {
	if s == nil {
		return ""
	}
	return s.p.Message
}

// String describes the status for people; the package comment describes how the
// message is escaped and cut.
func (s *Status) String() string {
	return "rpc error: code = " + s.Code().String() + " desc = " + wire.Printable(s.Message(), maxErrorText)
}

// Err returns the status as an error with the text of String, or nil if its code is
// OK. errors.Is finds context.DeadlineExceeded in an error with the code
// DEADLINE_EXCEEDED.
func (s *Status) Err() error {
	if s.Code() == codes.OK {
		return nil
	}
	return &statusError{s}
}

// WithDetails returns a status with details added. It returns an error for an OK
// status and for a message that cannot be encoded.
func (s *Status) WithDetails(details ...proto.Message) (*Status, error) {
	if s.Code() == codes.OK {
		return nil, errors.New("status: an OK status has no details")
	}
	p := s.Proto()
	p.Details = append([]Any(nil), p.Details...)
	for _, d := range details {
		value, err := proto.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("status: encoding a detail: %w", err)
		}
		p.Details = append(p.Details, Any{
			TypeURL: "type.googleapis.com/" + string(d.ProtoReflect().Descriptor().FullName()),
			Value:   value,
		})
	}
	return &Status{p}, nil
}

// Details returns the decoded details in order. Instead of a detail whose type this
// program does not link, or that cannot be decoded, there is an error; Proto has its
// bytes.
func (s *Status) Details() []any {
	if s == nil {
		return nil
	}
	out := make([]any, 0, len(s.p.Details))
	for _, d := range s.p.Details {
		m, err := decode(d)
		if err != nil {
			out = append(out, err)
			continue
		}
		out = append(out, m)
	}
	return out
}

func decode(d Any) (proto.Message, error) {
	name := d.TypeURL
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	mt, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err == nil {
		m := mt.New().Interface()
		if err = proto.Unmarshal(d.Value, m); err == nil {
			return m, nil
		}
	}
	return nil, fmt.Errorf("status: detail of type %.200q: %w", d.TypeURL, err)
}

// statusError is a status as an error.
type statusError struct{ s *Status }

func (e *statusError) Error() string { return e.s.String() }

// GRPCStatus returns the status, for FromError.
func (e *statusError) GRPCStatus() *Status { return e.s }

// Is reports whether target is a status error with the same code and message, or
// context.DeadlineExceeded if that is the code. There is no such rule for CANCELLED,
// which may have other reasons than the caller's context, for example a closed
// connection.
func (e *statusError) Is(target error) bool {
	if target == context.DeadlineExceeded {
		return e.s.Code() == codes.DeadlineExceeded
	}
	t, ok := target.(*statusError)
	return ok && t.s.p.Code == e.s.p.Code && t.s.p.Message == e.s.p.Message
}

// FromError returns the status that err carries, and true; OK for nil. A type of
// error may carry a status by a method GRPCStatus() *Status. If such an error is
// wrapped, the message of the result is the text of the whole chain, in which the
// carried message is escaped and cut as in errors. For any other error it returns
// UNKNOWN with the error's text, and false.
func FromError(err error) (s *Status, ok bool) {
	if err == nil {
		return nil, true
	}
	type carrier interface{ GRPCStatus() *Status }
	c, itself := err.(carrier)
	if itself || errors.As(err, &c) {
		s = c.GRPCStatus()
	}
	switch {
	case s == nil:
		return New(codes.Unknown, err.Error()), false
	case itself:
		return s, true
	}
	p := s.Proto()
	p.Message = err.Error()
	return &Status{p}, true
}

// Convert is like FromError, without the second result.
func Convert(err error) *Status {
	s, _ := FromError(err)
	return s
}

// Code returns the code that err carries: OK for nil, UNKNOWN for an error
// without a status.
func Code(err error) codes.Code { return Convert(err).Code() }

// FromContextError returns a status for an error of a context, which may be wrapped:
// CANCELLED, DEADLINE_EXCEEDED, OK for nil, and UNKNOWN for any other error.
func FromContextError(err error) *Status {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return New(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return New(codes.Canceled, err.Error())
	}
	return New(codes.Unknown, err.Error())
}
