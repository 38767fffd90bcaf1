//go:build unix

package plugin_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/wire"
)

// child is a plugin in a process of its own: the test binary.
type child struct {
	t       *testing.T
	cmd     *exec.Cmd
	dir     string
	stdoutR *os.File
	stdout  *bufio.Reader // reads stdoutR
	stderrR *os.File
	stderr  string // all of it, once wait has returned
	hs      wire.Handshake
	cc      *h2grpc.ClientConn
	reaped  chan struct{} // closed when the process has ended
}

// launch starts the test binary in a mode, without waiting for anything.
func launch(t *testing.T, mode string, env ...string) *child {
	t.Helper()
	return launchWith(t, mode, func(*exec.Cmd) {}, env...)
}

// launchWith is launch with a change to the command.
func launchWith(t *testing.T, mode string, change func(*exec.Cmd), env ...string) *child {
	t.Helper()
	c := &child{t: t, dir: socketDir(t), cmd: exec.Command(os.Args[0]), reaped: make(chan struct{})}
	// Otherwise the race detector would delay each plugin's exit by a second, which is
	// all the time that a plugin without a host has.
	c.cmd.Env = append(os.Environ(), modeVariable+"="+mode, wire.EnvUnixSocketDir+"="+c.dir, wire.EnvProtocolVersions+"=1", "GORACE=atexit_sleep_ms=0")
	c.cmd.Env = append(c.cmd.Env, env...)
	stdoutR, stdoutW := c.pipe()
	stderrR, stderrW := c.pipe()
	c.stdoutR, c.stderrR = stdoutR, stderrR
	c.stdout = bufio.NewReader(stdoutR)
	c.cmd.Stdout, c.cmd.Stderr = stdoutW, stderrW
	change(c.cmd)
	if err := c.cmd.Start(); err != nil {
		if c.cmd.SysProcAttr != nil && errors.Is(err, os.ErrPermission) {
			t.Skipf("this system does not let us: %v", err)
		}
		t.Fatal(err)
	}
	stdoutW.Close()
	stderrW.Close()
	go func() {
		c.cmd.Wait() // the exit status is checked later
		close(c.reaped)
	}()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-c.reaped
	})
	return c
}

func (c *child) pipe() (r, w *os.File) {
	c.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { r.Close() })
	return r, w
}

// start launches a plugin and connects to it.
func start(t *testing.T, mode string, env ...string) *child {
	t.Helper()
	return startWith(t, mode, func(*exec.Cmd) {}, env...)
}

// startWith is start with a change to the command.
func startWith(t *testing.T, mode string, change func(*exec.Cmd), env ...string) *child {
	t.Helper()
	c := launchWith(t, mode, change, append(env, cookie)...)
	c.readHandshake()
	c.connect()
	return c
}

func (c *child) readHandshake() {
	c.t.Helper()
	line, err := c.stdout.ReadString('\n')
	if err != nil {
		c.t.Fatalf("no handshake: %q, %v", line, err)
	}
	if c.hs, err = hostwire.ParseHandshake([]byte(line)); err != nil {
		c.t.Fatal(err)
	}
}

// connect makes a new client, which connects on its first call.
func (c *child) connect() {
	c.cc = h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, c.hs.Network, c.hs.Address)
	}})
	c.t.Cleanup(func() { c.cc.Close() })
}

func (c *child) tell(what string) string {
	c.t.Helper()
	answer, err := echo(deadline(c.t), c.cc, what)
	if err != nil {
		c.t.Fatalf("%.40s: %v", what, err)
	}
	return answer
}

// wait waits for the process and returns its exit status, or the negative number of a
// signal.
func (c *child) wait() int {
	c.t.Helper()
	stderr, err := io.ReadAll(c.stderrR)
	if err != nil && !errors.Is(err, os.ErrClosed) {
		c.t.Error(err)
	}
	c.stderr = string(stderr)
	<-c.reaped
	status := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return -int(status.Signal())
	}
	return status.ExitStatus()
}

// wantEnd waits for the plugin, which must exit with status and leave no socket.
func (c *child) wantEnd(status int) {
	c.t.Helper()
	if got := c.wait(); got != status {
		c.t.Errorf("exit status %d, want %d; stderr %q", got, status, c.stderr)
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil || len(entries) != 0 {
		c.t.Errorf("the plugin left %v (%v)", entries, err)
	}
}

func (c *child) signal(sig syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) shutdown() {
	c.t.Helper()
	if err := control.Shutdown(deadline(c.t), c.cc); err != nil {
		c.t.Errorf("Shutdown: %v", err)
	}
}

// outlast requires that the plugin outlives the time after which it would end if it took
// its host for gone.
func (c *child) outlast() {
	c.t.Helper()
	timer := time.NewTimer(lonely)
	defer timer.Stop()
	select {
	case <-c.reaped:
		c.t.Fatalf("the plugin has ended: %v", c.cmd.ProcessState)
	case <-timer.C:
	}
}

// prompt requires that the test calls the returned function before the plugin would have
// to end after its host.
func prompt(t *testing.T) func() {
	begun := time.Now()
	return func() {
		t.Helper()
		if took := time.Since(begun); took > farewell {
			t.Errorf("it took %v, more than %v", took, farewell)
		}
	}
}

const (
	// farewell is the time within which a plugin must end after its host: two seconds,
	// and more for a busy machine.
	farewell = 10 * time.Second
	// lonely is longer than a plugin waits before it acts on the signs of its host's end.
	lonely = 800 * time.Millisecond
)
