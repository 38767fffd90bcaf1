package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// requests returns the names of the requests in testdata, without extension.
func requests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.request")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("testdata holds no request")
	}
	for i := range files {
		files[i] = strings.TrimSuffix(filepath.Base(files[i]), ".request")
	}
	return files
}

func readRequest(t *testing.T, name string) []byte {
	t.Helper()
	request, err := os.ReadFile(filepath.Join("testdata", name+".request"))
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// answer runs the plugin as protoc does.
func answer(t *testing.T, request []byte) *pluginpb.CodeGeneratorResponse {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(nil, bytes.NewReader(request), &stdout, &stderr); status != 0 || stderr.Len() > 0 {
		t.Fatalf("exit status %d, standard error %q; want 0 and none", status, stderr.String())
	}
	response := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(stdout.Bytes(), response); err != nil {
		t.Fatal(err)
	}
	return response
}

// text shows an answer the way the golden files do.
func text(response *pluginpb.CodeGeneratorResponse) string {
	if response.Error != nil {
		return fmt.Sprintf("-- error --\n%s\n", response.GetError())
	}
	if len(response.File) == 0 {
		return "-- no file --\n"
	}
	var b strings.Builder
	for _, file := range response.File {
		fmt.Fprintf(&b, "-- %s --\n%s", file.GetName(), file.GetContent())
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	expected := make(map[string]bool)
	for _, name := range requests(t) {
		golden := filepath.Join("testdata", name+".golden")
		expected[golden] = true
		t.Run(name, func(t *testing.T) {
			got := text(answer(t, readRequest(t, name)))
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the answer differs from %s (see it with go test -update and git diff); it is:\n%s", golden, got)
			}
		})
	}
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !expected[file] {
			t.Errorf("%s belongs to no request", file)
		}
	}
}

// TestLivingExample checks that the checked-in files of the example are what the
// checked-in request generates.
func TestLivingExample(t *testing.T) {
	request := readRequest(t, "kv")
	want, err := os.ReadFile("../internal/kv/kv_h2grpc.pb.go")
	if err != nil {
		t.Fatal(err)
	}
	response := answer(t, request)
	if len(response.File) != 1 || response.File[0].GetContent() != string(want) {
		t.Errorf("kv_h2grpc.pb.go is not what the plugin writes: run make generate")
	}

	parsed := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(request, parsed); err != nil {
		t.Fatal(err)
	}
	file := parsed.ProtoFile[len(parsed.ProtoFile)-1]
	file.SourceCodeInfo = nil
	if !proto.Equal(file, protodesc.ToFileDescriptorProto(kv.File_cmd_internal_kv_kv_proto)) {
		t.Errorf("kv.pb.go and testdata/kv.request come from different versions of kv.proto: run make generate")
	}
}

// TestEditions checks that files with editions are accepted, which protoc 3.21 cannot
// send.
func TestEditions(t *testing.T) {
	request := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(readRequest(t, "kinds"), request); err != nil {
		t.Fatal(err)
	}
	want := text(answer(t, readRequest(t, "kinds")))
	for _, edition := range []descriptorpb.Edition{descriptorpb.Edition_EDITION_2023, descriptorpb.Edition_EDITION_2024} {
		file := request.ProtoFile[0]
		file.Syntax = proto.String("editions")
		file.Edition = edition.Enum()
		for _, message := range file.MessageType { // editions have no proto3 optional
			message.OneofDecl = nil
			for _, field := range message.Field {
				field.OneofIndex, field.Proto3Optional = nil, nil
			}
		}
		b, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		if got := text(answer(t, b)); got != want {
			t.Errorf("%v changes the stubs; they are:\n%s", edition, got)
		}
	}
}

