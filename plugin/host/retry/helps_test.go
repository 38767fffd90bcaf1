package retry_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
	"github.com/tenonrpc/tenon/plugin/host/verify"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/plugin/internal/peercred"
)

// short is a time-out for plugins that use all of it.
const short = 200 * time.Millisecond

// rows are the rows of the table in the package's documentation, in its order: each
// start fails, at that stage.
var rows = []struct {
	name   string
	stage  host.Stage
	helps  bool
	config func(*testing.T) *host.Config
}{
	{"no command", host.StageConfig, false, func(*testing.T) *host.Config { return new(host.Config) }},
	{"no directory for sockets", host.StagePrepare, false, func(t *testing.T) *host.Config {
		c := fakeConfig(t, "works")
		c.Sockets.TempDir = filepath.Join(t.TempDir(), "none")
		return c
	}},
	{"wrong checksum", host.StageVerify, false, func(t *testing.T) *host.Config {
		c := fakeConfig(t, "works")
		c.Verify = verify.SHA256(make([]byte, 32))
		return c
	}},

	{"EAGAIN", host.StageLaunch, true, startCmd(syscall.EAGAIN)},
	{"ENOMEM", host.StageLaunch, true, startCmd(syscall.ENOMEM)},
	{"EMFILE", host.StageLaunch, true, startCmd(syscall.EMFILE)},
	{"ENFILE", host.StageLaunch, true, startCmd(&os.SyscallError{Syscall: "pipe2", Err: syscall.ENFILE})},
	{"ETXTBSY", host.StageLaunch, true, startCmd(syscall.ETXTBSY)},
	{"a Runner that takes too long", host.StageLaunch, true, func(t *testing.T) *host.Config {
		c := fakeConfig(t, "works")
		c.Cmd, c.Runner, c.StartTimeout = nil, runner(func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }), short
		return c
	}},
	{"a Runner's other error", host.StageLaunch, false, func(t *testing.T) *host.Config {
		c := fakeConfig(t, "works")
		c.Cmd, c.Runner = nil, runner(func(context.Context) error { return errors.New("there is no such image") })
		return c
	}},
	{"StartCmd's other error", host.StageLaunch, false, startCmd(errors.New("no"))},
	{"permission", host.StageLaunch, false, startCmd(fs.ErrPermission)},
	{"no such program", host.StageLaunch, false, program("")},
	{"no program of that name", host.StageLaunch, false, func(t *testing.T) *host.Config {
		c := fakeConfig(t, "works")
		c.Cmd = exec.Command("tenon-test-no-such-program")
		return c
	}},
	{"another machine's program", host.StageLaunch, false, program("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xff\x00\x01\x00\x00\x00" + strings.Repeat("\x00", 40))},

	{"exits", host.StageHandshake, true, nil},
	{"panics", host.StageHandshake, true, nil},
	{"killed", host.StageHandshake, true, nil},
	{"unfinished", host.StageHandshake, true, nil},
	{"silent", host.StageHandshake, true, nil},
	{"wrong cookie", host.StageHandshake, false, wrongCookie},
	{"not-found", host.StageHandshake, false, nil},
	{"noise", host.StageHandshake, false, nil},
	{"noise-and-exits", host.StageHandshake, false, nil},
	{"core-version", host.StageHandshake, false, nil},
	{"closes-stdout", host.StageHandshake, false, nil},

	{"wrong version", host.StageCheck, false, wrongVersion},
	{"no-certificate", host.StageCheck, false, nil},

	{"ends-on-connect", host.StageConnect, true, nil},
	{"never-answers", host.StageConnect, true, nil},
	{"nobody-listens", host.StageConnect, true, nil},
	{"a full queue", host.StageConnect, true, dialling(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EAGAIN)})},
	{"no socket", host.StageConnect, true, dialling(fs.ErrNotExist)},
	{"no permission", host.StageConnect, false, dialling(fs.ErrPermission)},
	{"other-certificate", host.StageConnect, false, nil},
	{"speaks-plaintext", host.StageConnect, false, nil},
	{"hangs-up", host.StageConnect, false, nil},

	{"attaching to one that has ended", host.StageAttach, false, func(t *testing.T) *host.Config {
		return attaching(t, func(c *host.Client, _ *host.Config) { closes(t, c) })
	}},
	{"attaching to one that ends", host.StageConnect, false, func(t *testing.T) *host.Config {
		return attaching(t, func(c *host.Client, again *host.Config) {
			again.Sockets.Dial = func(context.Context, string, string) (net.Conn, error) {
				closes(t, c)
				here, there := net.Pipe()
				there.Close()
				return here, nil
			}
		})
	}},
}

// startCmd returns a configuration whose launch fails with err.
func startCmd(err error) func(*testing.T) *host.Config {
	return func(t *testing.T) *host.Config {
		c := fakeConfig(t, "works")
		c.StartCmd = func(*exec.Cmd, string) error { return err }
		return c
	}
}

// program returns a configuration that runs a file with that content; "" means that
// there is none.
func program(content string) func(*testing.T) *host.Config {
	return func(t *testing.T) *host.Config {
		c := fakeConfig(t, "works")
		c.Cmd = exec.Command(filepath.Join(t.TempDir(), "plugin.exe"))
		if content != "" {
			must(os.WriteFile(c.Cmd.Path, []byte(content), 0o700))
		}
		return c
	}
}

