// Package links tests what linking the library brings along. It is separate from the
// rules, so that they can be checked when the library does not compile.
package links_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tenonrpc/tenon/cmd/internal/check"

	// All that applications link: TestNothingRegistered looks at what that
	// registers.
	_ "github.com/tenonrpc/tenon/h2grpc/codes"
	_ "github.com/tenonrpc/tenon/h2grpc/gzip"
	_ "github.com/tenonrpc/tenon/h2grpc/health"
	_ "github.com/tenonrpc/tenon/h2grpc/limit"
	_ "github.com/tenonrpc/tenon/h2grpc/metadata"
	_ "github.com/tenonrpc/tenon/h2grpc/metrics"
	_ "github.com/tenonrpc/tenon/h2grpc/peer"
	_ "github.com/tenonrpc/tenon/h2grpc/reflection"
	_ "github.com/tenonrpc/tenon/h2grpc/status"
	_ "github.com/tenonrpc/tenon/plugin/certs"
	_ "github.com/tenonrpc/tenon/plugin/host"
	_ "github.com/tenonrpc/tenon/plugin/host/confine"
	_ "github.com/tenonrpc/tenon/plugin/host/errcode"
	_ "github.com/tenonrpc/tenon/plugin/host/fleet"
	_ "github.com/tenonrpc/tenon/plugin/host/metrics"
	_ "github.com/tenonrpc/tenon/plugin/host/retry"
	_ "github.com/tenonrpc/tenon/plugin/host/supervise"
	_ "github.com/tenonrpc/tenon/plugin/host/verify"
	_ "github.com/tenonrpc/tenon/plugin/plugintest"
	_ "github.com/tenonrpc/tenon/plugin/sloghclog"
	_ "github.com/tenonrpc/tenon/wire"
)

// root is the repository's top, relative to this directory.
const root = "../../../.."

// needGo skips a test that runs the go command, on Windows alone, where the tests run
// under Wine.
func needGo(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil && runtime.GOOS == "windows" {
		t.Skip("there is no go command here")
	}
}

// golist runs go list at the repository's top, for one platform, so that the
// answer is the same everywhere.
func golist(t *testing.T, args ...string) []string {
	t.Helper()
	needGo(t)
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, &stderr)
	}
	return strings.Fields(string(out))
}

