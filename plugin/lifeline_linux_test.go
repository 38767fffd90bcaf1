package plugin_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/wire"
)

// commands are those of the obedient plugin that work only on Linux.
var commands = map[string]func(argument string) (string, error){
	// The files that a child has inherited.
	"files-of-child": func(string) (string, error) {
		out, err := exec.Command("/bin/sh", "-c", "for f in 0 1 2 3 4 5 6 7 8 9; do readlink /proc/$$/fd/$f; done; true").Output()
		return string(out), err
	},
	"files": func(string) (string, error) {
		var list []string
		names, err := filepath.Glob("/proc/self/fd/*")
		for _, name := range names {
			if to, err := os.Readlink(name); err == nil {
				list = append(list, filepath.Base(name)+" "+to)
			}
		}
		return strings.Join(list, "\n"), err
	},
	"redirect-stderr": func(to string) (string, error) {
		f, err := os.Create(to)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return "", syscall.Dup3(int(f.Fd()), 2, 0)
	},
}

// pipeName returns /proc's name of a pipe.
func pipeName(t *testing.T, f *os.File) string {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("pipe:[%d]", info.Sys().(*syscall.Stat_t).Ino)
}

func TestLifelineIsNotInherited(t *testing.T) {
	life := newLifeline(t)
	c := startWith(t, "plugin", inherits(life.plugin), life.env)
	name := pipeName(t, life.plugin)
	if files := c.tell("files"); !strings.Contains(files, "3 "+name) {
		t.Errorf("the plugin has no %s: %s", name, files)
	}
	if files := c.tell("files-of-child"); !strings.Contains(files, "/dev/null") || strings.Contains(files, name) {
		t.Errorf("a child of the plugin has %s: %s", name, files)
	}
	c.shutdown()
	c.wantEnd(0)
}

// TestLifelineOfSomethingElse names a descriptor that is not the host's pipe.
// It is neither read nor closed.
func TestLifelineOfSomethingElse(t *testing.T) {
	other, life := newLifeline(t), newLifeline(t)
	for name, env := range map[string]string{
		"another pipe":     life.env,
		"nothing":          wire.EnvLifeline + "=99:1:1",
		"nothing at all":   wire.EnvLifeline + "=2147483647:1:1",
		"not a lifeline":   wire.EnvLifeline + "=three:4:5",
		"a stream":         wire.EnvLifeline + "=1:1:1",
		"not even a value": wire.EnvLifeline + "=::",
	} {
		c := startWith(t, "plugin", inherits(other.plugin), env)
		if files := c.tell("files"); !strings.Contains(files, "3 "+pipeName(t, other.plugin)) {
			t.Errorf("%s: descriptor 3 is not what it was: %s", name, files)
		}
		c.shutdown()
		c.wantEnd(0)
		if !strings.Contains(c.stderr, "the host's lifeline cannot be used") {
			t.Errorf("%s: nothing is said of it: %q", name, c.stderr)
		}
	}
}

func TestSignsOfTheHostsEnd(t *testing.T) {
	t.Run("nobody reads and nobody is connected", func(t *testing.T) {
		t.Parallel()
		c := launch(t, "plugin", cookie)
		c.readHandshake()
		gone := prompt(t)
		c.stdoutR.Close()
		c.stderrR.Close()
		c.wantEnd(0)
		gone()
	})
	t.Run("somebody is connected", func(t *testing.T) {
		t.Parallel()
		c := start(t, "plugin")
		c.tell("print hello")
		c.stdoutR.Close()
		c.stderrR.Close()
		c.outlast()
		c.tell("print hello")
		gone := prompt(t)
		c.cc.Close()
		c.wantEnd(0)
		gone()
	})
	t.Run("somebody reads stderr", func(t *testing.T) {
		t.Parallel()
		c := launch(t, "plugin", cookie)
		c.readHandshake()
		c.stdoutR.Close()
		c.outlast()
		c.connect()
		c.tell("print hello")
		c.shutdown()
		c.wantEnd(0)
	})
	t.Run("stderr is a file", func(t *testing.T) {
		t.Parallel()
		log, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		c := launchWith(t, "plugin", func(cmd *exec.Cmd) { cmd.Stderr = log }, cookie)
		c.readHandshake()
		gone := prompt(t)
		c.stdoutR.Close()
		c.wantEnd(0)
		gone()
	})
	t.Run("stderr became a file", func(t *testing.T) {
		t.Parallel()
		c := start(t, "plugin")
		c.tell("redirect-stderr " + filepath.Join(t.TempDir(), "log"))
		gone := prompt(t)
		c.stdoutR.Close()
		c.stderrR.Close()
		c.cc.Close()
		c.wantEnd(0)
		gone()
	})
}

// TestFirstProcesses has plugins whose parent is process 0, because it is outside of
// their namespace, and process 1, because it is the first process in it.
func TestFirstProcesses(t *testing.T) {
	for name, change := range map[string]func(*exec.Cmd){
		"the plugin is the first": func(*exec.Cmd) {},
		"the host is the first": func(cmd *exec.Cmd) {
			cmd.Args = []string{"sh", "-c", `"$0"; true`, os.Args[0]}
			cmd.Path = "/bin/sh"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := launchWith(t, "plugin", func(cmd *exec.Cmd) {
				cmd.SysProcAttr = &syscall.SysProcAttr{
					Cloneflags:  syscall.CLONE_NEWPID | syscall.CLONE_NEWUSER,
					UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
					GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
				}
				change(cmd)
			}, cookie)
			c.readHandshake()
			c.outlast() // no host has connected, and the parent has not changed
			c.connect()
			c.tell("print hello")
			gone := prompt(t)
			c.cc.Close()
			c.stdoutR.Close()
			c.stderrR.Close()
			c.wantEnd(0)
			gone()
		})
	}
}
