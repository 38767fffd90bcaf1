package health_test

import (
	"maps"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/health"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// file returns the health service's file.
func file(t testing.TB) protoreflect.FileDescriptor {
	t.Helper()
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(health.Descriptors(), &set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		t.Fatal(err)
	}
	// The path is the same as in other implementations.
	fd, err := files.FindFileByPath("grpc/health/v1/health.proto")
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// TestDescriptorsMatchService compares the descriptors for reflection with what is
// registered.
func TestDescriptorsMatchService(t *testing.T) {
	desc := register(health.NewServer()).desc
	shown := file(t).Services().Get(0)
	if string(shown.FullName()) != desc.ServiceName {
		t.Errorf("the service is %s, and registered as %s", shown.FullName(), desc.ServiceName)
	}
	type kind struct{ client, server bool }
	registered, described := make(map[string]kind), make(map[string]kind)
	for _, m := range desc.Methods {
		registered[m.MethodName] = kind{}
	}
	for _, s := range desc.Streams {
		registered[s.StreamName] = kind{s.ClientStreams, s.ServerStreams}
	}
	for i := range shown.Methods().Len() {
		m := shown.Methods().Get(i)
		described[string(m.Name())] = kind{m.IsStreamingClient(), m.IsStreamingServer()}
	}
	if !maps.Equal(registered, described) {
		t.Errorf("registered %v, described %v", registered, described)
	}
}

func TestNothingIsRegistered(t *testing.T) {
	if d, err := protoregistry.GlobalFiles.FindDescriptorByName("grpc.health.v1.Health"); err == nil {
		t.Errorf("%s is in protobuf's registry", d.FullName())
	}
	health.Descriptors()[0] = 0
	if health.Descriptors()[0] == 0 {
		t.Error("a caller can change the descriptors")
	}
}

// TestWireMatchesDescriptors encodes with one side and decodes with the other.
func TestWireMatchesDescriptors(t *testing.T) {
	messages := file(t).Messages()
	type message interface {
		AppendTo([]byte) ([]byte, error)
		UnmarshalFrom([]byte) error
	}
	for _, c := range []struct {
		name string
		wire message
		text string
	}{
		{"HealthCheckRequest", &health.CheckRequest{Service: "plugin"}, `service:"plugin"`},
		{"HealthCheckResponse", &health.CheckResponse{Status: health.NotServing}, `status:NOT_SERVING`},
		{"HealthCheckResponse", &health.CheckResponse{Status: health.ServiceUnknown}, `status:SERVICE_UNKNOWN`},
		{"HealthListRequest", &health.ListRequest{}, ``},
		{"HealthListResponse", &health.ListResponse{Statuses: map[string]health.Status{"": 1, "a": 0}},
			`statuses:{key:"" value:{status:SERVING}} statuses:{key:"a" value:{}}`},
	} {
		want := dynamicpb.NewMessage(messages.ByName(protoreflect.Name(c.name)))
		if err := prototext.Unmarshal([]byte(c.text), want); err != nil {
			t.Fatal(err)
		}
		b, err := c.wire.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		got := dynamicpb.NewMessage(want.Descriptor())
		if err := proto.Unmarshal(b, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: protobuf reads %v (%v), want %v", c.name, got, err, want)
		}
		theirs, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
		if err != nil || string(theirs) != string(b) {
			t.Errorf("%s: wire writes %x, protobuf %x (%v)", c.name, b, theirs, err)
		}
	}
}
