package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
)

// shortDir returns a directory whose name leaves room for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestSocketDirectoryIsPrivate(t *testing.T) {
	noLeaks(t)
	path, remove, err := host.NewSocketDir(shortDir(t))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if perm := info.Mode().Perm(); perm != 0o700 && runtime.GOOS != "windows" {
		t.Errorf("mode %v, want 0700", perm)
	}
	remove()
	if exists(path) {
		t.Error("it is still there after its removal")
	}
}

func TestSweepTakesOnlyWhatDeadHostsLeft(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no file locks, no sweep")
	}
	noLeaks(t)
	parent := shortDir(t)
	live, remove, err := host.NewSocketDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	defer remove()

	const kind = 0o700 | os.ModeSticky // of a host's directories
	make := func(name string, mode os.FileMode) string {
		dir := filepath.Join(parent, name)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	file := func(path string) string {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dead := make("tenon-dead", kind)
	file(filepath.Join(dead, "p", "plugin1"))
	file(filepath.Join(dead, "p", "deep", "deeper", "file"))
	file(filepath.Join(dead, "h", "host1"))
	executed := make("tenon-executed", 0o711|os.ModeSticky)
	file(filepath.Join(executed, "plugin"))
	let := make("tenon-let", kind) // a plugin that was let go has ended
	file(filepath.Join(let, "keep"))
	gone := []string{dead, executed, let, make("tenon-begun", kind)}

	kept := map[string]string{
		"another program's directory":              make("other-dead", kind),
		"a directory that others can write to":     make("tenon-open", 0o777|os.ModeSticky),
		"an empty one that somebody has named so":  make("tenon-private", 0o700),
		"one that somebody uses":                   filepath.Dir(file(filepath.Join(make("tenon-used", 0o700), "file"))),
		"one that is held by the host that has it": live,
	}
	target := make("target", kind)
	link := filepath.Join(parent, "tenon-link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	kept["what a link leads to"] = target
	kept["the link"] = link
	// A plugin has put a link to elsewhere in its directory.
	outside := file(filepath.Join(parent, "outside", "file"))
	if err := errors.Join(os.Symlink(filepath.Dir(outside), filepath.Join(dead, "p", "link")),
		os.Symlink(filepath.Dir(outside), filepath.Join(executed, "p"))); err != nil {
		t.Fatal(err)
	}
	kept["what a plugin's link leads to"] = outside
	// A plugin that was let go lives.
	held := make("tenon-held", kind)
	lock, err := os.OpenFile(file(filepath.Join(held, "keep")), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := host.HoldFile(lock); err != nil {
		t.Fatal(err)
	}
	kept["one that a plugin holds"] = held

	if os.Getuid() == 0 { // as another user's plugin has them, and as another user's host
		chown := func(path string) string {
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
			return path
		}
		lent := make("tenon-lent", 0o711|os.ModeSticky)
		file(filepath.Join(lent, "p", "plugin1"))
		chown(filepath.Join(lent, "p"))
		gone = append(gone, lent)
		kept["another user's directory"] = chown(make("tenon-foreign", kind))
		// A plugin's user has moved what is somebody else's into its directory.
		moved := make("tenon-moved", 0o711|os.ModeSticky)
		kept["what was moved into a plugin's directory"] = file(filepath.Join(moved, "p", "others", "file"))
		chown(filepath.Join(moved, "p"))
	}

	host.Sweep(parent)
	for _, path := range gone {
		if exists(path) {
			t.Errorf("the dead host's directory %s is still there", path)
		}
	}
	for what, path := range kept {
		if !exists(path) {
			t.Errorf("the sweep took %s", what)
		}
	}
}

// TestSweepsBesideStarts has many hosts start at once, which sweep first.
func TestSweepsBesideStarts(t *testing.T) {
	noLeaks(t)
	parent := shortDir(t)
	var hosts sync.WaitGroup
	for range 4 {
		hosts.Go(func() {
			for range 50 {
				host.Sweep(parent)
				path, remove, err := host.NewSocketDir(parent)
				if err != nil {
					t.Errorf("making a directory: %v", err)
					return
				}
				if !exists(path) {
					t.Error("a directory in use was swept away")
				}
				remove()
			}
		})
	}
	hosts.Wait()
	host.Sweep(parent)
	if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
