package reflection

import (
	"fmt"
	"math"
	"strconv"

	"github.com/tenonrpc/tenon/wire/fields"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A descriptor's options can be read only if the program links the descriptor
// package; without it their accessor panics. Programs with custom options link it,
// since the generated code of those options needs it. In other programs the encoder
// rebuilds, from protoreflect's view of the descriptor, the options without which a
// client would reject the file or encode messages differently: map entries, packing,
// aliases of enum values, and of the features of an edition those of presence,
// packing, delimiting and closed enums. The others, such as `deprecated` and the
// names for other languages, are left out.

// linksOptions reports whether the program links the descriptor package, which has
// the types of the options.
func linksOptions() bool {
	_, err := protoregistry.GlobalTypes.FindMessageByName("google.protobuf.FileOptions")
	return err == nil
}

// marshalOptions returns the encoding of m; nil if there is none, which is not the
// same as an empty one.
func marshalOptions(m protoreflect.ProtoMessage) []byte {
	if m == nil || !m.ProtoReflect().IsValid() {
		return nil
	}
	// The only possible error is invalid UTF-8, which would also have kept the
	// descriptor from being parsed.
	b, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(m)
	if err != nil {
		return nil
	}
	if b == nil {
		b = []byte{}
	}
	return b
}

// appendOptions appends an options message unless it is nil.
func appendOptions(b []byte, num protowire.Number, options []byte) []byte {
	if options == nil {
		return b
	}
	return fields.AppendPresent(b, num, options)
}

// plain returns the options of a descriptor that has none which change the encoding.
func (e encoder) plain(d protoreflect.Descriptor) []byte {
	if !e.options {
		return nil
	}
	return marshalOptions(d.Options())
}

// extensionRange returns the options of m's i-th extension range.
func (e encoder) extensionRange(m protoreflect.MessageDescriptor, i int) []byte {
	if !e.options {
		return nil
	}
	return marshalOptions(m.ExtensionRangeOptions(i))
}

func (e encoder) messageOptions(m protoreflect.MessageDescriptor) []byte {
	switch {
	case e.options:
		return marshalOptions(m.Options())
	case m.IsMapEntry():
		return appendInt(nil, optionMapEntry, 1)
	}
	return nil
}

func (e encoder) fieldOptions(f protoreflect.FieldDescriptor) []byte {
	if e.options {
		return marshalOptions(f.Options())
	}
	packed := f.IsPacked()
	switch f.ParentFile().Syntax() {
	case protoreflect.Editions:
		if features := fieldFeatures(f); features != nil {
			return fields.AppendPresent(nil, optionFieldFeatures, features)
		}
	case protoreflect.Proto3:
		if packable(f) && !packed {
			return appendInt(nil, optionPacked, 0)
		}
	default:
		if packed {
			return appendInt(nil, optionPacked, 1)
		}
	}
	return nil
}

// fieldFeatures returns the FeatureSet of a field of an edition: the features in
// which it differs from the defaults of editions 2023 and 2024.
func fieldFeatures(f protoreflect.FieldDescriptor) (b []byte) {
	switch {
	case f.Cardinality() == protoreflect.Required:
		b = appendInt(b, featurePresence, presenceLegacyRequired)
	case f.Cardinality() == protoreflect.Optional && !f.HasPresence():
		b = appendInt(b, featurePresence, presenceImplicit)
	}
	if packable(f) && !f.IsPacked() {
		b = appendInt(b, featureRepeated, repeatedExpanded)
	}
	if f.Kind() == protoreflect.GroupKind {
		b = appendInt(b, featureEncoding, encodingDelimited)
	}
	return b
}

func (e encoder) enumOptions(d protoreflect.EnumDescriptor) (b []byte) {
	if e.options {
		return marshalOptions(d.Options())
	}
	if hasAlias(d) {
		b = appendInt(b, optionAllowAlias, 1)
	}
	if d.ParentFile().Syntax() == protoreflect.Editions && d.IsClosed() {
		b = fields.AppendPresent(b, optionEnumFeatures, appendInt(nil, featureEnumType, enumTypeClosed))
	}
	return b
}

// hasAlias reports whether two of d's values have the same number.
func hasAlias(d protoreflect.EnumDescriptor) bool {
	numbers := make(map[protoreflect.EnumNumber]bool)
	for i, list := 0, d.Values(); i < list.Len(); i++ {
		v := list.Get(i)
		if numbers[v.Number()] {
			return true
		}
		numbers[v.Number()] = true
	}
	return false
}

// packable reports whether f is a repeated field of a scalar number type.
func packable(f protoreflect.FieldDescriptor) bool {
	if f.Cardinality() != protoreflect.Repeated {
		return false
	}
	switch f.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind, protoreflect.GroupKind:
		return false
	}
	return true
}

// defaultText returns f's default value in the form that descriptor.proto
// defines for FieldDescriptorProto.default_value.
func defaultText(f protoreflect.FieldDescriptor) string {
	v := f.Default()
	switch f.Kind() {
	case protoreflect.EnumKind:
		return string(f.DefaultEnumValue().Name())
	case protoreflect.FloatKind:
		return floatText(v.Float(), 32)
	case protoreflect.DoubleKind:
		return floatText(v.Float(), 64)
	case protoreflect.BytesKind:
		return escapeBytes(v.Bytes())
	}
	return v.String() // bools, integers and strings
}

func floatText(f float64, bits int) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	return strconv.FormatFloat(f, 'g', -1, bits)
}

// escapeBytes escapes v as protoc does, like a C string literal.
func escapeBytes(v []byte) string {
	var s []byte
	for _, c := range v {
		switch {
		case c == '\n':
			s = append(s, `\n`...)
		case c == '\r':
			s = append(s, `\r`...)
		case c == '\t':
			s = append(s, `\t`...)
		case c == '"' || c == '\'' || c == '\\':
			s = append(s, '\\', c)
		case c < ' ' || c > '~':
			s = fmt.Appendf(s, `\%03o`, c)
		default:
			s = append(s, c)
		}
	}
	return string(s)
}
