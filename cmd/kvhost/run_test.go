package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
)

// temp gives the test a directory for temporary files of its own, with a name
// short enough for sockets, and checks that nothing is left in it.
func temp(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		defer os.RemoveAll(dir)
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		for _, entry := range left {
			t.Errorf("%s is left in the directory for temporary files", entry.Name())
		}
	})
}

// wantStory is what the host prints, line by line.
var wantStory = []string{
	`launch     .*kvplugin.*, process \d+, ready after [\d.]+m?s`,
	`handshake  gRPC, application protocol 1, on (?:unix /.*|tcp 127\.0\.0\.1:\d+)`,
	`TLS        TLS 1.3 with \w+ and TLS_\w+; each side accepts nothing but the other's ECDSA P-521 certificate`,
	`Put        demo/name = "joint" \(replaced: false\)`,
	`Put        demo/name = "tenon" \(replaced: true\)`,
	`Get        demo/name = "tenon"`,
	`Delete     demo/name \(was there: true\)`,
	`Get        demo/name fails, as it should: .*NotFound.*`,
	`PutAll     3 values in one call`,
	`GetAll     demo/a = "0"`,
	`GetAll     demo/c = "2"`,
	`GetAll     demo/none has no value`,
	`Watch      demo/name became "joint"`,
	`Watch      demo/name became "tenon"`,
	`Watch      demo/name was deleted`,
	`Watch      demo/a became "0"`,
	`Watch      demo/b became "1"`,
	`Watch      demo/c became "2"`,
	`Watch      cancelled`,
	`(?:log        WARN "hello from inside the plugin" module=kvplugin keys=3
stdout     "hello from inside the plugin"|stdout     "hello from inside the plugin"
log        WARN "hello from inside the plugin" module=kvplugin keys=3)`,
	`exit       asked to stop, the plugin ended with exit status 0 after [\d.]+m?s`,
}

// TestRun builds the plugin and runs the whole example.
func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kvplugin.exe")
	// If there is no go command, as under Wine, it has already been built.
	if built := os.Getenv("TENON_BUILT"); built != "" {
		path = filepath.Join(built, "kvplugin.exe")
	} else {
		build := exec.Command("go", "build", "-o", path, "../kvplugin")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", build, err, out)
		}
	}
	temp(t)

	var out bytes.Buffer
	if err := run(t.Context(), path, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	if want := `\A` + strings.Join(wantStory, "\n") + `\n\z`; !regexp.MustCompile(want).Match(out.Bytes()) {
		t.Errorf("the host said:\n%s\nwant lines that match:\n%s", out.Bytes(), want)
	}
}

func TestNoPlugin(t *testing.T) {
	temp(t)
	var out bytes.Buffer
	err := run(t.Context(), filepath.Join(t.TempDir(), "kvplugin"), &out)
	var start *host.StartError
	if !errors.As(err, &start) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a plugin: %v, want a StartError because there is no such file", err)
	}
	if out.Len() > 0 {
		t.Errorf("the host said:\n%s\nwant nothing", out.Bytes())
	}
}

func TestPluginPath(t *testing.T) {
	if path, err := pluginPath([]string{"some/where"}); path != "some/where" || err != nil {
		t.Errorf("one argument: %q, %v; want it to be the path", path, err)
	}
	if path, err := pluginPath(nil); err != nil || !strings.HasPrefix(filepath.Base(path), "kvplugin") {
		t.Errorf("no argument: %q, %v; want the neighbour", path, err)
	}
	if _, err := pluginPath([]string{"a", "b"}); err == nil {
		t.Error("two arguments are taken")
	}
}
