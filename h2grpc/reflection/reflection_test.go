package reflection_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/reflection"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// server holds the registered services by name. Their handlers are called as
// an engine would call them.
type server map[string]func(h2grpc.ServerStream) error

func (s server) RegisterService(desc *h2grpc.ServiceDesc, impl any) {
	stream := desc.Streams[0]
	if stream.StreamName != "ServerReflectionInfo" || !stream.ClientStreams || !stream.ServerStreams {
		panic("not the method of server reflection")
	}
	s[desc.ServiceName] = func(ss h2grpc.ServerStream) error { return stream.Handler(impl, ss) }
}

const (
	v1      = "grpc.reflection.v1.ServerReflection"
	v1alpha = "grpc.reflection.v1alpha.ServerReflection"
)

func newServer(t *testing.T, services []string, extra ...[]byte) server {
	t.Helper()
	s := make(server)
	reflection.RegisterWith(s, services, extra...)
	if len(s) != 2 || s[v1] == nil || s[v1alpha] == nil {
		t.Fatalf("registered %v", s)
	}
	return s
}

// call is the server's end of a call with prepared requests.
type call struct {
	h2grpc.ServerStream
	requests  []request
	responses []*response
}

func (c *call) RecvMsg(m any) error {
	if len(c.requests) == 0 {
		return io.EOF
	}
	b, err := c.requests[0].AppendTo(nil)
	if err != nil {
		return err
	}
	c.requests = c.requests[1:]
	return m.(h2grpc.Message).UnmarshalFrom(b)
}

// SendMsg sends the response through its codec.
func (c *call) SendMsg(m any) error {
	b, err := m.(h2grpc.Message).AppendTo(nil)
	if err != nil {
		return err
	}
	out := new(response)
	if err := out.UnmarshalFrom(b); err != nil {
		return err
	}
	c.responses = append(c.responses, out)
	return nil
}

// ask makes one call and returns one response per request.
func (s server) ask(t *testing.T, requests ...request) []*response {
	t.Helper()
	return s.askService(t, v1, requests...)
}

func (s server) askService(t *testing.T, service string, requests ...request) []*response {
	t.Helper()
	c := call{requests: slices.Clone(requests)}
	if err := s[service](&c); err != nil {
		t.Fatalf("the call ended with %v", err)
	}
	if len(c.responses) != len(requests) {
		t.Fatalf("%d responses to %d requests", len(c.responses), len(requests))
	}
	for i, response := range c.responses {
		want, err := requests[i].AppendTo(nil)
		if err != nil || response.ValidHost != requests[i].Host || !bytes.Equal(response.OriginalRequest, want) {
			t.Errorf("the response to %+v names the host %q and the request %x, want %x (%v)",
				requests[i], response.ValidHost, response.OriginalRequest, want, err)
		}
	}
	return c.responses
}

func byFilename(path string) request {
	return request{Host: "here", Kind: fileByFilename, Name: path}
}

func bySymbol(name string) request {
	return request{Kind: fileContainingSymbol, Name: name}
}

func byExtension(message string, number int32) request {
	return request{Kind: fileContainingExtension, Name: message, ExtensionNumber: number}
}

func extensionNumbers(message string) request {
	return request{Kind: allExtensionNumbers, Name: message}
}

// paths returns the paths of the files in a response, in their order.
func paths(t *testing.T, response *response) []string {
	t.Helper()
	if response.Kind != filesResponse {
		t.Errorf("the response to %x has no files but is %+v", response.OriginalRequest, response)
	}
	var out []string
	for _, b := range response.Files {
		out = append(out, decode(t, b).GetName())
	}
	return out
}

func TestListServices(t *testing.T) {
	names := []string{"a.A", "b.B"}
	s := newServer(t, names)
	for _, service := range []string{v1, v1alpha} {
		got := s.askService(t, service, request{Kind: listServices, Name: "*"})[0]
		if got.Kind != servicesResponse || !slices.Equal(got.Services, names) {
			t.Errorf("%s lists %+v", service, got)
		}
	}
}

