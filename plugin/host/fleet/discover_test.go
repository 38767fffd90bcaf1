package fleet_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host/fleet"
)

// tree makes files with modes in a new directory, and returns it.
func tree(t *testing.T, files map[string]os.FileMode) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
	}
	return dir
}

func wantPlugins(t *testing.T, dir, pattern string, want ...string) {
	t.Helper()
	got, err := fleet.Discover(dir, pattern)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range want {
		want[i] = filepath.Join(dir, name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDiscover(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("programs are recognised by their names")
	}
	dir := tree(t, map[string]os.FileMode{
		"app-b": 0o755, "app-a": 0o700, "app-data": 0o644, "other": 0o755,
		"app-dir/app-x": 0o755, "real/program": 0o755,
	})
	for from, to := range map[string]string{"app-link": "real/program", "app-lost": "nowhere", "app-again": "app-a"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	wantPlugins(t, dir, "app-*", "app-a", "app-b", "real/program")
	wantPlugins(t, dir, "app-[b]", "app-b")
	wantPlugins(t, dir, "nothing-*")
	t.Chdir(dir)
	if got, err := fleet.Discover(".", "app-b"); err != nil || !slices.Equal(got, []string{filepath.Join(dir, "app-b")}) {
		t.Errorf("relative: %q, %v", got, err)
	}
	for _, tc := range []struct{ dir, pattern string }{
		{dir, "[a-"}, {dir, "app-dir/*"}, {filepath.Join(dir, "missing"), "*"}, {filepath.Join(dir, "app-a"), "*"},
	} {
		if got, err := fleet.Discover(tc.dir, tc.pattern); err == nil || got != nil {
			t.Errorf("%q in %q: got %q, %v", tc.pattern, tc.dir, got, err)
		}
	}
}

func TestDiscoverRefusesWhatAnyoneCanWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no such modes")
	}
	for name, change := range map[string]func(dir string) error{
		"the program":           func(dir string) error { return os.Chmod(filepath.Join(dir, "d/app-a"), 0o757) },
		"the directory":         func(dir string) error { return os.Chmod(filepath.Join(dir, "d"), 0o777) },
		"a sticky directory":    func(dir string) error { return os.Chmod(filepath.Join(dir, "d"), 0o777|os.ModeSticky) },
		"a directory above":     func(dir string) error { return os.Chmod(dir, 0o777) },
		"the end of a link":     func(dir string) error { return os.Chmod(filepath.Join(dir, "linked/program"), 0o777) },
		"the directory of that": func(dir string) error { return os.Chmod(filepath.Join(dir, "linked"), 0o777) },
	} {
		dir := tree(t, map[string]os.FileMode{"d/app-a": 0o755, "linked/program": 0o755})
		if err := os.Symlink("../linked/program", filepath.Join(dir, "d/app-link")); err != nil {
			t.Fatal(err)
		}
		wantPlugins(t, dir+"/d", "app-a", "app-a")
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		if got, err := fleet.Discover(filepath.Join(dir, "d"), "app-*"); !errors.Is(err, fleet.ErrWorldWritable) || got != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	// Files that are not plugins do not matter, and neither does the group's
	// permission.
	dir := tree(t, map[string]os.FileMode{"app-a": 0o775, "other": 0o777, "app-text": 0o666})
	if err := os.Chmod(dir, 0o775); err != nil {
		t.Fatal(err)
	}
	wantPlugins(t, dir, "app-*", "app-a")
}
