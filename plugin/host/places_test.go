//go:build unix

package host_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/host"
)

// longDir makes a directory with a name of n bytes.
func longDir(t *testing.T, n int) string {
	t.Helper()
	top := shortDir(t)
	dir := top + "/" + strings.Repeat("d", n-len(top)-1)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// isBelow reports whether the plugin's directory is somewhere below dir.
func isBelow(t *testing.T, c *host.Client, dir string) bool {
	t.Helper()
	return strings.HasPrefix(connectedTo(t, c).String(), dir+"/")
}

// If the directory for temporary files has a long name, sockets are elsewhere, in a
// safe place.
func TestLongTempDir(t *testing.T) {
	for _, n := range []int{60, 68, 69, 75, 76, 91, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			noLeaks(t)
			dir := longDir(t, n)
			t.Setenv("TMPDIR", dir)
			c := start(t, withEcho(t, "real"))
			usesBroker(t, c)
			if fits := n <= 75; runtime.GOOS == "linux" && isBelow(t, c, dir) != fits {
				t.Errorf("the socket is %v", connectedTo(t, c))
			}
			closes(t, c)
		})
	}
}

// XDG_RUNTIME_DIR is next, unless others could remove what is in it.
func TestRuntimeDir(t *testing.T) {
	for name, tc := range map[string]struct {
		mode fs.FileMode
		used bool
	}{
		"private":                   {0o700, true},
		"readable":                  {0o755, true},
		"for everybody":             {0o777, false},
		"for everybody, and sticky": {0o777 | fs.ModeSticky, true},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			dir := shortDir(t)
			t.Setenv("TMPDIR", longDir(t, 91))
			if err := os.Chmod(dir, tc.mode); err != nil {
				t.Fatal(err)
			}
			t.Setenv("XDG_RUNTIME_DIR", dir)
			c := start(t, withEcho(t, "real"))
			if isBelow(t, c, dir) != tc.used {
				t.Errorf("the socket is %v", connectedTo(t, c))
			}
			closes(t, c)
		})
	}
	t.Run("private, and a group has to enter", func(t *testing.T) {
		noLeaks(t)
		t.Setenv("XDG_RUNTIME_DIR", shortDir(t))
		t.Setenv("TMPDIR", longDir(t, 91))
		cfg := withEcho(t, "real")
		cfg.Sockets.Group = strconv.Itoa(os.Getegid())
		c := start(t, cfg)
		if isBelow(t, c, os.Getenv("XDG_RUNTIME_DIR")) {
			t.Errorf("the socket is %v", connectedTo(t, c))
		}
		closes(t, c)
	})
	t.Run("relative", func(t *testing.T) {
		noLeaks(t)
		t.Setenv("TMPDIR", longDir(t, 91))
		t.Setenv("XDG_RUNTIME_DIR", "relative")
		c := start(t, withEcho(t, "real"))
		if !isBelow(t, c, "/tmp") {
			t.Errorf("the socket is %v", connectedTo(t, c))
		}
		closes(t, c)
	})
}

func TestTempDirOfTheConfig(t *testing.T) {
	noLeaks(t)
	dir := shortDir(t)
	cfg := withEcho(t, "real")
	cfg.Sockets.TempDir = dir
	c := start(t, cfg)
	usesBroker(t, c)
	if !isBelow(t, c, dir) {
		t.Errorf("the socket is %v", connectedTo(t, c))
	}
	closes(t, c)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A relative directory keeps the meaning that it had when the plugin was started, for a
// plugin that runs in another directory, and when this process changes its own.
func TestRelativeTempDir(t *testing.T) {
	noLeaks(t)
	// The name must be short from here, and lead to the test's own directory.
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	top := os.TempDir()
	t.Chdir(filepath.Dir(top))
	t.Setenv("TMPDIR", filepath.Base(top))
	cfg := withEcho(t, "real")
	cfg.Cmd.Dir = here
	c := start(t, cfg)
	t.Chdir("/")
	usesBroker(t, c)
	closes(t, c)
	t.Setenv("TMPDIR", top)
	if left, err := filepath.Glob(top + "/tenon-*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A name that the handshake cannot carry is refused by whichever side makes the path.
func TestUnspeakableTempDir(t *testing.T) {
	for _, name := range []string{"a|b", "a\nb", "a\x1b[2Jb"} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			noLeaks(t)
			dir := filepath.Join(shortDir(t), name)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TMPDIR", dir)
			failed := failing(t, withEcho(t, "real"))
			text := failed.Error()
			if failed.Stage != host.StageHandshake || !strings.Contains(failed.Hint, "cannot carry; set TMPDIR to a directory with another name") || strings.Contains(text, "\x1b") {
				t.Errorf("got %v", text)
			}
			if !strings.Contains(text, "which the handshake cannot carry: the host must choose") {
				t.Errorf("the plugin says nothing of it: %v", text)
			}
		})
	}
}

