// Package app_test runs what the README shows: an application in a module of its own,
// with a host and a plugin, that uses a copy of the library by replace.
package app_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGreet builds the host and the plugin as the README says, and runs them.
func TestGreet(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin")+string(filepath.Separator), "./cmd/...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	// Sockets go to a directory of our own, so that it shows if one stays. Its
	// name is short, because their paths are limited.
	temp, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temp)

	greet := exec.Command(filepath.Join(dir, "bin", "greet"))
	greet.Dir = dir
	greet.Env = append(os.Environ(), "TMPDIR="+temp)
	out, err := greet.CombinedOutput()
	if want := "Hello, tenon!\n"; err != nil || string(out) != want {
		t.Errorf("the host ends with %v and says:\n%s\nwant:\n%s", err, out, want)
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 0 {
		t.Errorf("%v is left in the directory for temporary files (%v)", left, err)
	}
}
