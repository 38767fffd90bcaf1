package wire_test

import (
	"sync"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// controlSchema describes the messages of this package to protobuf's own
// implementation, as the protocol documents them. The names stay unregistered.
const controlSchema = `
name: "wire_test.proto" package: "wire_test" syntax: "proto3"
enum_type { name: "Channel"
  value { name: "INVALID" number: 0 } value { name: "STDOUT" number: 1 } value { name: "STDERR" number: 2 } }
message_type { name: "Empty" }
message_type { name: "ConnInfo"
  field { name: "service_id" number: 1 type: TYPE_UINT32 label: LABEL_OPTIONAL }
  field { name: "network"    number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "address"    number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "knock"      number: 4 type: TYPE_MESSAGE type_name: ".wire_test.Knock" label: LABEL_OPTIONAL } }
message_type { name: "Knock"
  field { name: "knock" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "ack"   number: 2 type: TYPE_BOOL label: LABEL_OPTIONAL }
  field { name: "error" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "StdioData"
  field { name: "channel" number: 1 type: TYPE_ENUM type_name: ".wire_test.Channel" label: LABEL_OPTIONAL }
  field { name: "data"    number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL } }
`

var controlFile = sync.OnceValues(func() (protoreflect.FileDescriptor, error) {
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(controlSchema), &file); err != nil {
		return nil, err
	}
	return protodesc.NewFile(&file, nil)
})
