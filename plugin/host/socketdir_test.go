package host_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

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

	make := func(name string, mode os.FileMode, lock bool) string {
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, mode); err != nil {
			t.Fatal(err)
		}
		if lock {
			if err := os.WriteFile(filepath.Join(dir, ".tenon-host"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	dead := make("tenon-dead", 0o700, true)
	shared := make("tenon-shared", 0o770, true)
	if err := os.Chmod(shared, 0o770); err != nil { // whatever the umask
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dead, "plugin1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	executed := make("tenon-executed", 0o711, true)
	if err := os.WriteFile(filepath.Join(executed, "plugin"), nil, 0o555); err != nil {
		t.Fatal(err)
	}
	unlocked := make("tenon-unlocked", 0o700, false)
	file := filepath.Join(make("tenon-other", 0o700, false), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	kept := map[string]string{
		"another program's directory":              make("other-dead", 0o700, true),
		"a directory that others can write to":     make("tenon-open", 0o755, true),
		"one with something else in it":            filepath.Dir(file),
		"one that is held by the host that has it": live,
	}
	target := make("target", 0o700, true)
	link := filepath.Join(parent, "tenon-link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	kept["what a link leads to"] = filepath.Join(target, ".tenon-host")
	kept["the link"] = link

	gone := []string{dead, shared, executed, unlocked}
	if os.Getuid() == 0 { // as another user's plugin has them, and as another user's host
		chown := func(path string) string {
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
			return path
		}
		gone = append(gone, chown(make("tenon-lent", 0o700, true)))
		foreign := chown(make("tenon-foreign", 0o700, true))
		kept["another user's directory"] = chown(filepath.Join(foreign, ".tenon-host"))
		kept["another user's empty directory"] = chown(make("tenon-unknown", 0o700, false))
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

func TestOnlyThePluginsOwnSocketIsRemoved(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no unix sockets")
	}
	dir, elsewhere := shortDir(t), shortDir(t)
	started := time.Now()
	listen := func(path string) string {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return path
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := listen(filepath.Join(dir, "old"))
	if err := os.Chtimes(old, started.Add(-time.Hour), started.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{
		"a file":                         file,
		"a socket older than the plugin": old,
		"a socket in another directory":  listen(filepath.Join(elsewhere, "s")),
	} {
		host.RemoveSocket(path, dir, started)
		if !exists(path) {
			t.Errorf("%s was removed", what)
		}
	}
	own := listen(filepath.Join(dir, "plugin1"))
	host.RemoveSocket(own, dir, started)
	if exists(own) {
		t.Error("the plugin's own socket is still there")
	}
}
