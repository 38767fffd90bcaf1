package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// one has a package of each kind of file that is migrated, or not.
const one = `-- go.mod --
module example.org/app
-- a/a.go --
package a

import "google.golang.org/grpc/status"

var err = status.Error(0, "")
-- a/testdata/b.go --
package b

import "google.golang.org/grpc/status"
-- vendor/google.golang.org/grpc/status/status.go --
package status

import _ "google.golang.org/grpc/codes"
-- _old/c.go --
package c

import "google.golang.org/grpc/codes"
-- nested/go.mod --
module example.org/nested
-- nested/d.go --
package d

import "google.golang.org/grpc/codes"
`

const tenonStatus = "github.com/tenonrpc/tenon/h2grpc/status"

func TestDryRunChangesNothing(t *testing.T) {
	dir := unpack(t, one)
	stdout, stderr, status := tenon(t, dir, "migrate", "-n", "./...")
	wantText(t, "stdout", stdout, "a/a.go:3:8: google.golang.org/grpc/status becomes "+tenonStatus+"\n")
	wantText(t, "stderr", stderr, "files to change: 1; uses left for you: 0\n")
	if status != 0 {
		t.Errorf("status %d", status)
	}
	wantFiles(t, "after -n", dir, one)
}

func TestWhatIsLeftOut(t *testing.T) {
	dir := unpack(t, one)
	tenon(t, dir, "migrate", "./...")
	want := strings.Replace(one, oldGRPC+"/status", tenonStatus, 1)
	wantFiles(t, "after ./...", dir, want)

	// If they are named they are migrated.
	_, stderr, status := tenon(t, dir, "migrate", "./a/testdata", "./nested/...")
	if status != 0 || !strings.HasPrefix(stderr, "files changed: 2;") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

func TestParseErrorLeavesEverything(t *testing.T) {
	broken := one + "-- z/z.go --\npackage z\n\nfunc {\n"
	dir := unpack(t, broken)
	stdout, stderr, status := tenon(t, dir, "migrate", "./...")
	if status != exitFailed || stdout != "" || !strings.Contains(stderr, "z/z.go:3:6: ") || !strings.Contains(stderr, "nothing was changed") {
		t.Errorf("status %d, stdout %q, stderr %q; want an error that names z/z.go", status, stdout, stderr)
	}
	wantFiles(t, "after a parse error", dir, broken)
}

// TestHalfMigrated has packages in which grpc-go's status would not be seen.
func TestHalfMigrated(t *testing.T) {
	const mod = "-- go.mod --\nmodule example.org/app\n"
	const uses = "-- a/use.go --\npackage a\n\nimport \"google.golang.org/grpc/status\"\n\nvar err = status.Error(0, \"\")\n"
	for name, tc := range map[string]struct {
		files, want string
	}{
		"h2grpc in another file": {
			"-- a/stub.go --\npackage a\n\nimport _ \"github.com/tenonrpc/tenon/h2grpc\"\n",
			"github.com/tenonrpc/tenon/h2grpc (a/stub.go:3:10)",
		},
		"stubs in another package": {
			"-- pb/stub.go --\npackage pb\n\nimport _ \"github.com/tenonrpc/tenon/h2grpc\"\n-- a/a.go --\npackage a\n\nimport _ \"example.org/app/pb\"\n",
			"example.org/app/pb (a/a.go:3:10)",
		},
		"a test of another package": {
			"-- a/stub_test.go --\npackage a_test\n\nimport _ \"github.com/tenonrpc/tenon/plugin/host\"\n",
			"github.com/tenonrpc/tenon/plugin/host (a/stub_test.go:3:10)",
		},
		"grpc-go elsewhere":         {"-- b/b.go --\npackage b\n\nimport _ \"github.com/tenonrpc/tenon/h2grpc\"\n", ""},
		"a package that makes none": {"-- a/a.go --\npackage a\n\nimport _ \"github.com/tenonrpc/tenon/wire\"\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := unpack(t, mod+uses+tc.files)
			_, stderr, status := tenon(t, dir, "migrate", "-n", "./...")
			if tc.want == "" {
				if status != 0 {
					t.Errorf("status %d, stderr %q; want none", status, stderr)
				}
				return
			}
			if status != exitFailed || !strings.Contains(stderr, "a/use.go:3:8: google.golang.org/grpc/status is not the library") || !strings.Contains(stderr, tc.want) {
				t.Errorf("status %d, stderr %q; want a/use.go:3:8 because of %s", status, stderr, tc.want)
			}
			// Migrating it is the remedy.
			if _, stderr, status = tenon(t, dir, "migrate", "./..."); status != 0 {
				t.Errorf("migrated: status %d, stderr %q", status, stderr)
			}
		})
	}
}