func dialling(err error) func(*testing.T) *host.Config {
	return func(t *testing.T) *host.Config {
		c := fakeConfig(t, "works")
		c.Sockets.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, err }
		return c
	}
}

func wrongCookie(t *testing.T) *host.Config {
	c := fakeConfig(t, "works")
	c.MagicCookieValue = "crumbs"
	return c
}

func wrongVersion(t *testing.T) *host.Config {
	c := fakeConfig(t, "works")
	c.ProtocolVersion = 9
	return c
}

// attaching returns a configuration that attaches to a running plugin, after before.
func attaching(t *testing.T, before func(c *host.Client, again *host.Config)) *host.Config {
	config := fakeConfig(t, "works")
	c, err := host.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	record, err := c.ReattachWithKey()
	if err != nil {
		t.Fatal(err)
	}
	again := fakeConfig(t, "")
	again.Cmd, again.Env, again.Reattach = nil, nil, record
	before(c, again)
	return again
}

// closes ends a plugin.
func closes(t *testing.T, c *host.Client) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// runner is a Runner that only fails.
type runner func(context.Context) error

func (r runner) Run(ctx context.Context, _ *host.Launch) (host.Process, error) { return nil, r(ctx) }

func TestHelps(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			config := row.config
			if config == nil {
				config = func(t *testing.T) *host.Config { return fakeConfig(t, row.name) }
			}
			c := config(t)
			if row.name == "silent" || row.name == "never-answers" {
				c.StartTimeout = short
			}
			var e *host.StartError
			for range 10 {
				_, err := host.Start(t.Context(), c)
				if !errors.As(err, &e) {
					t.Fatalf("the start's error: %v", err)
				}
				// On a busy machine a plugin may not get as far in time, or it is seen to
				// hang up long before it is seen to end.
				if e.Stage == row.stage && (row.name != "ends-on-connect" || e.ExitStatus.Ended) {
					break
				}
				c.StartTimeout *= 2
			}
			if e.Stage != row.stage || retry.Helps(e) != row.helps {
				t.Errorf("at stage %q trying again helps: %v; want stage %q, %v, after:\n%v", e.Stage, retry.Helps(e), row.stage, row.helps, e)
			}
			if wrapped := fmt.Errorf("kv: %w", e); retry.Helps(wrapped) != row.helps {
				t.Error("it is otherwise if the error is wrapped")
			}
		})
	}
}

// TestHelpsNotWithOtherErrors has errors that are not of host.Start, a context that has
// ended, and what chance alone would bring about.
func TestHelpsNotWithOtherErrors(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := host.Start(canceled, fakeConfig(t, "works"))
	ended := host.ExitStatus{Ended: true, Code: 1}
	for _, err := range []error{
		nil, err, syscall.EAGAIN, context.DeadlineExceeded, &host.StartError{Stage: 99, Err: syscall.EAGAIN},
		// The context ended between two attempts of host.Start to launch the program.
		&host.StartError{Stage: host.StageLaunch, Err: fmt.Errorf("%w; gave up: %w", syscall.ETXTBSY, context.Canceled)},
		// These plugins ended as soon as they were refused.
		&host.StartError{Stage: host.StageHandshake, ExitStatus: ended, Err: &hostwire.HandshakeError{Field: "line", Err: hostwire.ErrNotHandshake}},
		&host.StartError{Stage: host.StageConnect, ExitStatus: ended, Err: fmt.Errorf("no connection: %w", automtls.ErrPin)},
		&host.StartError{Stage: host.StageConnect, ExitStatus: ended, Err: fmt.Errorf("no connection: %w", automtls.ErrCurve)},
		&host.StartError{Stage: host.StageConnect, ExitStatus: ended, Err: fmt.Errorf("no connection: %w", tls.RecordHeaderError{})},
		&host.StartError{Stage: host.StageConnect, ExitStatus: ended, Err: fmt.Errorf("no connection: %w", peercred.ErrStranger)},
	} {
		if retry.Helps(err) {
			t.Errorf("it helps after %v", err)
		}
	}
}

// TestTableHasEachStage compares the table in the documentation with the rows here.
func TestTableHasEachStage(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	helps := map[host.Stage]bool{} // what the rows of a stage say, for some of them
	for _, row := range rows {
		helps[row.stage] = helps[row.stage] || row.helps
	}
	delete(helps, host.StagePrepare) // TestHelpsWithoutDescriptors has the other row
	for stage, name := range map[host.Stage]string{
		host.StageConfig: "StageConfig", host.StageVerify: "StageVerify", host.StageLaunch: "StageLaunch", host.StageHandshake: "StageHandshake",
		host.StageCheck: "StageCheck", host.StageConnect: "StageConnect", host.StageAttach: "StageAttach",
	} {
		_, text, found := strings.Cut(string(doc), "\n//\t"+name+" ")
		some, tested := helps[stage]
		if never := strings.HasPrefix(strings.TrimSpace(text), "never"); !found || !tested || never == some {
			t.Errorf("%s: in the documentation %v, with never %v; in a row %v, which helps %v", name, found, never, tested, some)
		}
	}
}
