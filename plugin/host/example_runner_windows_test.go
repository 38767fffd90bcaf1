package host_test

import (
	"os"
	"os/exec"
	"syscall"
)

// inherit makes a command inherit files, as handles with the same numbers: os/exec does
// not support ExtraFiles on Windows.
func inherit(cmd *exec.Cmd, files []*os.File) {
	cmd.SysProcAttr = new(syscall.SysProcAttr)
	for _, f := range files {
		cmd.SysProcAttr.AdditionalInheritedHandles = append(cmd.SysProcAttr.AdditionalInheritedHandles, syscall.Handle(f.Fd()))
	}
}
