// Grpcprotos writes a FileDescriptorSet of the protos of grpc-go's
// interoperability tests, which are published inside grpc-go's generated code
// alone. Services that are not tested here are left out, and so is what only
// they need.
package main

import (
	"fmt"
	"os"
	"slices"

	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// services are what the tests call.
var services = []string{"TestService", "UnimplementedService"}

func main() {
	b, err := proto.Marshal(protos(grpc_testing.File_grpc_testing_test_proto))
	if err == nil {
		_, err = os.Stdout.Write(b)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "grpcprotos:", err)
		os.Exit(1)
	}
}

// protos returns what is needed of file and of the files it imports.
func protos(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorSet {
	used := map[protoreflect.FullName]bool{}
	for _, name := range services {
		methods := file.Services().ByName(protoreflect.Name(name)).Methods()
		for i := range methods.Len() {
			use(used, methods.Get(i).Input())
			use(used, methods.Get(i).Output())
		}
	}
	set := new(descriptorpb.FileDescriptorSet)
	for i := range file.Imports().Len() {
		set.File = append(set.File, trim(file.Imports().Get(i), used))
	}
	set.File = append(set.File, trim(file, used))
	return set
}

// use notes a message and all that its fields refer to.
func use(used map[protoreflect.FullName]bool, m protoreflect.MessageDescriptor) {
	if used[m.FullName()] {
		return
	}
	used[m.FullName()] = true
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.Message() != nil {
			use(used, f.Message())
		}
		if f.Enum() != nil {
			used[f.Enum().FullName()] = true
		}
	}
}

// trim returns a file without what is not used.
func trim(file protoreflect.FileDescriptor, used map[protoreflect.FullName]bool) *descriptorpb.FileDescriptorProto {
	out := protodesc.ToFileDescriptorProto(file)
	unused := func(name string) bool { return !used[file.Package().Append(protoreflect.Name(name))] }
	out.MessageType = slices.DeleteFunc(out.MessageType, func(m *descriptorpb.DescriptorProto) bool { return unused(m.GetName()) })
	out.EnumType = slices.DeleteFunc(out.EnumType, func(e *descriptorpb.EnumDescriptorProto) bool { return unused(e.GetName()) })
	out.Service = slices.DeleteFunc(out.Service, func(s *descriptorpb.ServiceDescriptorProto) bool {
		return !slices.Contains(services, s.GetName())
	})
	return out
}
