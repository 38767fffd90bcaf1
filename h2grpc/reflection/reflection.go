// Package reflection serves the schema of a server, so that tools such as grpcurl can
// list and call its services: grpc.reflection.v1.ServerReflection and its older name,
// grpc.reflection.v1alpha.ServerReflection.
//
// The files of the application come from protobuf's registry, where generated code
// adds them. Services whose messages are encoded by hand have no file there;
// [Register] takes their descriptors. No name is added to the registry, so that the
// package can be linked together with grpc-go.
//
// Protocol: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
package reflection

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// ownDescriptors is the FileDescriptorSet of the two services themselves,
// written by generate.sh.
//
//go:embed descriptors.binpb
var ownDescriptors string

// Register adds server reflection to s, under both its names. It lists the services
// that s has when a client asks.
//
// extra has serialized google.protobuf.FileDescriptorSets with files that are not in
// protobuf's registry, such as that of health.Descriptors; each should contain its
// imports too. They must not be changed afterwards. They are parsed when the first
// client calls, so that they cost nothing on a server without such clients; if one is
// malformed, calls fail with INTERNAL.
//
// Of files in the registry, comments are never served, and options such as
// `deprecated` only if the program links protobuf's descriptor package, as every
// program with custom options does.
func Register(s *h2grpc.Server, extra ...[]byte) {
	register(s, func() []string { return slices.Sorted(maps.Keys(s.ServiceInfo())) }, extra)
}

// register is Register for a registrar and a function that returns the sorted names
// of the server's services.
func register(r h2grpc.ServiceRegistrar, services func() []string, extra [][]byte) {
	extra = slices.Clone(extra)
	srv := &server{
		services: services,
		embedded: sync.OnceValues(func() (*embedded, error) {
			return parseEmbedded(append(extra, []byte(ownDescriptors)))
		}),
	}
	for _, version := range []string{"v1", "v1alpha"} {
		r.RegisterService(&h2grpc.ServiceDesc{
			ServiceName: "grpc.reflection." + version + ".ServerReflection",
			Streams: []h2grpc.StreamDesc{{
				StreamName:    "ServerReflectionInfo",
				Handler:       serve,
				ServerStreams: true,
				ClientStreams: true,
			}},
			Metadata: "grpc/reflection/" + version + "/reflection.proto",
		}, srv)
	}
}

// server implements both services. Its methods may be called concurrently.
type server struct {
	services func() []string
	embedded func() (*embedded, error)
	calls    atomic.Int32 // open ones
}

// serve is the handler of ServerReflectionInfo: it answers each request with one
// response. A faulty request gets an error response and leaves the stream open.
func serve(srv any, ss h2grpc.ServerStream) error {
	s := srv.(*server)
	defer s.calls.Add(-1)
	if s.calls.Add(1) > maxCalls {
		return status.Errorf(codes.ResourceExhausted, "reflection: %d calls are open already; end one", maxCalls)
	}
	files, err := s.embedded()
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	st := stream{services: s.services, schema: schema{files}, sent: make(map[string]bool)}
	for {
		var r request
		if err := ss.RecvMsg(&r); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := ss.SendMsg(st.answer(&r)); err != nil {
			return err
		}
	}
}

// stream is the state of one call, owned by its handler.
type stream struct {
	services func() []string
	schema   schema
	sent     map[string]bool // paths of the files that the client has received
}

// answer returns the response to a request.
func (s *stream) answer(r *request) *response {
	out := &response{to: r}
	switch r.Kind {
	case requestFile:
		file, ok := s.schema.byPath(r.Name)
		s.sendFile(out, file, ok, "no file %s", quote(r.Name))
	case requestSymbol:
		file, ok := s.schema.bySymbol(r.Name)
		s.sendFile(out, file, ok, "there is no symbol %s", quote(r.Name))
	case requestExtension:
		file, ok := s.schema.byExtension(extension{r.Name, r.ExtensionNumber})
		s.sendFile(out, file, ok, "no extension %d of %s", r.ExtensionNumber, quote(r.Name))
	case requestExtensionNumbers:
		numbers, ok := s.schema.extensionNumbers(r.Name)
		if !ok {
			fail(out, codes.NotFound, "there is no symbol %s", quote(r.Name))
			break
		}
		out.extensionNumbers(r.Name, numbers)
	case requestServices:
		out.services(s.services())
	default:
		fail(out, codes.InvalidArgument, "the request is of a kind that this server does not know")
	}
	return out
}

// sendFile fills in a response with the file and its imports, or with an error if the
// file was not found.
func (s *stream) sendFile(out *response, f file, found bool, format string, args ...any) {
	if !found {
		fail(out, codes.NotFound, format, args...)
		return
	}
	out.kind, out.files = responseFiles, s.schema.withImports(f, s.sent)
}

// fail fills in an error response.
func fail(out *response, code codes.Code, format string, args ...any) {
	out.fail(int32(code), "reflection: "+fmt.Sprintf(format, args...))
}

// quote returns a client's text for an error message.
func quote(word string) string {
	if len(word) > maxQuoted {
		return fmt.Sprintf("%q…", word[:maxQuoted])
	}
	return fmt.Sprintf("%q", word)
}
