package reflection_test

import (
	_ "embed"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/reflection"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	// Their files are among those that the encoder is tested on.
	_ "google.golang.org/protobuf/types/gofeaturespb"
	_ "google.golang.org/protobuf/types/known/apipb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
	_ "google.golang.org/protobuf/types/pluginpb"
)

//go:embed testdata/sample.binpb
var sampleSet []byte

// editions is a file of edition 2023, which Debian's protoc does not support. Its
// features differ from the defaults wherever they can.
const editions = `
	name: "sample/editions.proto"
	package: "sample.editions"
	syntax: "editions"
	edition: EDITION_2023
	message_type {
		name: "All"
		field { name: "plain" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "plain" }
		field {
			name: "implicit" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "implicit"
			options { features { field_presence: IMPLICIT } }
		}
		field {
			name: "needed" number: 3 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "needed"
			options { features { field_presence: LEGACY_REQUIRED } }
		}
		field { name: "packed" number: 4 type: TYPE_INT32 label: LABEL_REPEATED json_name: "packed" }
		field {
			name: "expanded" number: 5 type: TYPE_INT32 label: LABEL_REPEATED json_name: "expanded"
			options { features { repeated_field_encoding: EXPANDED } }
		}
		field {
			name: "delimited" number: 6 type: TYPE_MESSAGE type_name: ".sample.editions.All" label: LABEL_OPTIONAL json_name: "delimited"
			options { features { message_encoding: DELIMITED } }
		}
		field { name: "closed" number: 7 type: TYPE_ENUM type_name: ".sample.editions.Closed" label: LABEL_OPTIONAL json_name: "closed" }
		field { name: "open" number: 8 type: TYPE_ENUM type_name: ".sample.editions.Open" label: LABEL_REPEATED json_name: "open" }
		field { name: "one" number: 9 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 json_name: "one" }
		field { name: "all" number: 10 type: TYPE_MESSAGE type_name: ".sample.editions.All" label: LABEL_REPEATED json_name: "all" }
		field {
			name: "groups" number: 11 type: TYPE_MESSAGE type_name: ".sample.editions.All" label: LABEL_REPEATED json_name: "groups"
			options { features { message_encoding: DELIMITED } }
		}
		oneof_decl { name: "choice" }
		extension_range { start: 100 end: 200 options { verification: UNVERIFIED } }
	}
	enum_type {
		name: "Closed"
		value { name: "FIRST" number: 1 }
		options { features { enum_type: CLOSED } }
	}
	enum_type {
		name: "Open"
		value { name: "ZERO" number: 0 }
	}`

// sampleFiles returns the files of testdata and the one above.
func sampleFiles(t testing.TB) *protoregistry.Files {
	t.Helper()
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(sampleSet, &set); err != nil {
		t.Fatal(err)
	}
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(editions), &file); err != nil {
		t.Fatal(err)
	}
	set.File = append(set.File, &file)
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// partial is a file in protobuf's registry with an import that the program
// lacks, as of a package whose import was dropped.
const partial = `
	name: "partial.proto"
	package: "partial"
	dependency: "gone.proto"
	dependency: "google/protobuf/struct.proto"
	syntax: "proto3"
	message_type {
		name: "M"
		field { name: "full" number: 1 type: TYPE_MESSAGE type_name: ".gone.Message" label: LABEL_OPTIONAL json_name: "full" }
		field { name: "relative" number: 2 type: TYPE_MESSAGE type_name: "gone.Message" label: LABEL_OPTIONAL json_name: "relative" }
		field { name: "there" number: 3 type: TYPE_MESSAGE type_name: ".google.protobuf.Value" label: LABEL_OPTIONAL json_name: "there" }
	}`

// registerPartial registers it, once.
var registerPartial = sync.OnceValue(func() error {
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(partial), &file); err != nil {
		return err
	}
	fd, err := protodesc.FileOptions{AllowUnresolvable: true}.New(&file, protoregistry.GlobalFiles)
	if err != nil {
		return err
	}
	return protoregistry.GlobalFiles.RegisterFile(fd)
})

// corpus returns every file at hand: those above, and what protobuf's own
// packages have registered.
func corpus(t testing.TB) []protoreflect.FileDescriptor {
	t.Helper()
	var all []protoreflect.FileDescriptor
	add := func(fd protoreflect.FileDescriptor) bool {
		all = append(all, fd)
		return true
	}
	sampleFiles(t).RangeFiles(add)
	if len(all) != 4 {
		t.Fatalf("%d sample files, want 4", len(all))
	}
	if err := registerPartial(); err != nil {
		t.Fatal(err)
	}
	protoregistry.GlobalFiles.RangeFiles(add)
	if len(all) < 10 {
		t.Fatalf("%d files are too few to mean anything", len(all))
	}
	return all
}

