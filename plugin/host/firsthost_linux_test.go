package host_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestHostsThatAreTheFirstProcess has hosts that are process 1, as in a
// container. Their plugins have a parent of that number from the start, which is
// no sign of the host's end; and end with it.
func TestHostsThatAreTheFirstProcess(t *testing.T) {
	for _, stage := range []string{"connected", "in a stream", "in broker dials", "before handshake"} {
		for _, multiplex := range []bool{false, true} {
			for _, wrapper := range []string{"", `"$0"; true`} {
				noLeaks(t)
				h, line, err := startVictim(stage, wrapper, multiplex, func(cmd *exec.Cmd) {
					cmd.SysProcAttr = &syscall.SysProcAttr{
						Cloneflags:  syscall.CLONE_NEWPID | syscall.CLONE_NEWUSER,
						UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
						GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
					}
				})
				if line != "there\n" {
					t.Errorf("%s: the host reports %q, %v", stage, line, err)
				} else {
					h.kill()
					if err := h.awaitPlugin(); err != nil {
						t.Errorf("%s: %v", stage, err)
					}
					if err := h.sweep(); err != nil {
						t.Errorf("%s: %v", stage, err)
					}
				}
				h.free()
			}
		}
	}
}
