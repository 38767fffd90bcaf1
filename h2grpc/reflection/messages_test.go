package reflection_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/reflection"
	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire/fields"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// messages are those of the service's own file, as a client has them.
var messages = sync.OnceValue(func() protoreflect.MessageDescriptors {
	b, err := os.ReadFile("descriptors.binpb")
	if err != nil {
		panic(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(b, &set); err != nil {
		panic(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		panic(err)
	}
	fd, err := files.FindFileByPath("grpc/reflection/v1/reflection.proto")
	if err != nil {
		panic(err)
	}
	return fd.Messages()
})

// The fields of the oneofs in requests and responses.
const (
	fileByFilename          = "file_by_filename"
	fileContainingSymbol    = "file_containing_symbol"
	fileContainingExtension = "file_containing_extension"
	allExtensionNumbers     = "all_extension_numbers_of_type"
	listServices            = "list_services"

	filesResponse    = "file_descriptor_response"
	numbersResponse  = "all_extension_numbers_response"
	servicesResponse = "list_services_response"
	errorResponse    = "error_response"
)

// request is a client's request; protobuf's own implementation encodes it.
type request struct {
	Host            string
	Kind            protoreflect.Name
	Name            string
	ExtensionNumber int32
}

func (r *request) AppendTo(b []byte) ([]byte, error) {
	m := dynamicpb.NewMessage(messages().ByName("ServerReflectionRequest"))
	field := func(name protoreflect.Name) protoreflect.FieldDescriptor { return m.Descriptor().Fields().ByName(name) }
	m.Set(field("host"), protoreflect.ValueOfString(r.Host))
	switch r.Kind {
	case "":
	case fileContainingExtension:
		x := m.Mutable(field(r.Kind)).Message()
		x.Set(x.Descriptor().Fields().ByName("containing_type"), protoreflect.ValueOfString(r.Name))
		x.Set(x.Descriptor().Fields().ByName("extension_number"), protoreflect.ValueOfInt32(r.ExtensionNumber))
	default:
		m.Set(field(r.Kind), protoreflect.ValueOfString(r.Name))
	}
	return proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, m)
}

func (*request) UnmarshalFrom([]byte) error { return errors.New("not for clients") }

// response is a response as a client decodes it, again with protobuf's own
// implementation.
type response struct {
	ValidHost        string
	OriginalRequest  []byte
	Kind             protoreflect.Name
	Files            [][]byte
	TypeName         string
	ExtensionNumbers []int32
	Services         []string
	ErrorCode        int32
	ErrorMessage     string
}

func (*response) AppendTo([]byte) ([]byte, error) { return nil, errors.New("not for clients") }

func (r *response) UnmarshalFrom(b []byte) error {
	m := dynamicpb.NewMessage(messages().ByName("ServerReflectionResponse"))
	if err := proto.Unmarshal(b, m); err != nil {
		return err
	}
	canonical, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil || !bytes.Equal(b, canonical) {
		return fmt.Errorf("the response %x is, as protobuf writes it, %x (%v)", b, canonical, err)
	}
	get := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(name))
	}
	*r = response{ValidHost: get(m, "valid_host").String()}
	if r.OriginalRequest, err = (proto.MarshalOptions{Deterministic: true}).Marshal(get(m, "original_request").Message().Interface()); err != nil {
		return err
	}
	kind := m.WhichOneof(m.Descriptor().Oneofs().ByName("message_response"))
	if kind == nil {
		return errors.New("the response is none")
	}
	r.Kind = kind.Name()
	body := m.Get(kind).Message()
	switch r.Kind {
	case filesResponse:
		for i, list := 0, get(body, "file_descriptor_proto").List(); i < list.Len(); i++ {
			r.Files = append(r.Files, list.Get(i).Bytes())
		}
	case numbersResponse:
		r.TypeName = get(body, "base_type_name").String()
		for i, list := 0, get(body, "extension_number").List(); i < list.Len(); i++ {
			r.ExtensionNumbers = append(r.ExtensionNumbers, int32(list.Get(i).Int()))
		}
	case servicesResponse:
		for i, list := 0, get(body, "service").List(); i < list.Len(); i++ {
			r.Services = append(r.Services, get(list.Get(i).Message(), "name").String())
		}
	case errorResponse:
		r.ErrorCode = int32(get(body, "error_code").Int())
		r.ErrorMessage = get(body, "error_message").String()
	}
	return nil
}

var read = map[string]func() vectors.Codec{
	"ReflectionRequest": func() vectors.Codec { return new(reflection.Request) },
}

func TestRequestVectors(t *testing.T) {
	vectors.RunMessages(t, "reflection", read)
}

// FuzzRequest compares decoding, and encoding again, with protobuf's own
// implementation, on the same bytes.
func FuzzRequest(f *testing.F) {
	for _, v := range vectors.LoadMessages(f, "reflection") {
		f.Add(v.Input)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		vectors.RoundTrip(t, input, read["ReflectionRequest"])
		vectors.AgainstProtobuf(t, messages().ByName("ServerReflectionRequest"), input, new(reflection.Request))
	})
}

// TestResponseLimits fills each list of a response to its limit and past it.
func TestResponseLimits(t *testing.T) {
	const most = 1 << 16
	for i, err := range reflection.Respond(most, most, make([]string, most)...) {
		if err != nil {
			t.Errorf("a full list: %d gave %v", i, err)
		}
	}
	for i, err := range reflection.Respond(most+1, most+1, make([]string, most+1)...) {
		if !errors.Is(err, fields.ErrTooLong) || strings.Contains(err.Error(), "after") {
			t.Errorf("one item too many: %d gave %v", i, err)
		}
	}
	for name, want := range map[string]error{
		strings.Repeat("a", 4<<10):   nil,
		strings.Repeat("a", 4<<10+1): fields.ErrTooLong,
		"\xff":                       fields.ErrUTF8,
	} {
		if err := reflection.Respond(0, 0, "ok", name)[2]; !errors.Is(err, want) {
			t.Errorf("a service called %.10q: %v, want %v", name, err, want)
		}
	}
}
