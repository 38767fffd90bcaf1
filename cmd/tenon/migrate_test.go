package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unpack writes files to a new directory, and returns it. The text of each follows its
// name, as in "-- a/b.go --".
func unpack(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range split(text) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// split returns the files of a text by their names.
func split(text string) map[string]string {
	out := make(map[string]string)
	name := ""
	for line := range strings.Lines(text) {
		if head, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(head, " --\n")
			out[name] = ""
		} else if name != "" {
			out[name] += line
		}
	}
	return out
}

// contents returns what is in a directory, in the form of unpack's text.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tenon runs the command in dir, which "." stands for in the arguments, and returns
// what it printed without dir, and its status.
func tenon(t *testing.T, dir string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	for i, a := range args {
		if strings.HasPrefix(a, ".") {
			args[i] = dir + strings.TrimPrefix(a, ".")
		}
	}
	var out, errs bytes.Buffer
	status = run(args, &out, &errs)
	cut := func(b *bytes.Buffer) string {
		return filepath.ToSlash(strings.ReplaceAll(b.String(), dir+string(filepath.Separator), ""))
	}
	return cut(&out), cut(&errs), status
}

// wantFiles requires that a directory has exactly these files.
func wantFiles(t *testing.T, what, dir, want string) {
	t.Helper()
	got := contents(t, dir)
	for name, text := range split(want) {
		if got[name] != text {
			t.Errorf("%s: %s is\n%s\nwant\n%s", what, name, got[name], text)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s: %s is there as well", what, name)
	}
}

func wantText(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}