// TestLinked compares what a plugin links with the golden list, so that no
// package comes along unnoticed.
func TestLinked(t *testing.T) {
	const refresh = "TENON_REFRESH=1 go test -run TestLinked ./cmd/internal/check/links"
	got := check.Visible(golist(t, "-deps", "./cmd/kvplugin"))
	const golden = "testdata/deps.txt"
	if os.Getenv("TENON_REFRESH") != "" {
		text := "# The packages that cmd/kvplugin links on linux/amd64, without the standard\n" +
			"# library's internal ones. Refresh: " + refresh + "\n" + strings.Join(got, "\n") + "\n"
		if err := os.WriteFile(filepath.Join(root, golden), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	list, err := os.ReadFile(filepath.Join(root, golden))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range check.Compare(golden, list, got) {
		t.Error(f)
	}
	if t.Failed() {
		t.Log("if the change is meant: " + refresh)
	}
}

// TestMultiplexingIsNotLinked builds a plugin without multiplexing, which nothing else
// may link.
func TestMultiplexingIsNotLinked(t *testing.T) {
	const yamux = "github.com/tenonrpc/tenon/plugin/internal/yamux"
	for tags, want := range map[string]bool{"": true, "tenon_nomux": false} {
		for _, program := range []string{"./cmd/kvplugin", "./cmd/kvhost"} {
			if got := slices.Contains(golist(t, "-deps", "-tags="+tags, program), yamux); got != want {
				t.Errorf("%s, tags %q: %s is linked: %v, want %v", program, tags, yamux, got, want)
			}
		}
	}
}

func TestCompareGoesRed(t *testing.T) {
	got := fmt.Sprint(check.Compare("deps.txt", []byte("# head\nfmt\nos\n"), []string{"fmt", "io", "os/exec"}))
	for _, want := range []string{
		"deps.txt:3: os is in the list",
		"deps.txt: io is linked",
		"deps.txt: os/exec must not be in a plugin's binary",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("found %s, want %q among it", got, want)
		}
	}
}

// TestNothingLooksUpNames requires that a plugin's binary has no resolver: one call of
// net.Dial, or of a Dialer's DialContext, with an address as a string would link it.
func TestNothingLooksUpNames(t *testing.T) {
	needGo(t)
	program := filepath.Join(t.TempDir(), "kvplugin")
	build := exec.Command("go", "build", "-o", program, "./cmd/kvplugin")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	symbols, err := exec.Command("go", "tool", "nm", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(symbols, []byte(" net.(*Dialer).DialUnix\n")) {
		t.Fatal("these are not the symbols of a plugin")
	}
	for _, name := range []string{"net.(*Resolver).", "net.(*Dialer).DialContext", "net.Listen\n"} {
		if bytes.Contains(symbols, []byte(" "+name)) {
			t.Errorf("%s is linked", strings.TrimSpace(name))
		}
	}
}

// TestNothingRegistered requires that linking the whole library registers none
// of the protobuf names that go-plugin and grpc-go register: a process that
// links both would panic before main.
func TestNothingRegistered(t *testing.T) {
	linked := golist(t, "-deps", "-test", "./cmd/internal/check/links")
	for _, name := range golist(t, "-f", `{{if and .GoFiles (ne .Name "main")}}{{.ImportPath}}{{end}}`, "./...") {
		if name == check.Module+"/plugin/internal/socktest" {
			continue // only tests import it
		}
		if !slices.Contains(linked, name) && !strings.HasPrefix(name, check.Module+"/cmd/") {
			t.Errorf("%s is not linked here, so that this test does not see what it registers: import it in links_test.go", name)
		}
	}
	for _, f := range registered(protoregistry.GlobalFiles, protoregistry.GlobalTypes) {
		t.Error(f)
	}
}

// registered returns what is registered and must not be.
func registered(files *protoregistry.Files, types *protoregistry.Types) []string {
	var out []string
	look := func(name protoreflect.FullName, what string) bool {
		for _, taken := range check.TakenNames() {
			if string(name) == taken || strings.HasPrefix(string(name), taken+".") {
				out = append(out, fmt.Sprintf("%s: %s is registered, which panics in every process that links go-plugin or grpc-go as well", what, name))
			}
		}
		return true
	}
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool { return look(f.Package(), f.Path()) })
	types.RangeMessages(func(m protoreflect.MessageType) bool {
		return look(m.Descriptor().FullName(), m.Descriptor().ParentFile().Path())
	})
	types.RangeEnums(func(e protoreflect.EnumType) bool {
		return look(e.Descriptor().FullName(), e.Descriptor().ParentFile().Path())
	})
	types.RangeExtensions(func(x protoreflect.ExtensionType) bool {
		return look(x.TypeDescriptor().FullName(), x.TypeDescriptor().ParentFile().Path())
	})
	return out
}

func TestRegisteredGoesRed(t *testing.T) {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name:        proto.String("broker.proto"),
		Package:     proto.String("plugin"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("ConnInfo")}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var files protoregistry.Files
	var types protoregistry.Types
	if err := files.RegisterFile(file); err != nil {
		t.Fatal(err)
	}
	if err := types.RegisterMessage(dynamicpb.NewMessageType(file.Messages().Get(0))); err != nil {
		t.Fatal(err)
	}
	if got := registered(&files, &types); len(got) != 2 {
		t.Errorf("found %q, want the file and the message", got)
	}
}

// TestNestedModules requires the paths of nested modules to be inside the tree of what
// they test, so that they may test internals. The README's example and the application
// to copy are outside on purpose: they can use nothing that their readers cannot. The
// module that checks whether modules can be published uses none of them.
func TestNestedModules(t *testing.T) {
	mods, err := filepath.Glob(root + "/testdata/*/*.mod")
	if err != nil || len(mods) == 0 {
		t.Fatalf("no nested modules: %v", err)
	}
	for _, mod := range mods {
		dir := filepath.Base(filepath.Dir(mod))
		if dir == "publish" {
			continue
		}
		b, err := os.ReadFile(mod)
		if err != nil {
			t.Fatal(err)
		}
		want := "module " + check.Module + "/plugin/" + dir + "\n"
		switch dir {
		case "readme":
			want = "module example.com/app\n"
		case "newsdesk":
			want = "module example.com/newsdesk\n"
		}
		if !bytes.HasPrefix(b, []byte(want)) {
			t.Errorf("%s:1: want %q", mod, want)
		}
		if !bytes.Contains(b, []byte(check.Module+" => ../..\n")) {
			t.Errorf("%s: want a replacement of %s by ../..", mod, check.Module)
		}
	}
}