// decode parses a FileDescriptorProto, which must be complete.
func decode(t testing.TB, b []byte) *descriptorpb.FileDescriptorProto {
	t.Helper()
	var file descriptorpb.FileDescriptorProto
	if err := proto.Unmarshal(b, &file); err != nil {
		t.Fatalf("the encoded file is malformed: %v", err)
	}
	eachMessage(file.ProtoReflect(), func(m protoreflect.Message) {
		if unknown := m.GetUnknown(); len(unknown) != 0 {
			t.Errorf("%s has unknown fields %x", m.Descriptor().FullName(), unknown)
		}
	})
	return &file
}

// eachMessage calls visit for m and all messages within it.
func eachMessage(m protoreflect.Message, visit func(protoreflect.Message)) {
	visit(m)
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() == nil || fd.IsMap():
		case fd.IsList():
			for i := range v.List().Len() {
				eachMessage(v.List().Get(i).Message(), visit)
			}
		default:
			eachMessage(v.Message(), visit)
		}
		return true
	})
}

// reference returns the file as protodesc encodes it, without what this
// package leaves out by design.
func reference(fd protoreflect.FileDescriptor, options bool) *descriptorpb.FileDescriptorProto {
	file := protodesc.ToFileDescriptorProto(fd)
	file.SourceCodeInfo = nil
	eachMessage(file.ProtoReflect(), func(m protoreflect.Message) {
		if field, ok := m.Interface().(*descriptorpb.FieldDescriptorProto); ok && field.Extendee != nil {
			field.JsonName = nil
		}
		if !options {
			clearOptions(m)
		}
	})
	return file
}

func clearOptions(m protoreflect.Message) {
	if fd := m.Descriptor().Fields().ByName("options"); fd != nil {
		m.Clear(fd)
	}
}

func TestEncodeEqualsProtodesc(t *testing.T) {
	for _, fd := range corpus(t) {
		got := decode(t, reflection.EncodeFile(fd, true))
		if want := reference(fd, true); !proto.Equal(got, want) {
			t.Errorf("%s: encoded\n%v\nwant\n%v", fd.Path(), got, want)
		}
	}
}

// TestEncodeWithoutOptions encodes as in a program without the descriptor
// package. The files differ in their options only, and a client builds the
// same types from them.
func TestEncodeWithoutOptions(t *testing.T) {
	var lean descriptorpb.FileDescriptorSet
	originals := corpus(t)
	for _, fd := range originals {
		file := decode(t, reflection.EncodeFile(fd, false))
		lean.File = append(lean.File, proto.CloneOf(file))
		eachMessage(file.ProtoReflect(), clearOptions)
		if want := reference(fd, false); !proto.Equal(file, want) {
			t.Errorf("%s: encoded\n%v\nwant\n%v", fd.Path(), file, want)
		}
	}
	rebuilt, err := protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(&lean)
	if err != nil {
		t.Fatalf("a client cannot use the files: %v", err)
	}
	for _, want := range originals {
		got, err := rebuilt.FindFileByPath(want.Path())
		if err != nil {
			t.Error(err)
			continue
		}
		compareTypes(t, got, want)
	}
}

// types is the common part of files and messages.
type types interface {
	Messages() protoreflect.MessageDescriptors
	Enums() protoreflect.EnumDescriptors
	Extensions() protoreflect.ExtensionDescriptors
}

// compareTypes checks that the types of got are encoded as those of want.
func compareTypes(t *testing.T, got, want types) {
	t.Helper()
	for i := range want.Enums().Len() {
		g, w := got.Enums().Get(i), want.Enums().Get(i)
		if g.IsClosed() != w.IsClosed() {
			t.Errorf("%s: closed is %v, want %v", w.FullName(), g.IsClosed(), w.IsClosed())
		}
	}
	for i := range want.Extensions().Len() {
		compareField(t, got.Extensions().Get(i), want.Extensions().Get(i))
	}
	for i := range want.Messages().Len() {
		g, w := got.Messages().Get(i), want.Messages().Get(i)
		if g.IsMapEntry() != w.IsMapEntry() {
			t.Errorf("%s: map entry is %v, want %v", w.FullName(), g.IsMapEntry(), w.IsMapEntry())
		}
		for j := range w.Fields().Len() {
			compareField(t, g.Fields().Get(j), w.Fields().Get(j))
		}
		compareTypes(t, g, w)
	}
}

func compareField(t *testing.T, got, want protoreflect.FieldDescriptor) {
	t.Helper()
	type shape struct {
		name          protoreflect.FullName
		number        protoreflect.FieldNumber
		kind          protoreflect.Kind
		cardinality   protoreflect.Cardinality
		presence      bool
		packed        bool
		isMap, isList bool
		hasDefault    bool
		json          string
		defaultValue  string
	}
	of := func(f protoreflect.FieldDescriptor) shape {
		return shape{f.FullName(), f.Number(), f.Kind(), f.Cardinality(), f.HasPresence(), f.IsPacked(),
			f.IsMap(), f.IsList(), f.HasDefault(), f.JSONName(), f.Default().String()}
	}
	if g, w := of(got), of(want); g != w {
		t.Errorf("a client sees the field %+v, want %+v", g, w)
	}
}
