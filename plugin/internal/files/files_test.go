//go:build unix

package files_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/files"
)

// newDir makes a directory that ends with the test.
func newDir(t *testing.T) (parent, d *files.Dir) {
	t.Helper()
	path, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	if parent, err = files.OpenParent(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parent.Close() })
	if d, err = parent.Make(files.NewName("tenon-"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return parent, d
}

// TestListenersRemoveTheirOwnAlone: whatever has replaced a socket when its listener is
// closed stays.
func TestListenersRemoveTheirOwnAlone(t *testing.T) {
	_, d := newDir(t)
	for name, listen := range map[string]func() (net.Listener, error){
		"in a directory": func() (net.Listener, error) { return d.Listen("s", files.Private(files.SocketMode)) },
		"by path": func() (net.Listener, error) {
			return files.Listen(d.Path(), "s", files.Private(files.SocketMode), nil)
		},
	} {
		for what, put := range map[string]func(path string) error{
			"a file":         func(path string) error { return os.WriteFile(path, nil, 0o600) },
			"a link":         func(path string) error { return os.Symlink("nowhere", path) },
			"a directory":    func(path string) error { return os.Mkdir(path, 0o700) },
			"another socket": func(path string) error { return bind(path) },
			"nothing":        func(string) error { return nil },
		} {
			l, err := listen()
			if err != nil {
				t.Fatal(err)
			}
			path := l.Addr().String()
			if err := errors.Join(os.Remove(path), put(path)); err != nil {
				t.Fatal(err)
			}
			before, errBefore := os.Lstat(path)
			if err := l.Close(); err != nil {
				t.Errorf("%s, %s: closing: %v", name, what, err)
			}
			if after, err := os.Lstat(path); errBefore == nil && (err != nil || !os.SameFile(before, after)) {
				t.Errorf("%s: %s was removed", name, what)
			}
			os.Remove(path)
		}
	}
}

// bind leaves a socket that nothing listens on.
func bind(path string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	return errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Close(fd))
}

// TestEmptyIsBounded: a plugin that fills its directory does not delay its host.
func TestEmptyIsBounded(t *testing.T) {
	parent, d := newDir(t)
	const more = 100
	for i := range 20_000 + more {
		fd, err := syscall.Open(filepath.Join(d.Path(), fmt.Sprint(i)), syscall.O_CREAT|syscall.O_RDONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		syscall.Close(fd)
	}
	if err := d.Empty(); err == nil || !strings.Contains(err.Error(), "holds more than the 20000 entries") {
		t.Errorf("the directory was too full, and the error is %v", err)
	}
	if names, err := d.Names(-1); err != nil || len(names) != more {
		t.Errorf("%d entries are left (%v), want %d", len(names), err, more)
	}
	if err := d.Empty(); err != nil {
		t.Errorf("what was left: %v", err)
	}
	deep := d.Path()
	for range 200 {
		deep += "/d"
		if err := os.Mkdir(deep, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Empty(); err != nil {
		t.Errorf("200 directories in each other: %v", err)
	}
	if err := parent.Remove(d); err != nil {
		t.Errorf("removing the empty directory: %v", err)
	}
}

// TestEmptyDoesNotGoWhereOthersWrite has a directory that others can write to, which
// contains what they could not have removed themselves.
func TestEmptyDoesNotGoWhereOthersWrite(t *testing.T) {
	_, d := newDir(t)
	for _, path := range []string{"open/private/precious", "sticky/private/precious", "open/file", "private/file"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(d.Path(), path)), 0o700), os.WriteFile(filepath.Join(d.Path(), path), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Join(d.Path(), "open"), 0o770), os.Chmod(filepath.Join(d.Path(), "sticky"), 0o777|fs.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	if err := d.Empty(); err == nil {
		t.Error("nothing was left")
	}
	for path, stays := range map[string]bool{"open/private/precious": true, "sticky/private/precious": true, "open/file": false, "private": false} {
		if _, err := os.Lstat(filepath.Join(d.Path(), path)); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
	}
	// The same where others can write to the directory itself, and one level up.
	if err := errors.Join(os.RemoveAll(d.Path()+"/sticky"), os.WriteFile(d.Path()+"/file", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := d.Strip(); err == nil {
		t.Error("nothing was left")
	}
	for path, stays := range map[string]bool{"open/private/precious": true, "file": false} {
		if _, err := os.Lstat(filepath.Join(d.Path(), path)); (err == nil) != stays {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestEmptyWhatIsClosed has a directory that its own user cannot read any more.
func TestEmptyWhatIsClosed(t *testing.T) {
	parent, d := newDir(t)
	if err := errors.Join(os.WriteFile(filepath.Join(d.Path(), "file"), nil, 0o600), os.Chmod(d.Path(), 0)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Empty(), parent.Remove(d)); err != nil {
		t.Error(err)
	}
}

func TestHolds(t *testing.T) {
	parent, d := newDir(t)
	again := func() *files.Dir {
		t.Helper()
		again, err := parent.Find(filepath.Base(d.Path()))
		if err != nil {
			t.Fatal(err)
		}
		return again
	}
	second, third := again(), again()
	defer third.Close()
	if err := errors.Join(d.Hold(), second.Hold()); err != nil {
		t.Fatal(err)
	}
	if err := third.Claim(); !errors.Is(err, files.ErrHeld) {
		t.Errorf("claiming what two hold: %v", err)
	}
	d.Close()
	if err := third.Claim(); !errors.Is(err, files.ErrHeld) {
		t.Errorf("claiming what one holds: %v", err)
	}
	second.Close()
	if err := third.Claim(); err != nil {
		t.Errorf("claiming what nobody holds: %v", err)
	}
	fourth := again()
	defer fourth.Close()
	if err := fourth.Hold(); !errors.Is(err, files.ErrHeld) {
		t.Errorf("holding what is claimed: %v", err)
	}
}

func TestRemovedIsWhatWasMade(t *testing.T) {
	parent, d := newDir(t)
	if err := errors.Join(os.Remove(d.Path()), os.Mkdir(d.Path(), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := parent.Remove(d); !errors.Is(err, files.ErrReplaced) {
		t.Errorf("removing another directory: %v", err)
	}
	if _, err := os.Lstat(d.Path()); err != nil {
		t.Error("another directory was removed")
	}
	if _, err := parent.Find("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("finding nothing: %v", err)
	}
	if err := os.Symlink(d.Path(), d.Path()+"-link"); err != nil {
		t.Fatal(err)
	}
	if _, err := parent.Find(filepath.Base(d.Path()) + "-link"); err == nil {
		t.Error("a link to a directory was opened")
	}
}

// TestReadDoesNotWait has a pipe instead of a file.
func TestReadDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := files.Read(path); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("reading a pipe: %v", err)
	}
	if _, _, err := files.Read(filepath.Dir(path)); err == nil {
		t.Error("a directory was read")
	}
}

// TestReplaceFails leaves the old file, and nothing else.
func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "record")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := files.Replace(path, []byte("x"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || !entries[0].IsDir() {
		t.Errorf("there is %v, %v", entries, err)
	}
}