// TestLinksAreNotFollowed has a file that cannot be migrated, so that its package stays
// half migrated.
func TestLinksAreNotFollowed(t *testing.T) {
	dir := unpack(t, "-- a/a.go --\npackage a\n\nimport _ \"google.golang.org/grpc\"\n")
	elsewhere := filepath.Join(t.TempDir(), "link.go")
	const text = "package a\n\nimport _ \"google.golang.org/grpc/status\"\n"
	if err := os.WriteFile(elsewhere, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "a", "link.go")
	symlink(t, elsewhere, link)
	stdout, stderr, status := tenon(t, dir, "migrate", "./...")
	if status != exitFailed || !strings.Contains(stdout, "a/link.go:1:1: package a: this file is a symbolic link") || !strings.Contains(stderr, "a/link.go:3:10: google.golang.org/grpc/status is not the library") {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	if got, err := os.ReadFile(elsewhere); err != nil || string(got) != text {
		t.Errorf("what the link leads to is %q, %v", got, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
}

// symlink makes a symbolic link, or skips the test.
func symlink(t *testing.T, to, link string) {
	t.Helper()
	err := os.Symlink(to, link)
	if _, gone := os.Lstat(link); err != nil || gone != nil { // Wine makes none, and reports success
		t.Skip("no symbolic links here:", err, gone)
	}
}

// TestLinkedDirectory has patterns that are links to a directory: its files are
// migrated, and only once if the patterns have other names for it.
func TestLinkedDirectory(t *testing.T) {
	const files = "-- real/a.go --\npackage a\n\nimport _ \"google.golang.org/grpc/status\"\n-- real/b/b.go --\npackage b\n\nimport _ \"google.golang.org/grpc/status\"\n"
	want := strings.ReplaceAll(files, oldGRPC+"/status", tenonStatus)
	for _, patterns := range [][]string{{"./link/..."}, {"./link", "./link/b"}, {"./link/...", "./real/..."}, {"./real/...", "./link"}, {"./real/b", "./link/...", "./real"}} {
		dir := unpack(t, files)
		symlink(t, filepath.Join(dir, "real"), filepath.Join(dir, "link"))
		_, stderr, status := tenon(t, dir, append([]string{"migrate"}, patterns...)...)
		if status != 0 || !strings.HasPrefix(stderr, "files changed: 2;") {
			t.Errorf("%q: status %d, stderr %q; want 2 files changed", patterns, status, stderr)
		}
		if err := os.Remove(filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		wantFiles(t, "through a link", dir, want)
	}
}

func TestModeIsKept(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes on Windows")
	}
	dir := unpack(t, one)
	file := filepath.Join(dir, "a", "a.go")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	tenon(t, dir, "migrate", "./a")
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
}

func TestChangedMeanwhile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.go")
	if err := os.WriteFile(file, []byte("now"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := write(file, []byte("then"), []byte("new"), 0o666); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("the error is %v", err)
	}
	if text, _ := os.ReadFile(file); string(text) != "now" {
		t.Errorf("the file is %q", text)
	}
}

// TestNotesOfWhatIsWritten has a file that cannot be written: the notes on files
// written before it would not be found again.
func TestNotesOfWhatIsWritten(t *testing.T) {
	const uses = "\n\nimport \"github.com/hashicorp/go-plugin\"\n\nfunc end() { plugin.CleanupClients() }\n"
	dir := unpack(t, "-- a/a.go --\npackage a"+uses+"-- b/b.go --\npackage b"+uses+"-- c/c.go --\npackage c"+uses)
	changes, err := plan([]string{filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b", "b.go"), []byte("package b\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	err = carryOut(changes, false, &stdout, &stderr)
	if err == nil || !strings.Contains(err.Error(), "b.go was changed in the meantime; the 1 files before it are migrated") {
		t.Errorf("the error is %v", err)
	}
	want := filepath.Join(dir, "a", "a.go") + ":5:21: plugin.CleanupClients: defer client.Close(), or Close of a fleet.Group of plugin/host/fleet\n"
	if stdout.String() != want || stderr.String() != "" {
		t.Errorf("stdout %q, stderr %q; want %q alone", &stdout, &stderr, want)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"inspect"}, {"-h"}, {"migrate", "-x"}} {
		stdout, stderr, status := tenon(t, t.TempDir(), args...)
		if status != exitUsage || stdout != "" || !strings.Contains(stderr, "tenon migrate [-n] [dir | dir/...]...") {
			t.Errorf("%q: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
	}
}

func TestBadArguments(t *testing.T) {
	dir := unpack(t, one)
	for _, arg := range []string{"./missing", "./a/a.go", "./missing/..."} {
		_, stderr, status := tenon(t, dir, "migrate", arg)
		if status != exitFailed || !strings.Contains(stderr, "tenon migrate: ") {
			t.Errorf("%s: status %d, stderr %q", arg, status, stderr)
		}
	}
	wantFiles(t, "after bad arguments", dir, one)
}
