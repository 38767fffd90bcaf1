package procid_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/procid"
)

func TestMain(m *testing.M) {
	if os.Getenv("TN_WAIT") != "" {
		io.Copy(io.Discard, os.Stdin)
		return
	}
	os.Exit(m.Run())
}

// start starts a program with a name that is hard to parse, and returns its process id.
func start(t *testing.T) (pid int, end func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "a) R 1 (b")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name)
	cmd.Env = append(os.Environ(), "TN_WAIT=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, func() { stdin.Close(); cmd.Wait() }
}

func TestOf(t *testing.T) {
	own, ok := procid.Of(os.Getpid())
	if !ok || own.StartTime == 0 || len(own.BootID) != len("00000000-0000-0000-0000-000000000000") {
		t.Fatalf("got %+v, %v", own, ok)
	}
	if again, ok := procid.Of(os.Getpid()); !ok || again != own {
		t.Errorf("asked twice: %+v and %+v", own, again)
	}
	pid, end := start(t)
	child, ok := procid.Of(pid)
	if !ok || child.BootID != own.BootID || child.StartTime < own.StartTime {
		t.Errorf("a child has %+v, %v; this process has %+v", child, ok, own)
	}
	if procid.Ended(pid) || procid.Ended(os.Getpid()) {
		t.Error("a process that runs has ended")
	}
	end()
	if gone, ok := procid.Of(pid); ok && gone == child {
		t.Errorf("a process that has ended has %+v", gone)
	}
	if none, ok := procid.Of(0); ok || procid.Ended(0) {
		t.Errorf("no process has %+v", none)
	}
}

// TestEnded has a child that has ended and was not waited for.
func TestEnded(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "TN_WAIT=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, stdout)
	// Its files are closed a moment before the process has ended.
	for !procid.Ended(cmd.Process.Pid) {
		runtime.Gosched()
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAncestorsAndUser(t *testing.T) {
	pid, end := start(t)
	if up := procid.Ancestors(pid); len(up) < 2 || up[0] != os.Getpid() || up[1] != os.Getppid() {
		t.Errorf("the child of %d, child of %d, has the ancestors %d", os.Getpid(), os.Getppid(), up)
	}
	if uid, ok := procid.User(pid); !ok || uid != os.Geteuid() {
		t.Errorf("the child of user %d is of user %d, %v", os.Geteuid(), uid, ok)
	}
	end()
	if up := procid.Ancestors(pid); up != nil {
		t.Errorf("a process that has ended has the ancestors %d", up)
	}
	if uid, ok := procid.User(pid); ok {
		t.Errorf("a process that has ended is of user %d", uid)
	}
}
