package host_test

import (
	"os"
	"os/exec"
	"syscall"
)

// inherit has a command inherit files, as handles of the same numbers: os/exec takes
// no ExtraFiles on Windows.
func inherit(cmd *exec.Cmd, files []*os.File) {
	cmd.SysProcAttr = new(syscall.SysProcAttr)
	for _, f := range files {
		cmd.SysProcAttr.AdditionalInheritedHandles = append(cmd.SysProcAttr.AdditionalInheritedHandles, syscall.Handle(f.Fd()))
	}
}
