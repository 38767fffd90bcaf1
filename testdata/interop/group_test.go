//go:build unix && !oldgoplugin

package interop_test

import (
	"context"
	"fmt"
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
		wrong := func(want int) error {
			sockets := socketsIn(t, os.TempDir())
			if len(sockets) != want {
				return fmt.Errorf("the sockets are %q, want %d", sockets, want)
			}
			for _, path := range sockets {
				info, err := os.Stat(path)
				if err != nil {
					return err
				}
				if got := int(info.Sys().(*syscall.Stat_t).Gid); got != group || info.Mode().Perm() != 0o660 {
					return fmt.Errorf("%s is the group %d's, %v, want %d's, 0660", path, got, info.Mode(), group)
				}
			}
			return nil
		}
		h, err := p.start(cases.Setup{
			Group: strconv.Itoa(group),
			BeforeConnect: func() {
				if err := wrong(1); err != nil {
					t.Errorf("before the host connects: %v", err)
				}
			},
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
		want := 2
		if mode.Multiplex {
			want = map[string]int{"go-plugin": 1, "tenon": 0}[p.plugin]
		}
		// go-plugin's makes its socket some time after it has offered it.
		ctx, cancel := context.WithTimeout(t.Context(), cases.Timeout)
		defer cancel()
		for err = wrong(want); err != nil; err = wrong(want) {
			if h.Ping(ctx) != nil || ctx.Err() != nil {
				t.Errorf("with a brokered server: %v", err)
				break
			}
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