// TestFindsFiles asks for files by every key, both among embedded files and in
// protobuf's registry.
func TestFindsFiles(t *testing.T) {
	const (
		three  = "sample/three.proto"
		two    = "sample/two.proto"
		base   = "sample/base.proto"
		strct  = "google/protobuf/struct.proto"
		plugin = "google/protobuf/compiler/plugin.proto"
		goFeat = "google/protobuf/go_features.proto"
		own    = "grpc/reflection/v1/reflection.proto"
		alpha  = "grpc/reflection/v1alpha/reflection.proto"
	)
	s := newServer(t, nil, sampleSet)
	for _, c := range []struct {
		request request
		want    string
	}{
		{byFilename(three), three},
		{bySymbol("sample.three.All"), three},
		{bySymbol("sample.three.All.Inner"), three},
		{bySymbol("sample.three.All.Inner.Kind"), three},
		{bySymbol("sample.three.All.Inner.A"), three}, // values are siblings of their enum
		{bySymbol("sample.three.All.Inner.back"), three},
		{bySymbol("sample.three.All.LeavesEntry.key"), three},
		{bySymbol("sample.three.All.choice"), three},
		{bySymbol("sample.three.Things"), three},
		{bySymbol("sample.three.Things.Talk"), three},
		{bySymbol("sample.base.Colour"), base},
		{bySymbol("sample.base.ROT"), base},
		{bySymbol("sample.two.leaf"), two},
		{bySymbol("sample.two.All.inner_extension"), two},
		{byExtension("sample.two.All", 100), two},
		{byExtension("sample.two.All", 101), two},

		{byFilename(strct), strct},
		{bySymbol("google.protobuf.Struct.FieldsEntry"), strct},
		{bySymbol("google.protobuf.NULL_VALUE"), strct},
		{bySymbol("google.protobuf.Value.kind"), strct},
		{bySymbol("google.protobuf.compiler.CodeGeneratorRequest.parameter"), plugin},
		{bySymbol("pb.go"), goFeat},
		{byExtension("google.protobuf.FeatureSet", 1002), goFeat},

		{byFilename(own), own},
		{bySymbol(v1), own},
		{bySymbol(v1alpha + ".ServerReflectionInfo"), alpha},
	} {
		got := paths(t, s.ask(t, c.request)[0])
		if len(got) == 0 || got[0] != c.want {
			t.Errorf("%+v gave the files %q, want %q first", c.request, got, c.want)
		}
	}
}

// TestFilesAreComplete serves every file to a client that starts with none.
func TestFilesAreComplete(t *testing.T) {
	s := newServer(t, nil, sampleSet)
	var all []string
	for _, fd := range corpus(t) {
		switch fd.Path() {
		case "sample/editions.proto": // registered nowhere
		case "partial.proto": // has a missing import
		default:
			all = append(all, fd.Path())
		}
	}
	for _, path := range append(all, "grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto") {
		var set descriptorpb.FileDescriptorSet
		for _, b := range s.ask(t, byFilename(path))[0].Files {
			set.File = append(set.File, decode(t, b))
		}
		if _, err := protodesc.NewFiles(&set); err != nil {
			t.Errorf("a client cannot use %s: %v", path, err)
		}
	}
}

// TestImportsOncePerCall: the file that is asked for always comes, its imports
// come unless the call has sent them before.
func TestImportsOncePerCall(t *testing.T) {
	s := newServer(t, nil, sampleSet)
	requests := []request{
		bySymbol("sample.three.All"), byFilename("sample/two.proto"), byFilename("sample/two.proto"), bySymbol("sample.base.Leaf"),
	}
	want := [][]string{
		{"sample/three.proto", "sample/base.proto"}, {"sample/two.proto"}, {"sample/two.proto"}, {"sample/base.proto"},
	}
	for range 2 { // the second call does not know of the first
		for i, response := range s.ask(t, requests...) {
			if got := paths(t, response); !slices.Equal(got, want[i]) {
				t.Errorf("request %d gave the files %q, want %q", i, got, want[i])
			}
		}
	}
	got := paths(t, s.ask(t, byFilename("sample/two.proto"))[0])
	if !slices.Equal(got, []string{"sample/two.proto", "sample/base.proto", "sample/three.proto"}) {
		t.Errorf("two.proto alone gave the files %q", got)
	}
}

