// Package fields reads and appends fields of protobuf messages that are encoded by hand
// because their names must not be in protobuf's registry. It follows proto3's rules:
// unknown fields are checked for form and skipped, and empty fields are left out. All
// functions may be called concurrently.
//
// Source: https://protobuf.dev/programming-guides/encoding/
package fields

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The kinds of errors of a message, for errors.Is.
var (
	// ErrMessage reports bytes that are not a protobuf message.
	ErrMessage = errors.New("malformed protobuf message")
	// ErrUTF8 reports a string field that is not UTF-8.
	ErrUTF8 = errors.New("string field is not UTF-8")
	// ErrTooLong reports a field over its limit.
	ErrTooLong = errors.New("field is over its limit")
)

// Field is one field of a message. N is the value of a varint, B the bytes of a
// length-delimited field, which alias the input.
type Field struct {
	Num protowire.Number
	Typ protowire.Type
	N   uint64
	B   []byte
}

// Is reports whether f is field num with wire type typ. A known number with another type
// is an unknown field, as in every protobuf implementation.
func (f Field) Is(num protowire.Number, typ protowire.Type) bool {
	return f.Num == num && f.Typ == typ
}

// Each calls visit for every field of b in order, and returns visit's first error. N and
// B are set for varints and length-delimited fields only. If b is not a message, the
// error wraps ErrMessage.
func Each(b []byte, visit func(Field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		// ConsumeTag accepts numbers that no schema may use.
		if n < 0 || num > protowire.MaxValidNumber {
			return fmt.Errorf("%w: bad tag", ErrMessage)
		}
		b = b[n:]
		f := Field{Num: num, Typ: typ}
		switch typ {
		case protowire.VarintType:
			f.N, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.B, n = protowire.ConsumeBytes(b)
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

// Text returns f's bytes as a string of at most max bytes of UTF-8. The errors
// are those of CheckText.
func Text(name string, f Field, max int) (string, error) {
	if err := CheckText(name, f.B, max); err != nil {
		return "", err
	}
	return string(f.B), nil
}

// CheckText returns an error with the field's name if s has more than max bytes
// or is not UTF-8: ErrTooLong or ErrUTF8.
func CheckText[T string | []byte](name string, s T, max int) error {
	if len(s) > max {
		return fmt.Errorf("%s: %w of %d bytes", name, ErrTooLong, max)
	}
	if !utf8.ValidString(string(s)) {
		return fmt.Errorf("%s: %w", name, ErrUTF8)
	}
	return nil
}

// AppendBytes appends a string, bytes or message field, unless it is empty, as in proto3.
func AppendBytes[T string | []byte](b []byte, num protowire.Number, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return AppendPresent(b, num, v)
}

// AppendPresent appends such a field even if it is empty, as map entries, members of a
// oneof and repeated fields require.
func AppendPresent[T string | []byte](b []byte, num protowire.Number, v T) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}

// AppendUint appends a varint field, unless it is zero, as in proto3.
func AppendUint(b []byte, num protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.VarintType)
	return protowire.AppendVarint(b, n)
}

// AppendInt32 appends an int32 or an enum, encoded as the varint of its sign-extended
// value, unless it is zero.
func AppendInt32(b []byte, num protowire.Number, v int32) []byte {
	return AppendUint(b, num, uint64(int64(v)))
}

// AppendBool appends a bool field, unless it is false, as in proto3.
func AppendBool(b []byte, num protowire.Number, v bool) []byte {
	return AppendUint(b, num, protowire.EncodeBool(v))
}
