package status

import (
	"bytes"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tenonrpc/tenon/wire/fields"
)

// Any is google.protobuf.Any: a serialized message and the URL of its type.
type Any struct {
	TypeURL string // such as "type.googleapis.com/google.rpc.ErrorInfo"
	Value   []byte
}

// Proto is google.rpc.Status, the content of the trailer grpc-status-details-bin. It
// is encoded by hand because registering the generated type would conflict with that
// of programs that link it. A *Proto is an h2grpc.Message.
type Proto struct {
	Code    int32
	Message string
	Details []Any // at most 1024
}

// AppendTo appends the protobuf encoding of a to b. If the URL is not UTF-8, it
// returns an error and b unchanged.
func (a *Any) AppendTo(b []byte) ([]byte, error) {
	if err := fields.CheckText("type_url", a.TypeURL, math.MaxInt32); err != nil {
		return b, fmt.Errorf("status: google.protobuf.Any: %w", err)
	}
	return fields.AppendBytes(fields.AppendBytes(b, 1, a.TypeURL), 2, a.Value), nil
}

// UnmarshalFrom decodes a from b; Value is a copy. It returns an error for bytes that
// are not a message and for a URL that is not UTF-8; a is then the zero value.
func (a *Any) UnmarshalFrom(b []byte) error {
	*a = Any{}
	var value []byte
	err := fields.Each(b, func(f fields.Field) (err error) {
		switch {
		case f.Is(1, protowire.BytesType):
			a.TypeURL, err = fields.Text("type_url", f, math.MaxInt32)
		case f.Is(2, protowire.BytesType):
			value = f.B
		}
		return err
	})
	if err != nil {
		*a = Any{}
		return fmt.Errorf("status: google.protobuf.Any: %w", err)
	}
	if len(value) > 0 {
		a.Value = bytes.Clone(value)
	}
	return nil
}

// AppendTo appends the protobuf encoding of p to b, fields in ascending order. For
// text that is not UTF-8 and for too many details it returns an error and b
// unchanged.
func (p *Proto) AppendTo(b []byte) ([]byte, error) {
	start := len(b)
	if err := fields.CheckText("message", p.Message, math.MaxInt32); err != nil {
		return b, fmt.Errorf("status: google.rpc.Status: %w", err)
	}
	if len(p.Details) > maxDetails {
		return b, fmt.Errorf("status: google.rpc.Status: details: %w of %d", fields.ErrTooLong, maxDetails)
	}
	b = fields.AppendInt32(b, 1, p.Code)
	b = fields.AppendBytes(b, 2, p.Message)
	for i := range p.Details {
		detail, err := p.Details[i].AppendTo(nil)
		if err != nil {
			return b[:start], fmt.Errorf("status: google.rpc.Status: detail %d: %w", i, err)
		}
		b = fields.AppendPresent(b, 3, detail)
	}
	return b, nil
}

// UnmarshalFrom decodes p from b and keeps nothing of b. It returns an error for
// bytes that are not a message, for text that is not UTF-8 and for too many details;
// p is then the zero value.
func (p *Proto) UnmarshalFrom(b []byte) error {
	*p = Proto{}
	err := fields.Each(b, func(f fields.Field) (err error) {
		switch {
		case f.Is(1, protowire.VarintType):
			p.Code = int32(f.N)
		case f.Is(2, protowire.BytesType):
			p.Message, err = fields.Text("message", f, math.MaxInt32)
		case f.Is(3, protowire.BytesType):
			if len(p.Details) == maxDetails {
				return fmt.Errorf("details: %w of %d", fields.ErrTooLong, maxDetails)
			}
			var detail Any
			if err = detail.UnmarshalFrom(f.B); err == nil {
				p.Details = append(p.Details, detail)
			}
		}
		return err
	})
	if err != nil {
		*p = Proto{}
		return fmt.Errorf("status: google.rpc.Status: %w", err)
	}
	return nil
}