// TestWorkIsBounded asks for the top of a graph with 2^40 paths to its bottom.
func TestWorkIsBounded(t *testing.T) {
	const levels = 40
	var set descriptorpb.FileDescriptorSet
	var below []string
	for level := range levels {
		var these []string
		for _, side := range []string{"l", "r"} {
			path := fmt.Sprintf("%s%d.proto", side, level)
			set.File = append(set.File, &descriptorpb.FileDescriptorProto{Name: &path, Dependency: below})
			these = append(these, path)
		}
		below = these
	}
	b, err := proto.Marshal(&set)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nil, b)
	got := paths(t, s.ask(t, byFilename(below[0]))[0])
	if len(got) != 2*levels-1 {
		t.Errorf("%d files, want %d", len(got), 2*levels-1)
	}
}

func TestExtensionNumbers(t *testing.T) {
	s := newServer(t, nil, sampleSet)
	for _, c := range []struct {
		message string
		want    []int32
	}{
		{"sample.two.All", []int32{100, 101, 150}},
		{"google.protobuf.FeatureSet", []int32{1002}},
		{"sample.three.All", nil},
		{"google.protobuf.Struct", nil},
	} {
		got := s.ask(t, extensionNumbers(c.message))[0]
		if got.Kind != numbersResponse || got.TypeName != c.message ||
			!slices.Equal(got.ExtensionNumbers, c.want) {
			t.Errorf("%s: %+v, want the numbers %d", c.message, got, c.want)
		}
	}
}

// TestErrorResponses sends faulty requests; the call goes on each time.
func TestErrorResponses(t *testing.T) {
	s := newServer(t, nil, sampleSet)
	long := strings.Repeat("\x01", 4<<10)
	for _, c := range []struct {
		request request
		code    codes.Code
		text    string
	}{
		{byFilename("no.proto"), codes.NotFound, `reflection: no file "no.proto"`},
		{byFilename(""), codes.NotFound, `reflection: no file ""`},
		{bySymbol("no.Such"), codes.NotFound, `reflection: there is no symbol "no.Such"`},
		{bySymbol("sample"), codes.NotFound, `reflection: there is no symbol "sample"`}, // a package has no file
		{bySymbol(".sample.three.All"), codes.NotFound, `reflection: there is no symbol ".sample.three.All"`},
		{byExtension("sample.two.All", 199), codes.NotFound, `reflection: no extension 199 of "sample.two.All"`},
		{byExtension("google.protobuf.FeatureSet", -1), codes.NotFound, `reflection: no extension -1 of "google.protobuf.FeatureSet"`},
		{extensionNumbers("no.Such"), codes.NotFound, `reflection: there is no symbol "no.Such"`},
		{bySymbol(long), codes.NotFound, `reflection: there is no symbol "` + strings.Repeat(`\x01`, 256) + `"…`},
		{request{}, codes.InvalidArgument, "reflection: the request is of a kind that this server does not know"},
	} {
		responses := s.ask(t, c.request, bySymbol("sample.base.Leaf"))
		got := responses[0]
		if got.Kind != errorResponse || codes.Code(got.ErrorCode) != c.code || got.ErrorMessage != c.text {
			t.Errorf("%+v gave %+v, want %v %q", c.request, got, c.code, c.text)
		}
		if got := paths(t, responses[1]); len(got) != 1 {
			t.Errorf("after an error response, %q", got)
		}
	}
}

// TestStreamErrors ends the call when the stream fails.
func TestStreamErrors(t *testing.T) {
	s := newServer(t, nil)
	want := errors.New("the stream has failed")
	if err := s[v1](failing{err: want}); err != want {
		t.Errorf("a failing RecvMsg gave %v, want %v", err, want)
	}
	if err := s[v1](failing{send: true, err: want}); err != want {
		t.Errorf("a failing SendMsg gave %v, want %v", err, want)
	}
}

type failing struct {
	h2grpc.ServerStream
	send bool
	err  error
}

func (f failing) RecvMsg(any) error {
	if f.send {
		return nil
	}
	return f.err
}

func (f failing) SendMsg(any) error { return f.err }

