//go:build unix

package host_test

import (
	"context"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
)

// otherGroup returns a group that is not this process's main one, and that this process
// can give files to.
func otherGroup(t *testing.T) *user.Group {
	t.Helper()
	ids, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		ids = append(ids, 1, 2, 100) // root can with all groups; some of these have names
	}
	for _, id := range ids {
		if g, err := user.LookupGroupId(strconv.Itoa(id)); err == nil && id != os.Getegid() {
			return g
		}
	}
	t.Skip("this user has no second group")
	return nil
}

// wantFile requires a file's mode and group.
func wantFile(t *testing.T, path string, mode fs.FileMode, gid string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Gid)); info.Mode().Perm() != mode || got != gid {
		t.Errorf("%s has mode %v and the group %s; want %v and %s", path, info.Mode().Perm(), got, mode, gid)
	}
}

func TestSocketGroup(t *testing.T) {
	g := otherGroup(t)
	for _, name := range []string{g.Name, g.Gid} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := withEcho(t, "real")
			cfg.Sockets.Group = name
			c := start(t, cfg)
			socket := connectedTo(t, c).String()
			wantFile(t, filepath.Dir(socket), 0o770, g.Gid)
			wantFile(t, socket, 0o660, g.Gid)
			l, err := c.Broker().Accept(t.Context(), c.Broker().NextID())
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, l.Addr().String(), 0o660, g.Gid)
			l.Close()
			usesBroker(t, c)
			closes(t, c)
			if exists(filepath.Dir(socket)) {
				t.Error("the directory is left")
			}
		})
	}
}

func TestSocketsAreTheUsersAlone(t *testing.T) {
	noLeaks(t)
	c := start(t, withEcho(t, "real"))
	own := strconv.Itoa(os.Getegid())
	socket := connectedTo(t, c).String()
	wantFile(t, filepath.Dir(socket), 0o700, own)
	wantFile(t, socket, 0o600, own)
	l, err := c.Broker().Accept(t.Context(), c.Broker().NextID())
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, l.Addr().String(), 0o600, own)
	l.Close()
	closes(t, c)
}

// TestPluginOfAnotherUser runs a plugin as a user who shares only a group with this
// one, and as one who shares nothing.
const nobody = 65534

// asNobody runs a program as nobody.
func asNobody(groups ...uint32) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody, Groups: groups}}
}

// A host that has copied a script, for another user if that is possible, is killed: no
// other host has directories like it.
func init() {
	stages["while a copy is verified"] = hostStage{run: func(cfg *host.Config, at func()) {
		script := filepath.Join(os.TempDir(), "script")
		must(os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700))
		cfg.Cmd = exec.Command(script)
		if os.Getuid() == 0 {
			cfg.Cmd.SysProcAttr = asNobody()
		}
		cfg.Verify = func(context.Context, string, io.Reader) error {
			must(os.Remove(script))
			at()
			linger()
			return nil
		}
		host.Start(context.Background(), cfg)
	}}
}

func TestPluginOfAnotherUser(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root on Linux can start a program as somebody else")
	}
	g := otherGroup(t)
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		group  string
		groups []uint32
	}{
		"sharing a group": {g.Name, []uint32{uint32(gid)}},
		"stranger":        {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			// What the plugin's user must reach: the program, and the sockets'
			// directory.
			opened := os.TempDir()
			if err := os.Chmod(opened, 0o711); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(opened, 0o700)
			program := filepath.Join(opened, "program")
			copyFile(t, program, 0o755)
			cfg := withEcho(t, "real")
			cfg.Cmd.Path = program
			cfg.Cmd.SysProcAttr = asNobody(tc.groups...)
			cfg.Sockets.Group = tc.group
			c, err := host.Start(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Kill)
			usesBroker(t, c)
			closes(t, c)
		})
	}
}

// copyFile copies this program to path, for the test's time.
func copyFile(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
}
