package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
)

// busyConfig returns a configuration whose program is a script that is open for
// writing.
func busyConfig(t *testing.T) (cfg *host.Config, writer *os.File) {
	t.Helper()
	cfg = fakeConfig(t, "real")
	path := filepath.Join(t.TempDir(), "plugin")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s'\n", cfg.Cmd.Path)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close() })
	cfg.Cmd = exec.Command(path)
	cfg.Cmd.Stdin = alive
	probe := exec.Command(path)
	if err := probe.Start(); err == nil {
		probe.Process.Kill()
		probe.Wait()
		t.Skip("this kernel executes files that are open for writing, as Linux 6.11 does")
	}
	return cfg, writer
}

// TestProgramOpenForWriting has a program that is closed after the first attempt
// to start it.
func TestProgramOpenForWriting(t *testing.T) {
	noLeaks(t)
	cfg, writer := busyConfig(t)
	var given []exec.Cmd // what each attempt was given, without what it did to it
	var commands []*exec.Cmd
	cfg.StartCmd = func(cmd *exec.Cmd, _ string) error {
		given = append(given, exec.Cmd{
			Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir, Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr,
			ExtraFiles: cmd.ExtraFiles, SysProcAttr: cmd.SysProcAttr,
		})
		commands = append(commands, cmd)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		cmd.Dir = "/"
		err := cmd.Start()
		writer.Close()
		return err
	}
	c := start(t, cfg)
	if len(commands) != 2 {
		t.Fatalf("%d attempts, want one that fails and one that does not", len(commands))
	}
	if commands[0] == commands[1] {
		t.Error("the second attempt has the first one's command, which can be started only once")
	}
	if !reflect.DeepEqual(given[0], given[1]) {
		t.Errorf("the attempts were given\n%+v and\n%+v", &given[0], &given[1])
	}
	if c.PID() != commands[1].Process.Pid {
		t.Errorf("the plugin's pid is said to be %d, and is %d", c.PID(), commands[1].Process.Pid)
	}
	closes(t, c)
}

// TestProgramOpenForWritingForGood has one that nobody closes.
func TestProgramOpenForWritingForGood(t *testing.T) {
	noLeaks(t)
	cfg, _ := busyConfig(t)
	start := failing(t, cfg)
	if start.Stage != host.StageLaunch || !errors.Is(start, syscall.ETXTBSY) || errors.Is(start, context.DeadlineExceeded) {
		t.Errorf("got %v, want ETXTBSY long before the StartTimeout", start)
	}
	golden(t, filepath.Join("starterrors", "open-for-writing.golden"), normal(t, start.Error(), start))
}

// TestContextEndsWhileOpenForWriting gives up between two attempts.
func TestContextEndsWhileOpenForWriting(t *testing.T) {
	noLeaks(t)
	cfg, _ := busyConfig(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the user pressed Ctrl-C")
	attempts := 0
	cfg.StartCmd = func(cmd *exec.Cmd, _ string) error {
		if attempts++; attempts == 2 {
			cancel(why)
		}
		return cmd.Start()
	}
	_, err := host.Start(ctx, cfg)
	if !errors.Is(err, why) || !errors.Is(err, syscall.ETXTBSY) || !strings.Contains(err.Error(), "has the file open for writing") {
		t.Errorf("got %v, want both why it gave up and why it had not started", err)
	}
	if attempts != 2 {
		t.Errorf("%d attempts, want none after the end of the context", attempts)
	}
}
