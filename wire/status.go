package wire

import (
	"bytes"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// Any is google.protobuf.Any: a serialized message and the URL of its type.
type Any struct {
	TypeURL string // such as "type.googleapis.com/google.rpc.ErrorInfo"
	Value   []byte
}

// Status is google.rpc.Status, the content of the grpc-status-details-bin
// trailer. It is written by hand because registering the generated type would
// clash with programs that link the real one.
type Status struct {
	Code    int32
	Message string
	Details []Any // at most MaxStatusDetails
}

// AppendTo appends a's protobuf encoding to b. The error is ErrUTF8, with b
// returned unchanged.
func (a *Any) AppendTo(b []byte) ([]byte, error) {
	if err := checkText("type_url", a.TypeURL, math.MaxInt32); err != nil {
		return b, fmt.Errorf("wire: Any: %w", err)
	}
	return appendBytes(appendText(b, 1, a.TypeURL), 2, a.Value), nil
}

// UnmarshalFrom reads a from b; Value is a copy. The errors are ErrMessage and
// ErrUTF8; a is then the zero value.
func (a *Any) UnmarshalFrom(b []byte) error {
	*a = Any{}
	var value []byte
	err := eachField(b, func(f field) (err error) {
		switch {
		case f.is(1, protowire.BytesType):
			a.TypeURL, err = textField("type_url", f, math.MaxInt32)
		case f.is(2, protowire.BytesType):
			value = f.b
		}
		return err
	})
	if err != nil {
		*a = Any{}
		return fmt.Errorf("wire: Any: %w", err)
	}
	if len(value) > 0 {
		a.Value = bytes.Clone(value)
	}
	return nil
}

// AppendTo appends s's protobuf encoding to b, fields in ascending order. The
// errors are ErrUTF8 and ErrTooLong, with b returned unchanged.
func (s *Status) AppendTo(b []byte) ([]byte, error) {
	start := len(b)
	if err := checkText("message", s.Message, math.MaxInt32); err != nil {
		return b, fmt.Errorf("wire: Status: %w", err)
	}
	if len(s.Details) > MaxStatusDetails {
		return b, fmt.Errorf("wire: Status: details: %w of %d", ErrTooLong, MaxStatusDetails)
	}
	// An int32 travels as the varint of its sign-extended value.
	b = appendUint(b, 1, uint64(int64(s.Code)))
	b = appendText(b, 2, s.Message)
	for i := range s.Details {
		detail, err := s.Details[i].AppendTo(nil)
		if err != nil {
			return b[:start], fmt.Errorf("wire: Status: detail %d: %w", i, err)
		}
		b = protowire.AppendTag(b, 3, protowire.BytesType)
		b = protowire.AppendBytes(b, detail)
	}
	return b, nil
}

// UnmarshalFrom reads s from b and keeps nothing of b. The errors are
// ErrMessage, ErrUTF8 and ErrTooLong; s is then the zero value.
func (s *Status) UnmarshalFrom(b []byte) error {
	*s = Status{}
	err := eachField(b, func(f field) (err error) {
		switch {
		case f.is(1, protowire.VarintType):
			s.Code = int32(f.n)
		case f.is(2, protowire.BytesType):
			s.Message, err = textField("message", f, math.MaxInt32)
		case f.is(3, protowire.BytesType):
			if len(s.Details) == MaxStatusDetails {
				return fmt.Errorf("details: %w of %d", ErrTooLong, MaxStatusDetails)
			}
			var detail Any
			if err = detail.UnmarshalFrom(f.b); err == nil {
				s.Details = append(s.Details, detail)
			}
		}
		return err
	})
	if err != nil {
		*s = Status{}
		return fmt.Errorf("wire: Status: %w", err)
	}
	return nil
}