// TestNoPlaceForSockets has no directory that can be written to: a plugin on TCP needs
// none, and neither does one that has a place of its own.
func TestNoPlaceForSockets(t *testing.T) {
	noLeaks(t)
	own := shortDir(t)
	t.Setenv("TMPDIR", filepath.Join(own, "none"))
	c := start(t, withEcho(t, "real-tcp"))
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Broker().Serve(t.Context(), func(*h2grpc.Server) error { return nil }); err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "making the directory for sockets") {
		t.Errorf("serving without a directory: %v", err)
	}
	closes(t, c)

	cfg := withEcho(t, "real")
	cfg.Cmd.Env = []string{"TMPDIR=" + own}
	c = start(t, cfg)
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	closes(t, c)
}

// TestPlacesThatAreGone removes the directories while the plugin runs: they are made
// again when they are needed, and plugins find another place.
func TestPlacesThatAreGone(t *testing.T) {
	for name, gone := range map[string]func(dir string) string{
		"all of it":        filepath.Dir,
		"the host's part":  func(dir string) string { return filepath.Join(filepath.Dir(dir), "h") },
		"the plugin's own": func(dir string) string { return dir },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := start(t, withEcho(t, "lender"))
			dir := filepath.Dir(connectedTo(t, c).String())
			usesBroker(t, c)
			for range 2 {
				if err := os.RemoveAll(gone(dir)); err != nil {
					t.Fatal(err)
				}
				usesBroker(t, c) // the plugin calls its host
				usesLent(t, c)
			}
			closes(t, c)
		})
	}
}

// Records determine what a host attaches to. Another user's record is refused, and a
// pipe is not waited for.
func TestRecordsOfOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "record")
	r := &host.Reattach{Protocol: "grpc", ProtocolVersion: 1, PID: os.Getpid(), Network: "tcp", Address: "127.0.0.1:1"}
	if err := host.WriteReattach(path, r); err != nil {
		t.Fatal(err)
	}
	if _, err := host.ReadReattach(path); err != nil {
		t.Error(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := host.ReadReattach(pipe); err == nil || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a pipe: %v", err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can give a record to another user")
	}
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	if got, err := host.ReadReattach(path); got != nil || err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("another user's record: %v, %v", got, err)
	}
}

// A host's umask does not affect host and plugin. If it affects plugins of other
// libraries, a hint tells.
func TestUmask(t *testing.T) {
	if os.Getuid() == 0 && runtime.GOOS != "linux" {
		t.Skip("root is not kept out by modes")
	}
	if err := os.Chmod(os.TempDir(), 0o711); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(os.TempDir(), 0o700)
	program := filepath.Join(os.TempDir(), "host")
	copyFile(t, program, 0o755)
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, umask := range []string{"0000", "0077", "0177", "0277", "0777"} {
		for _, plugin := range []string{"real", "good"} {
			cmd := exec.Command("/bin/sh", "-c", "umask "+umask+` && exec "$0"`, program)
			cmd.Env = []string{hostEnv + "=umask", fakeUnderUmask + "=" + plugin, "TMPDIR=" + dir, "GORACE=atexit_sleep_ms=0"}
			cmd.Dir = "/"
			cmd.Stdin = alive
			if os.Getuid() == 0 {
				cmd.SysProcAttr = asNobody()
			}
			out, err := cmd.CombinedOutput()
			want := "it works\n"
			if plugin != "real" && umask >= "0277" {
				want = "start this host, or the plugin, with a umask such as 0077"
			}
			if err != nil || !strings.Contains(string(out), want) {
				t.Errorf("umask %s, %s: %v\n%s", umask, plugin, err, out)
			}
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

const fakeUnderUmask = "TN_UNDER_UMASK"

func init() {
	hosts["umask"] = func() {
		cfg := &host.Config{
			Handshake: shake, Cmd: exec.Command(os.Args[0]), Curve: host.P256,
			Env: []string{fakeEnv + "=" + os.Getenv(fakeUnderUmask), "GORACE=atexit_sleep_ms=0"},
		}
		c, err := host.Start(context.Background(), cfg)
		if err != nil {
			os.Stdout.WriteString(err.Error())
			return
		}
		if _, err := c.Broker().Accept(context.Background(), c.Broker().NextID()); err != nil {
			os.Stdout.WriteString(err.Error())
			return
		}
		if err := c.Close(); err != nil {
			os.Stdout.WriteString(err.Error())
			return
		}
		os.Stdout.WriteString("it works\n")
	}
}
