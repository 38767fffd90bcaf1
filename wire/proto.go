package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Errors of the protobuf messages of this package, for errors.Is.
var (
	// ErrMessage reports bytes that are not a protobuf message.
	ErrMessage = errors.New("malformed protobuf message")
	// ErrUTF8 reports a string field that is not UTF-8.
	ErrUTF8 = errors.New("string field is not UTF-8")
	// ErrTooLong reports a field over its limit.
	ErrTooLong = errors.New("field is over its limit")
)

// field is one field of a protobuf message. n holds a varint's value, b the
// bytes of a length-delimited field, which alias the input.
type field struct {
	num protowire.Number
	typ protowire.Type
	n   uint64
	b   []byte
}

// is reports whether f is field num with wire type typ. A known number with
// another type is an unknown field, as in every protobuf implementation.
func (f field) is(num protowire.Number, typ protowire.Type) bool {
	return f.num == num && f.typ == typ
}

// eachField calls visit for every varint and length-delimited field of b in
// order, and skips the other wire types, which no message here uses. It stops
// at the first error.
func eachField(b []byte, visit func(field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		// ConsumeTag lets numbers pass that no schema may use.
		if n < 0 || num > protowire.MaxValidNumber {
			return fmt.Errorf("%w: bad tag", ErrMessage)
		}
		b = b[n:]
		f := field{num: num, typ: typ}
		switch typ {
		case protowire.VarintType:
			f.n, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.b, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return fmt.Errorf("%w: bad value of field %d", ErrMessage, num)
		}
		b = b[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// textField returns f's bytes as a string of at most max bytes of UTF-8.
func textField(name string, f field, max int) (string, error) {
	if err := checkText(name, f.b, max); err != nil {
		return "", err
	}
	return string(f.b), nil
}

func checkText[T string | []byte](name string, s T, max int) error {
	if len(s) > max {
		return fmt.Errorf("%s: %w of %d bytes", name, ErrTooLong, max)
	}
	if !utf8.ValidString(string(s)) {
		return fmt.Errorf("%s: %w", name, ErrUTF8)
	}
	return nil
}

// appendText appends a string field, which proto3 leaves out when empty.
func appendText(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendString(b, s)
}

// appendUint appends a varint field, which proto3 leaves out when zero.
func appendUint(b []byte, num protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.VarintType)
	return protowire.AppendVarint(b, n)
}

// appendBool appends a bool field, which proto3 leaves out when false.
func appendBool(b []byte, num protowire.Number, v bool) []byte {
	return appendUint(b, num, protowire.EncodeBool(v))
}

// appendBytes appends a bytes field, which proto3 leaves out when empty.
func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendBytes(b, v)
}
