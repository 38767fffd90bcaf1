// Package lean_test serves reflection from a program that does not link
// protobuf's descriptor package, as most plugins. It is a package of its own
// since the tests of package reflection do link it.
package lean_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/reflection"
	"github.com/tenonrpc/tenon/wire/fields"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestWithoutDescriptorPackage(t *testing.T) {
	file := structpb.File_google_protobuf_struct_proto
	if _, err := protoregistry.GlobalFiles.FindFileByPath("google/protobuf/descriptor.proto"); err == nil {
		t.Fatal("the descriptor package is linked: h2grpc or reflection must not import it, in whatever way")
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("options can be read without the descriptor package: the encoder need not do without")
			}
		}()
		file.Options()
	}()
	synctest.Test(t, func(t *testing.T) {
		server := h2grpc.NewServer(nil)
		reflection.Register(server)
		near, far := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			// It ends with the connection; how is not this test's subject.
			_ = server.ServeConn(t.Context(), far)
		}()
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{
			Dial: func(context.Context) (net.Conn, error) { return near, nil },
		})
		checkFile(t, cc, file.Path())
		if err := cc.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
}

// checkFile asks for a file and looks for its one map entry, which a client
// can only tell by the option.
func checkFile(t *testing.T, cc *h2grpc.ClientConn, path string) {
	t.Helper()
	stream, err := cc.NewStream(t.Context(), &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
	if err != nil {
		t.Fatal(err)
	}
	request := raw(fields.AppendPresent(nil, 3, path)) // ServerReflectionRequest.file_by_filename
	if err := stream.SendMsg(&request); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var response raw
	if err := stream.RecvMsg(&response); err != nil {
		t.Fatal(err)
	}
	const mapEntry = 7 // MessageOptions.map_entry
	option := protowire.AppendTag(nil, mapEntry, protowire.VarintType)
	option = protowire.AppendVarint(option, 1)
	got := string(response)
	if strings.Count(got, string(option)) != 1 || !strings.Contains(got, "FieldsEntry") {
		t.Errorf("the file has no map entry: %q", got)
	}
}

// raw is a message's bytes. The messages themselves would link the descriptor
// package.
type raw []byte

func (r *raw) AppendTo(b []byte) ([]byte, error) { return append(b, *r...), nil }

func (r *raw) UnmarshalFrom(b []byte) error {
	*r = bytes.Clone(b)
	return nil
}
