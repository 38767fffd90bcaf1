// Package publish_test checks that the repository's modules can be published: that
// what makes the archives of the go command and of module proxies takes them.
package publish_test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// top is the repository's top, seen from this directory.
const top = "../.."

func TestModules(t *testing.T) {
	names := tracked(t)
	dir := t.TempDir()
	if err := copyTo(dir, names); err != nil {
		t.Fatal(err)
	}
	var published []string
	for _, name := range names {
		if path.Base(name) != "go.mod" || strings.Contains(name, "testdata/") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m := module.Version{Path: modfile.ModulePath(b), Version: "v0.1.0"}
		published = append(published, m.Path)
		if err := zip.CreateFromDir(io.Discard, m, filepath.Join(dir, path.Dir(name))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(published) < 2 || !slices.Contains(published, "github.com/tenonrpc/tenon") {
		t.Errorf("the modules to be published are %q", published)
	}
}

// TestNames is for the files that no archive has, those of the modules under testdata
// among them: their names must be possible wherever the repository is cloned, on
// Windows too, and where upper case is the same as lower.
func TestNames(t *testing.T) {
	if err := checkNames(tracked(t)); err != nil {
		t.Error(err)
	}
}

// TestRefused has what keeps a module from being published, and a repository from
// being cloned.
func TestRefused(t *testing.T) {
	for _, names := range [][]string{
		{"a/nul.txt"}, {"Con"}, {"com1.d/a.txt"}, {"a:b"}, {"a\\b"}, {"a."}, {"a.txt", "A.txt"}, {"a/b.txt", "A/c.txt"},
	} {
		if err := checkNames(names); err == nil {
			t.Errorf("files of the names %q are taken", names)
		}
	}
	if err := checkNames([]string{".ci/run", "a/null.txt", "b/null.txt", "a/go.mod"}); err != nil {
		t.Errorf("files whose names have nothing wrong are refused: %v", err)
	}
	if err := zip.CreateFromDir(io.Discard, module.Version{Path: "github.com/tenonrpc/tenon", Version: "v2.0.0"}, t.TempDir()); err == nil {
		t.Error("a module of version 2 is taken by version 1's path")
	}
}

// tracked returns the paths of the files that git tracks or would track.
func tracked(t *testing.T) []string {
	cmd := exec.Command("git", "ls-files", "-z", "-co", "--exclude-standard")
	cmd.Dir = top
	out, err := cmd.Output()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: %v", cmd, err)
		}
		t.Skipf("git does not say what belongs to the repository: %v", err)
	}
	names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(filepath.Join(top, name))
		return err != nil // deleted, and not yet committed
	})
}

// copyTo copies files of the repository. It fails for symbolic links and other files
// that are not regular, which archives of modules leave out without a word.
func copyTo(dir string, names []string) error {
	for _, name := range names {
		from, to := filepath.Join(top, name), filepath.Join(dir, name)
		if info, err := os.Lstat(from); err != nil || !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file (%v)", name, err)
		}
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o700)
		}
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkNames checks the names of files as if all belonged to one module.
func checkNames(names []string) error {
	var files []zip.File
	for _, name := range names {
		if path.Base(name) != "go.mod" { // which would make another module
			files = append(files, file(name))
		}
	}
	checked, err := zip.CheckFiles(files)
	if err == nil && len(checked.Omitted) > 0 {
		err = zip.FileErrorList(checked.Omitted)
	}
	return err
}

// file is the name of a regular file, which has this file's contents.
type file string

func (f file) Path() string                 { return string(f) }
func (f file) Lstat() (fs.FileInfo, error)  { return os.Lstat("publish_test.go") }
func (f file) Open() (io.ReadCloser, error) { return os.Open("publish_test.go") }
