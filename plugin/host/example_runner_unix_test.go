//go:build unix

package host_test

import (
	"os"
	"os/exec"
)

// inherit makes a command inherit files, from descriptor 3 on.
func inherit(cmd *exec.Cmd, files []*os.File) { cmd.ExtraFiles = files }
