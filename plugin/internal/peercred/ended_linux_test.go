package peercred_test

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/peercred"
)

// listenEnv makes this test binary listen on a socket, pass it to a child and exit;
// holdEnv makes it the child.
const (
	listenEnv = "TN_LISTEN"
	holdEnv   = "TN_HOLD"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(holdEnv) != "":
		io.Copy(io.Discard, os.Stdin)
	case os.Getenv(listenEnv) != "":
		l, err := net.Listen("unix", os.Getenv(listenEnv))
		if err != nil {
			panic(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		file, err := l.(*net.UnixListener).File()
		if err != nil {
			panic(err)
		}
		child := exec.Command(os.Args[0])
		child.Env = []string{holdEnv + "=1"}
		child.Stdin = os.Stdin
		child.ExtraFiles = []*os.File{file}
		if err := child.Start(); err != nil {
			panic(err)
		}
	default:
		os.Exit(m.Run())
	}
}

// TestListenersThatHaveEnded: the number of a process that has ended tells nothing about
// who holds its socket now.
func TestListenersThatHaveEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path+"own")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	own, err := net.Dial("unix", path+"own")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if !peercred.Alive(own) {
		without(t)
	}
	alive, stop, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stop.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{listenEnv + "=" + path, "GORACE=atexit_sleep_ms=0"}
	cmd.Stdin = alive
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	alive.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cred, known, err := peercred.Of(conn)
	if err != nil || !known || cred.PID != cmd.Process.Pid {
		t.Fatalf("%+v, %v, %v; want process %d", cred, known, err, cmd.Process.Pid)
	}
	if peercred.Alive(conn) {
		t.Error("a process that has ended is alive")
	}
	all := &peercred.Policy{UIDs: []int{os.Geteuid()}, PID: func(int) bool { return true }}
	if err := all.Check(conn); !errors.Is(err, peercred.ErrStranger) {
		t.Errorf("a process that has ended: %v", err)
	}
	if err := all.Check(own); err != nil {
		t.Errorf("this process: %v", err)
	}
}

// without skips what only Linux from 6.5 on reports, except where everything must run.
func without(t *testing.T) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("this kernel does not say whether a peer has ended")
	}
	t.Skip("this kernel does not say whether a peer has ended")
}