// TestFeatures checks that every answer declares what is supported. If an answer with
// an error does not, newer versions of protoc report missing support for the file's
// edition or optional fields instead of the error.
func TestFeatures(t *testing.T) {
	const features = pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL | pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS
	check := func(t *testing.T, response *pluginpb.CodeGeneratorResponse) {
		t.Helper()
		if got := response.GetSupportedFeatures(); got != uint64(features) {
			t.Errorf("supported features are %b, want %b: proto3 optional and editions", got, features)
		}
		low, high := descriptorpb.Edition(response.GetMinimumEdition()), descriptorpb.Edition(response.GetMaximumEdition())
		if low != descriptorpb.Edition_EDITION_PROTO2 || high != descriptorpb.Edition_EDITION_2024 {
			t.Errorf("editions from %v to %v are supported, want from proto2 to 2024", low, high)
		}
	}
	for _, name := range requests(t) {
		t.Run(name, func(t *testing.T) { check(t, answer(t, readRequest(t, name))) })
	}

	// The mistakes that people make with a file of an edition.
	message := []*descriptorpb.DescriptorProto{{Name: proto.String("M")}}
	service := []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S"), Method: []*descriptorpb.MethodDescriptorProto{
		{Name: proto.String("A"), InputType: proto.String(".a.M"), OutputType: proto.String(".a.M")},
	}}}
	file := func(goPackage string) *pluginpb.CodeGeneratorRequest {
		return &pluginpb.CodeGeneratorRequest{
			FileToGenerate: []string{"ed.proto"},
			ProtoFile: []*descriptorpb.FileDescriptorProto{{
				Name: proto.String("ed.proto"), Package: proto.String("a"), MessageType: message, Service: service,
				Syntax: proto.String("editions"), Edition: descriptorpb.Edition_EDITION_2023.Enum(),
				Options: &descriptorpb.FileOptions{GoPackage: proto.String(goPackage)},
			}},
		}
	}
	for _, c := range []struct {
		name, goPackage, parameter, error string
	}{
		{"no go_package", "", "", `unable to determine Go import path for "ed.proto"`},
		{"go_package without a slash", "a", "", `invalid Go import path "a"`},
		{"unknown parameter", "", "plugins=grpc,Med.proto=a/b", `unknown parameter "plugins"`},
		{"unknown path type", "a/b", "paths=relative", `unknown path type "relative"`},
		{"module and relative paths", "a/b", "module=a,paths=source_relative", "cannot use module= with paths=source_relative"},
		{"outside the module", "a/b", "module=c", "a/b/ed_h2grpc.pb.go: generated file does not match prefix"},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := file(c.goPackage)
			request.Parameter = proto.String(c.parameter)
			b, err := proto.Marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			response := answer(t, b)
			begins(t, "the error", response.GetError(), c.error)
			check(t, response)
		})
	}
}

// TestByHand runs the plugin as someone at a terminal does.
func TestByHand(t *testing.T) {
	for _, c := range []struct {
		name           string
		args           []string
		stdin          string
		status         int
		stdout, stderr string // the beginning of it; empty means none
	}{
		{"version", []string{"--version"}, "", 0, "protoc-gen-go-h2grpc v", ""},
		{"help", []string{"--help"}, "", 0, "", usage},
		{"unknown flag", []string{"--verson"}, "", 2, "", "flag provided but not defined: -verson"},
		{"argument", []string{"kv.proto"}, "", 2, "", `protoc-gen-go-h2grpc: unexpected argument "kv.proto"`},
		{"no request", nil, "", 1, "", "protoc-gen-go-h2grpc: standard input holds no request of protoc"},
		{"no protobuf", nil, "syntax", 1, "", "protoc-gen-go-h2grpc: standard input is not a request of protoc: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := run(c.args, strings.NewReader(c.stdin), &stdout, &stderr); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			begins(t, "standard output", stdout.String(), c.stdout)
			begins(t, "standard error", stderr.String(), c.stderr)
		})
	}
}

func begins(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) || want == "" && got != "" {
		t.Errorf("%s is %q, want it to begin with %q", what, got, want)
	}
}
