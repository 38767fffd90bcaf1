package status_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire/fields"
)

// schema describes the messages for protobuf's own implementation. Their names stay
// unregistered.
const schema = `
name: "status_test.proto" package: "status_test" syntax: "proto3"
message_type { name: "Any"
  field { name: "type_url" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "value"    number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL } }
message_type { name: "Status"
  field { name: "code"    number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "message" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "details" number: 3 type: TYPE_MESSAGE type_name: ".status_test.Any" label: LABEL_REPEATED } }
`

var protoMessages = map[string]func() vectors.Codec{
	"Status": func() vectors.Codec { return new(status.Proto) },
	"Any":    func() vectors.Codec { return new(status.Any) },
}

func TestProtoVectors(t *testing.T) { vectors.RunMessages(t, "status", protoMessages) }

// FuzzProto checks that what is decoded can be encoded and decoded again, and that
// the result is the same as with protobuf's own implementation.
func FuzzProto(f *testing.F) {
	for _, v := range vectors.LoadMessages(f, "status") {
		f.Add(v.Input)
	}
	var fd descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(schema), &fd); err != nil {
		f.Fatal(err)
	}
	file, err := protodesc.NewFile(&fd, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		for name, newMessage := range protoMessages {
			vectors.AgainstProtobuf(t, file.Messages().ByName(protoreflect.Name(name)), input, newMessage())
			vectors.RoundTrip(t, input, newMessage)
		}
	})
}

// TestAppendRefuses checks that what could not be decoded is not encoded either, and
// that the buffer is then unchanged.
func TestAppendRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		message vectors.Codec
		want    error
	}{
		"message not UTF-8":    {&status.Proto{Message: "\xff"}, fields.ErrUTF8},
		"type URL not UTF-8":   {&status.Any{TypeURL: "\xff"}, fields.ErrUTF8},
		"detail not UTF-8":     {&status.Proto{Code: 1, Details: []status.Any{{TypeURL: "\xff"}}}, fields.ErrUTF8},
		"more than 1024 of it": {&status.Proto{Details: make([]status.Any, 1024+1)}, fields.ErrTooLong},
	} {
		b, err := c.message.AppendTo([]byte("before"))
		if !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "status: google.") {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		vectors.WantText(t, name, string(b), "before")
	}
}