func TestMalformedExtra(t *testing.T) {
	s := newServer(t, nil, sampleSet, sampleSet[:100])
	err := s[v1](&call{requests: []request{bySymbol("sample.base.Leaf")}})
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "descriptor set 1 of those given to Register") {
		t.Errorf("the call ended with %v", err)
	}
}

// TestMissingImport serves files of which the program does not have an import.
func TestMissingImport(t *testing.T) {
	b, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: proto.String("lonely.proto"), Dependency: []string{"gone.proto", "google/protobuf/struct.proto"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nil, b)
	got := paths(t, s.ask(t, byFilename("lonely.proto"))[0])
	if !slices.Equal(got, []string{"lonely.proto", "google/protobuf/struct.proto"}) {
		t.Errorf("the embedded file comes as %q", got)
	}
	if err := registerPartial(); err != nil {
		t.Fatal(err)
	}
	got = paths(t, s.ask(t, bySymbol("partial.M"))[0])
	if !slices.Equal(got, []string{"partial.proto", "google/protobuf/struct.proto"}) {
		t.Errorf("the registered file comes as %q", got)
	}
	if files := s.ask(t, bySymbol("gone.Message"), byFilename("gone.proto")); files[0].Kind != errorResponse ||
		files[1].Kind != errorResponse {
		t.Errorf("what is missing was found: %+v", files)
	}
}

// TestEmbeddedComesFirst embeds a file that the registry has as well.
func TestEmbeddedComesFirst(t *testing.T) {
	const path = "google/protobuf/go_features.proto"
	fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		t.Fatal(err)
	}
	ours := protodesc.ToFileDescriptorProto(fd)
	ours.Options.JavaPackage = proto.String("ours")
	b, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{ours}})
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nil, b)
	for _, request := range []request{
		byFilename(path), bySymbol("pb.GoFeatures"), byExtension("google.protobuf.FeatureSet", 1002),
	} {
		files := s.ask(t, request)[0].Files
		if len(files) != 2 || decode(t, files[0]).GetOptions().GetJavaPackage() != "ours" {
			t.Errorf("%+v gave another file than the embedded one", request)
		}
	}
	numbers := s.ask(t, extensionNumbers("google.protobuf.FeatureSet"))[0].ExtensionNumbers
	if !slices.Equal(numbers, []int32{1002}) {
		t.Errorf("an extension that is in both places is listed as %d", numbers)
	}
}

// TestTooManyCalls opens as many calls as are allowed, under both names.
func TestTooManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, nil)
		wait := make(chan struct{})
		const limit = 64
		ended := make(chan error, limit)
		for i := range limit {
			go func() { ended <- s[[]string{v1, v1alpha}[i%2]](idle{wait: wait}) }()
		}
		synctest.Wait()
		for _, service := range []string{v1, v1alpha} {
			if err := s[service](&call{}); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("call %d gave %v, want RESOURCE_EXHAUSTED", limit+1, err)
			}
		}
		wait <- struct{}{} // one ends
		if err := <-ended; err != nil {
			t.Errorf("a call ended with %v", err)
		}
		s.ask(t, byFilename("grpc/reflection/v1/reflection.proto"))
		close(wait)
		for range limit - 1 {
			if err := <-ended; err != nil {
				t.Errorf("a call ended with %v", err)
			}
		}
	})
}

// idle is a call whose client sends nothing, until wait ends it.
type idle struct {
	h2grpc.ServerStream
	wait chan struct{}
}

func (i idle) RecvMsg(any) error {
	<-i.wait
	return io.EOF
}

// TestConcurrentCalls is for the race detector: the first calls read the
// embedded files together.
func TestConcurrentCalls(t *testing.T) {
	s := newServer(t, nil, sampleSet)
	want := s.ask(t, byFilename("sample/two.proto"))[0].Files
	s = newServer(t, nil, sampleSet)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			c := call{requests: []request{
				byFilename("sample/two.proto"), byFilename("google/protobuf/descriptor.proto"),
			}}
			if err := s[v1alpha](&c); err != nil {
				t.Error(err)
				return
			}
			if !slices.EqualFunc(c.responses[0].Files, want, bytes.Equal) {
				t.Error("concurrent calls got different files")
			}
		})
	}
	all.Wait()
}
