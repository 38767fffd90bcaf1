package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/verify"
)

// noexecFile determines whether memory files can be executed, in a PID namespace:
// memfd_create(2).
const noexecFile = "/proc/sys/vm/memfd_noexec"

// hostWithoutMemfd is a host that may not execute memory files. It prints what
// its plugin is executed from.
func hostWithoutMemfd() {
	must(os.WriteFile(noexecFile, []byte("2"), 0))
	self := os.Getenv("TN_PROGRAM")
	sum, err := fileSum(self)
	must(err)
	cmd := exec.Command(self)
	cmd.Stdin = os.Stdin
	_, err = host.Start(context.Background(), &host.Config{
		Handshake: shake, Cmd: cmd, Verify: verify.SHA256(sum),
		Env: []string{fakeEnv + "=names-its-program"},
	})
	var failed *host.StartError
	if !errors.As(err, &failed) {
		panic(err)
	}
	fmt.Print(failed.Stage, ": ", string(failed.Stderr))
}

func namesItsProgram() {
	self, err := os.Executable()
	must(err)
	os.Stderr.WriteString(self)
	os.Exit(1)
}

// If the system does not let memory be executed, a private copy is executed.
func TestVerifiedPluginWithoutMemfd(t *testing.T) {
	if _, err := os.Stat(noexecFile); err != nil || os.Getuid() != 0 {
		t.Skip("only root can forbid memory files to be executed, where the kernel has that")
	}
	noLeaks(t)
	cfg := fakeConfig(t, "host-without-memfd")
	cmd := cfg.Cmd
	cmd.Env = append(cfg.Env, "TN_PROGRAM="+cmd.Path, "TMPDIR="+os.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	cmd.Stderr = t.Output()
	text, err := cmd.Output()
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("this system does not let us have a PID namespace: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := "reading the handshake: " + filepath.Join(os.TempDir(), "tenon-")
	if !strings.HasPrefix(string(text), want) || filepath.Base(string(text)) != filepath.Base(cmd.Path) {
		t.Errorf("the host says %q, want %q…", text, want)
	}
}
