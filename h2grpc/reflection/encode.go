package reflection

import (
	"strings"

	"github.com/tenonrpc/tenon/wire/fields"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// encoder turns the descriptors of protobuf's registry back into serialized
// FileDescriptorProtos. The registry does not return the bytes that it was made from,
// and protodesc.ToFileDescriptorProto would link the descriptor package into every
// plugin: 220 kB of code, 0.6 ms of each start and 0.6 MB of resident memory. The
// encoder does the same on protowire. Its output equals that of protodesc, except for
// comments, which are left out, and for options if the program does not link the
// descriptor package; see options.go.
type encoder struct {
	options bool // the program links the descriptor package
}

// file returns fd as a FileDescriptorProto.
func (e encoder) file(fd protoreflect.FileDescriptor) []byte {
	b := fields.AppendPresent(nil, fileName, fd.Path())
	if fd.Package() != "" {
		b = fields.AppendPresent(b, filePackage, string(fd.Package()))
	}
	for i, list := 0, fd.Imports(); i < list.Len(); i++ {
		imported := list.Get(i)
		b = fields.AppendPresent(b, fileDependency, imported.Path())
		if imported.IsPublic {
			b = appendInt(b, filePublicDependency, int32(i))
		}
	}
	for i, list := 0, fd.Messages(); i < list.Len(); i++ {
		m := list.Get(i)
		b = fields.AppendPresent(b, fileMessage, e.message(m))
	}
	for i, list := 0, fd.Enums(); i < list.Len(); i++ {
		enum := list.Get(i)
		b = fields.AppendPresent(b, fileEnum, e.enum(enum))
	}
	for i, list := 0, fd.Services(); i < list.Len(); i++ {
		s := list.Get(i)
		b = fields.AppendPresent(b, fileService, e.service(s))
	}
	for i, list := 0, fd.Extensions(); i < list.Len(); i++ {
		x := list.Get(i)
		b = fields.AppendPresent(b, fileExtension, e.field(x))
	}
	b = appendOptions(b, fileOptions, e.plain(fd))
	if fd.Syntax() != protoreflect.Proto2 {
		b = fields.AppendPresent(b, fileSyntax, fd.Syntax().String())
	}
	if fd.Syntax() == protoreflect.Editions {
		b = appendEdition(b, fd)
	}
	return b
}

// appendEdition appends the fields that only files of an edition have. protoreflect
// has no methods for them; protodesc asks in the same way.
func appendEdition(b []byte, fd protoreflect.FileDescriptor) []byte {
	if f, ok := fd.(interface{ Edition() int32 }); ok {
		b = appendInt(b, fileEdition, f.Edition())
	}
	if f, ok := fd.(interface {
		OptionImports() protoreflect.FileImports
	}); ok {
		for i, list := 0, f.OptionImports(); i < list.Len(); i++ {
			imported := list.Get(i)
			b = fields.AppendPresent(b, fileOptionDependency, imported.Path())
		}
	}
	return b
}

// message returns m as a DescriptorProto.
func (e encoder) message(m protoreflect.MessageDescriptor) []byte {
	b := fields.AppendPresent(nil, messageName, string(m.Name()))
	for i, list := 0, m.Fields(); i < list.Len(); i++ {
		f := list.Get(i)
		b = fields.AppendPresent(b, messageField, e.field(f))
	}
	for i, list := 0, m.Messages(); i < list.Len(); i++ {
		nested := list.Get(i)
		b = fields.AppendPresent(b, messageNested, e.message(nested))
	}
	for i, list := 0, m.Enums(); i < list.Len(); i++ {
		enum := list.Get(i)
		b = fields.AppendPresent(b, messageEnum, e.enum(enum))
	}
	for i, list := 0, m.ExtensionRanges(); i < list.Len(); i++ {
		r := list.Get(i)
		body := appendRange(nil, int32(r[0]), int32(r[1]))
		body = appendOptions(body, rangeOptions, e.extensionRange(m, i))
		b = fields.AppendPresent(b, messageExtensionRange, body)
	}
	for i, list := 0, m.Extensions(); i < list.Len(); i++ {
		x := list.Get(i)
		b = fields.AppendPresent(b, messageExtension, e.field(x))
	}
	b = appendOptions(b, messageOptions, e.messageOptions(m))
	for i, list := 0, m.Oneofs(); i < list.Len(); i++ {
		o := list.Get(i)
		body := fields.AppendPresent(nil, oneofName, string(o.Name()))
		body = appendOptions(body, oneofOptions, e.plain(o))
		b = fields.AppendPresent(b, messageOneof, body)
	}
	for i, list := 0, m.ReservedRanges(); i < list.Len(); i++ {
		r := list.Get(i)
		b = fields.AppendPresent(b, messageReservedRange, appendRange(nil, int32(r[0]), int32(r[1])))
	}
	for i, list := 0, m.ReservedNames(); i < list.Len(); i++ {
		name := list.Get(i)
		b = fields.AppendPresent(b, messageReservedName, string(name))
	}
	return appendVisibility(b, messageVisibility, m)
}

// field returns f, a field or an extension, as a FieldDescriptorProto.
func (e encoder) field(f protoreflect.FieldDescriptor) []byte {
	syntax := f.ParentFile().Syntax()
	label, kind := f.Cardinality(), f.Kind()
	if syntax == protoreflect.Editions {
		// Editions express both with features.
		if label == protoreflect.Required {
			label = protoreflect.Optional
		}
		if kind == protoreflect.GroupKind {
			kind = protoreflect.MessageKind
		}
	}
	b := fields.AppendPresent(nil, fieldName, string(f.Name()))
	if f.IsExtension() {
		b = fields.AppendPresent(b, fieldExtendee, reference(f.ContainingMessage()))
	}
	b = appendInt(b, fieldNumber, int32(f.Number()))
	b = appendInt(b, fieldLabel, int32(label)) // protoreflect's numbers are those of descriptor.proto
	if kind.IsValid() {
		b = appendInt(b, fieldType, int32(kind))
	}
	if f.Enum() != nil {
		b = fields.AppendPresent(b, fieldTypeName, reference(f.Enum()))
	}
	if f.Message() != nil {
		b = fields.AppendPresent(b, fieldTypeName, reference(f.Message()))
	}
	if f.HasDefault() {
		b = fields.AppendPresent(b, fieldDefault, defaultText(f))
	}
	b = appendOptions(b, fieldOptions, e.fieldOptions(f))
	if oneof := f.ContainingOneof(); oneof != nil {
		b = appendInt(b, fieldOneofIndex, int32(oneof.Index()))
	}
	if f.HasJSONName() && !f.IsExtension() { // extensions have no name in JSON
		b = fields.AppendPresent(b, fieldJSONName, f.JSONName())
	}
	if syntax == protoreflect.Proto3 && f.HasOptionalKeyword() {
		b = appendInt(b, fieldProto3Optional, 1)
	}
	return b
}

// enum returns d as an EnumDescriptorProto.
func (e encoder) enum(d protoreflect.EnumDescriptor) []byte {
	b := fields.AppendPresent(nil, enumName, string(d.Name()))
	for i, list := 0, d.Values(); i < list.Len(); i++ {
		v := list.Get(i)
		body := fields.AppendPresent(nil, valueName, string(v.Name()))
		body = appendInt(body, valueNumber, int32(v.Number()))
		body = appendOptions(body, valueOptions, e.plain(v))
		b = fields.AppendPresent(b, enumValue, body)
	}
	b = appendOptions(b, enumOptions, e.enumOptions(d))
	for i, list := 0, d.ReservedRanges(); i < list.Len(); i++ {
		r := list.Get(i)
		b = fields.AppendPresent(b, enumReservedRange, appendRange(nil, int32(r[0]), int32(r[1])))
	}
	for i, list := 0, d.ReservedNames(); i < list.Len(); i++ {
		name := list.Get(i)
		b = fields.AppendPresent(b, enumReservedName, string(name))
	}
	return appendVisibility(b, enumVisibility, d)
}

// service returns s as a ServiceDescriptorProto.
func (e encoder) service(s protoreflect.ServiceDescriptor) []byte {
	b := fields.AppendPresent(nil, serviceName, string(s.Name()))
	for i, list := 0, s.Methods(); i < list.Len(); i++ {
		m := list.Get(i)
		body := fields.AppendPresent(nil, methodName, string(m.Name()))
		body = fields.AppendPresent(body, methodInput, reference(m.Input()))
		body = fields.AppendPresent(body, methodOutput, reference(m.Output()))
		body = appendOptions(body, methodOptions, e.plain(m))
		if m.IsStreamingClient() {
			body = appendInt(body, methodClientStreaming, 1)
		}
		if m.IsStreamingServer() {
			body = appendInt(body, methodServerStreaming, 1)
		}
		b = fields.AppendPresent(b, serviceMethod, body)
	}
	return appendOptions(b, serviceOptions, e.plain(s))
}

// unresolved begins the name of a type whose file is not linked and to which the file
// refers by a relative name. The name of a type has no asterisk.
const unresolved = "*."

// reference returns the name by which other descriptors refer to d: with a leading
// dot, which marks it as a full name.
func reference(d protoreflect.Descriptor) string {
	if name, ok := strings.CutPrefix(string(d.FullName()), unresolved); ok {
		return name
	}
	return "." + string(d.FullName())
}

// appendVisibility appends the visibility that messages and enums of edition
// 2024 may declare. protoreflect has no method for it; protodesc asks in the
// same way.
func appendVisibility(b []byte, num protowire.Number, d protoreflect.Descriptor) []byte {
	if v, ok := d.(interface{ Visibility() int32 }); ok && v.Visibility() > 0 {
		b = appendInt(b, num, v.Visibility())
	}
	return b
}

func appendRange(b []byte, start, end int32) []byte {
	return appendInt(appendInt(b, rangeStart, start), rangeEnd, end)
}

func appendInt(b []byte, num protowire.Number, v int32) []byte {
	b = protowire.AppendTag(b, num, protowire.VarintType)
	return protowire.AppendVarint(b, uint64(int64(v)))
}
