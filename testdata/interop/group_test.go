//go:build unix

package interop_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
)

// ourGroup returns a group that this process may give files to, and another one
// than files get anyway if there is any.
func ourGroup(t *testing.T) int {
	t.Helper()
	if os.Geteuid() == 0 {
		return os.Getegid() + 1 // root may give them to any, there or not
	}
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for _, gid := range groups {
		if gid != os.Getegid() {
			return gid
		}
	}
	return os.Getegid()
}

// TestGroup has sockets belong to a group that the host chooses: the plugin's
// own and those of its brokered servers.
func TestGroup(t *testing.T) {
	const name = "sockets of a group"
	group := ourGroup(t)
	each(t, func(t *testing.T, p pair, mode cases.Mode, log *cases.Output) {
		check := func(what string, want int) {
			sockets := socketsIn(t, os.TempDir())
			if len(sockets) != want {
				t.Errorf("%s: the sockets are %q, want %d", what, sockets, want)
			}
			for _, path := range sockets {
				info, err := os.Stat(path)
				if err != nil {
					t.Error(err)
					continue
				}
				if got := int(info.Sys().(*syscall.Stat_t).Gid); got != group || info.Mode().Perm() != 0o660 {
					t.Errorf("%s: %s is the group %d's, %v, want %d's, 0660", what, path, got, info.Mode(), group)
				}
			}
		}
		h, err := p.start(cases.Setup{
			Group:         strconv.Itoa(group),
			BeforeConnect: func() { check("before the host connects", 1) },
		}, mode, log)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Stop(t.Context())
		if _, err := h.Offer(t.Context()); err != nil {
			t.Fatal(err)
		}
		// A plugin that multiplexes needs no socket any more, and this library's
		// removes it.
		switch {
		case !mode.Multiplex:
			check("with a brokered server", 2)
		case p.plugin == "tenon":
			check("with a brokered server", 0)
		default:
			check("with a brokered server", 1)
		}
		runSome(t, h)
		if !t.Failed() {
			passed(p.host, p.plugin, mode, name)
		}
	})
}

func socketsIn(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type() == fs.ModeSocket {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
