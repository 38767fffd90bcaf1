package check_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/cmd/internal/check"
)

// TestSinceRelease compares the repository with its last release, once there is one.
func TestSinceRelease(t *testing.T) {
	release := check.LastRelease(root)
	if release == nil {
		return
	}
	tree, err := check.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range release.Changes(tree) {
		t.Error(f)
	}
}

// TestLastRelease asks for the last release of a repository made for it.
func TestLastRelease(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" && runtime.GOOS != "windows" { // Wine has none
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org",
			"-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	last := func(version string) *check.Release {
		t.Helper()
		release := check.LastRelease(dir)
		if release == nil && version != "" || release != nil && release.Version != version {
			t.Fatalf("the last release is %v, want %q", release, version)
		}
		return release
	}
	file := filepath.Join(dir, filepath.FromSlash(check.APIFile))
	commit := func(api string, tags ...string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(api), 0o600); err != nil {
			t.Fatal(err)
		}
		git("add", ".")
		git("commit", "-q", "-m", api)
		for _, tag := range tags {
			git("tag", tag)
		}
	}

	last("") // no repository
	git("init", "-q")
	last("") // no commit
	commit("wire const A\n")
	last("") // no tag
	commit("wire const B\n", "v0.1.0", "wire/v0.9.0", "nightly")
	commit("wire const C\n", "v0.2.0-rc.1")
	if release := last("v0.1.0"); release.API != "wire const B\n" {
		t.Errorf("it exports %q", release.API)
	}
	commit("wire const D\n", "v0.10.0")
	commit("wire const E\n")
	if release := last("v0.10.0"); release.API != "wire const D\n" {
		t.Errorf("it exports %q", release.API)
	}
}

func TestChanges(t *testing.T) {
	const (
		api = "wire F.A int\nwire F.B int\nwire F.D func(int)\nwire T has U\nwire T.A int\n" +
			"wire const C\nwire func (t *T) M(int) error\nwire func G()\nwire type F struct { }\nwire type T[U any] struct { }\nwire var V error\n"
		released = "\n## 0.1.0\n\n`F`, `T`, `A`, `B`, `D`, `C`, `M`, `G`, `V` are new.\n"
	)
	without := func(lines ...string) string {
		s := api
		for _, line := range lines {
			before, after, ok := strings.Cut(s, line+"\n")
			if !ok {
				t.Fatalf("there is no line %q", line)
			}
			s = before + after
		}
		return s
	}
	for i, c := range []struct {
		version, is, news string
		want              int
	}{
		{"v0.1.0", api + "wire func New()\n", "", 0},
		{"v0.1.0", without("wire const C"), "", 1},
		{"v0.1.0", without("wire const C"), "C is no more.", 1}, // a word like any other
		{"v0.1.0", without("wire const C"), "`wire.C` is no more.", 0},
		{"v0.1.0", without("wire F.B int"), "`F` has one member less.", 1},
		{"v0.1.0", without("wire F.B int"), "`F` lacks `B`.", 0},
		{"v0.1.0", without("wire F.B int") + "wire F.B uint\n", "`F.B` is unsigned.", 0},
		{"v0.1.0", without("wire func (t *T) M(int) error"), "`M` is no more.", 1},
		{"v0.1.0", without("wire func (t *T) M(int) error"), "`T.M` is no more.", 0},
		{"v0.1.0", without("wire func G()", "wire var V error"), "`V` is no more.", 1},
		// A type that is removed takes its members with it.
		{"v0.1.0", without("wire T has U", "wire T.A int", "wire func (t *T) M(int) error", "wire type T[U any] struct { }"), "`T` is no more.", 0},
		{"v0.1.0", without("wire T has U", "wire T.A int", "wire func (t *T) M(int) error", "wire type T[U any] struct { }"), "", 4},
		{"v1.0.0", without("wire const C"), "`C` is no more.", 1},
		{"v1.0.0", api, "", 0},
	} {
		tree, err := check.New(map[string][]byte{
			check.APIFile:          []byte(c.is),
			".github/CHANGELOG.md": []byte("## Unreleased\n\n" + c.news + "\n" + strings.Replace(released, "0.1.0", c.version, 1)),
		})
		if err != nil {
			t.Fatal(err)
		}
		release := &check.Release{Version: c.version, API: api}
		if got := release.Changes(tree); len(got) != c.want {
			t.Errorf("case %d: found %v, want %d findings", i, got, c.want)
		}
	}
	tree, err := check.New(map[string][]byte{check.APIFile: []byte(api), ".github/CHANGELOG.md": []byte("## Unreleased\n\n## 0.1.00\n")})
	if err != nil {
		t.Fatal(err)
	}
	release := &check.Release{Version: "v0.1.0", API: api}
	if got := fmt.Sprint(release.Changes(tree)); !strings.Contains(got, "no section for v0.1.0") {
		t.Errorf("a changelog that does not have the release: %s", got)
	}
}
