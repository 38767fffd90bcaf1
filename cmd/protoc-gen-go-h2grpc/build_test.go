package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

// The tests in this file build generated files that are not on disk: the go command is
// told that they are in the module.

const module = "github.com/tenonrpc/tenon"

// root is the module's directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// overlay writes files, which go by their paths in the module, for the go
// command's flag -overlay, and returns the flag.
func overlay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	replace := make(map[string]string)
	for name, content := range files {
		file := filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root(t), filepath.FromSlash(name))] = file
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, list, 0o666); err != nil {
		t.Fatal(err)
	}
	return "-overlay=" + file
}

// needGo skips a test that runs the go command, on Windows alone, where the tests run
// under Wine.
func needGo(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil && runtime.GOOS == "windows" {
		t.Skip("there is no go command here")
	}
}

// command runs a command in the module's directory and returns its standard
// output.
func command(t *testing.T, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.Bytes())
	}
	return stdout
}

// plugin runs a plugin of protoc and returns the files it generates.
func plugin(t *testing.T, request []byte, name string, args ...string) map[string]string {
	t.Helper()
	response := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(command(t, request, name, args...), response); err != nil {
		t.Fatal(err)
	}
	if response.Error != nil {
		t.Fatalf("%s %s: %s", name, strings.Join(args, " "), response.GetError())
	}
	return contents(response)
}

// contents returns the generated files by their paths in the module.
func contents(response *pluginpb.CodeGeneratorResponse) map[string]string {
	files := make(map[string]string)
	for _, file := range response.File {
		files[strings.TrimPrefix(file.GetName(), module+"/")] = file.GetContent()
	}
	return files
}

// TestStubsCompile builds the stubs of all requests, together with the messages
// that protoc-gen-go writes for them.
func TestStubsCompile(t *testing.T) {
	if testing.Short() {
		t.Skip("builds packages")
	}
	needGo(t)
	protocGenGo := filepath.Join(t.TempDir(), "protoc-gen-go")
	command(t, nil, "go", "build", "-o", protocGenGo, "google.golang.org/protobuf/cmd/protoc-gen-go")

	const golden = "cmd/protoc-gen-go-h2grpc/testdata/golden/"
	files := make(map[string]string)
	packages := make(map[string]bool)
	for _, name := range requests(t) {
		stubs := contents(answer(t, readRequest(t, name)))
		for file := range stubs {
			if !strings.HasPrefix(file, golden) {
				delete(stubs, file) // kv is built as it is; relative is empty again
			}
		}
		if len(stubs) == 0 {
			continue
		}
		maps.Copy(files, stubs)
		maps.Copy(files, plugin(t, forProtocGenGo(t, name), protocGenGo))
	}
	for file := range files {
		packages["./"+path.Dir(file)] = true
	}
	if len(packages) < 10 {
		t.Fatalf("only %d packages to build", len(packages))
	}
	args := slices.Sorted(maps.Keys(packages))
	command(t, nil, "go", append([]string{"build", overlay(t, files)}, args...)...)
}

// forProtocGenGo returns a request without our parameters.
func forProtocGenGo(t *testing.T, name string) []byte {
	t.Helper()
	request := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(readRequest(t, name), request); err != nil {
		t.Fatal(err)
	}
	parameters := slices.DeleteFunc(strings.Split(request.GetParameter(), ","), func(p string) bool {
		return strings.HasPrefix(p, "require_unimplemented_servers=") || strings.HasPrefix(p, "package_suffix=")
	})
	request.Parameter = proto.String(strings.Join(parameters, ","))
	b, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMigrate runs the example with our stubs, and then with those of
// protoc-gen-go-grpc after a change of only the import paths, and requires the same
// output from all.
func TestMigrate(t *testing.T) {
	if testing.Short() {
		t.Skip("downloads and builds programs")
	}
	needGo(t)
	const (
		program = "./cmd/protoc-gen-go-h2grpc/testdata/migrate"
		ours    = "cmd/internal/kv/kv_h2grpc.pb.go"
		theirs  = "cmd/internal/kv/kv_grpc.pb.go"
	)
	golden, err := os.ReadFile("testdata/migrate/stdout.golden")
	if err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T, args ...string) {
		t.Helper()
		command(t, nil, "go", append(append([]string{"vet"}, args...), "./cmd/internal/kv", program)...)
		if got := command(t, nil, "go", append(append([]string{"run"}, args...), program)...); !bytes.Equal(got, golden) {
			t.Errorf("the program says:\n%s\nwant:\n%s", got, golden)
		}
	}

	t.Run("ours", func(t *testing.T) { check(t) })
	for _, c := range []struct {
		version, parameter string
		generic            bool
	}{
		{"v1.6.2", "", true},
		{"v1.6.1", "use_generic_streams_experimental=false", false},
		{"v1.3.0", "", false}, // old, and checked in in many places
	} {
		t.Run(c.version, func(t *testing.T) {
			request := new(pluginpb.CodeGeneratorRequest)
			if err := proto.Unmarshal(readRequest(t, "kv"), request); err != nil {
				t.Fatal(err)
			}
			request.Parameter = proto.String(c.parameter)
			b, err := proto.Marshal(request)
			if err != nil {
				t.Fatal(err)
			}
			files := plugin(t, b, "go", "run", "google.golang.org/grpc/cmd/protoc-gen-go-grpc@"+c.version)
			stubs, ok := files[theirs]
			if !ok || len(files) != 1 {
				t.Fatalf("protoc-gen-go-grpc wrote %q, want %s alone", slices.Collect(maps.Keys(files)), theirs)
			}
			if generic := strings.Contains(stubs, "grpc.GenericClientStream"); generic != c.generic {
				t.Fatalf("generic streams in the stubs: %v, want %v", generic, c.generic)
			}
			check(t, overlay(t, map[string]string{
				ours:   "package kv\n",
				theirs: migrate(t, stubs),
			}))
		})
	}
}

// migrate changes import paths as the README tells users to.
func migrate(t *testing.T, stubs string) string {
	t.Helper()
	for _, pkg := range []string{"", "/codes", "/status"} {
		from, to := `"google.golang.org/grpc`+pkg+`"`, `"`+module+`/h2grpc`+pkg+`"`
		if strings.Count(stubs, from) != 1 {
			t.Fatalf("the stubs import %s %d times, want once", from, strings.Count(stubs, from))
		}
		stubs = strings.Replace(stubs, from, to, 1)
	}
	return stubs
}
