package confine_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host/confine"
)

// processAttempts make processes.
var processAttempts = map[string]func(arg string) error{
	// A child that ends at once. Its parent waits for it.
	"clone": func(flags string) error {
		pid, _, errno := syscall.RawSyscall6(uintptr(callNumbers["clone"]), parse(flags)[0]|uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
		if _, err := syscall.Wait4(int(pid), nil, 0, nil); err != nil {
			return fmt.Errorf("child %d: %w", pid, err)
		}
		return nil
	},
}

// For a process that does not exist the kernel returns another error.
func TestOthersLimits(t *testing.T) {
	others := calls("-",
		"prlimit64 0x7fffffff 7 0 zeros", "setpriority 0 0x7fffffff 0", "setpriority 1 0x7fffffff 0", "setpriority 2 0x7fffffff 0",
		"setpriority 0x100000000 0x7fffffff 0", "ioprio_set 1 0x7fffffff 0x4000", "ioprio_set 2 0x7fffffff 0x4000", "ioprio_set 3 0x7fffffff 0x4000")
	groups := calls("-", "setpriority 1 0 0", "setpriority 2 0 0", "ioprio_set 2 0 0x4000", "ioprio_set 3 0 0x4000")
	oneself := calls("-", "prlimit64 0 7 0 zeros", "prlimit64 0x100000000 7 0 zeros", "setpriority 0 0 19", "ioprio_set 1 0 0x4000")
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		start := func(cmd *exec.Cmd) error { return own(confine.Policy{}).Start(cmd, "") }
		lines := slices.Concat(others, groups)
		want(t, lines, outcomes(t, command(), start, lines...), slices.Repeat([]string{notAllowed}, len(lines)))
		want(t, oneself, outcomes(t, command(), start, oneself...), slices.Repeat([]string{"done"}, len(oneself)))
		for i, got := range outcomes(t, command(), (*exec.Cmd).Start, others...) {
			if got != syscall.ESRCH.Error() {
				t.Errorf("%s without confinement: %s", others[i], got)
			}
		}
	})
}

func TestKeys(t *testing.T) {
	lines := calls("-", "add_key 0 0 0 0 0", "keyctl 0xffff 0 0 0 0")
	for i, got := range outcomes(t, self(), (*exec.Cmd).Start, lines...) {
		if strings.Contains(got, noSuchCall) {
			t.Logf("%s is refused without confinement too", lines[i])
		}
	}
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		start := func(cmd *exec.Cmd) error { return own(confine.Policy{}).Start(cmd, "") }
		want(t, lines, outcomes(t, command(), start, lines...), slices.Repeat([]string{noSuchCall}, len(lines)))
	})
}

// A process that a plugin makes as its host's child would stay until the host ends.
func TestChildrenOfTheHost(t *testing.T) {
	const parent = "clone 0x8000" // CLONE_PARENT
	lines := append([]string{parent, "clone 0x100008000", "clone 0"}, calls("-", "clone3 zeros 0")...)
	eachUser(t, func(t *testing.T, command func() *exec.Cmd) {
		start := func(cmd *exec.Cmd) error { return own(confine.Policy{}).Start(cmd, "") }
		want(t, lines, outcomes(t, command(), start, lines...), []string{notAllowed, notAllowed, "done", noSuchCall})
		got := outcomes(t, command(), (*exec.Cmd).Start, parent, "call - clone3 zeros 0")
		var pid int
		if _, err := fmt.Sscanf(got[0], "child %d", &pid); err != nil || !strings.Contains(got[1], "invalid argument") {
			t.Fatalf("without confinement: %s", got)
		}
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
			t.Errorf("without confinement the child %d is not this process's: %v", pid, err)
		}
	})
	if os.Getuid() == 0 {
		// What the caller sets in SysProcAttr may need clone3(2) as well.
		cmd := self()
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWTIME}
		start := func(cmd *exec.Cmd) error { return own(confine.Policy{}).Start(cmd, "") }
		want(t, []string{"pid"}, outcomes(t, cmd, start, "pid"), []string{""})
	}
}
