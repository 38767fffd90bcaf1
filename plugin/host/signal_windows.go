package host

import (
	"errors"
	"syscall"
)

// terminate would ask the process to end; Windows has nothing that does.
func (c *command) terminate() bool { return false }

// errorBadExeFormat is ERROR_BAD_EXE_FORMAT.
const errorBadExeFormat = syscall.Errno(193)

// isBadFormat reports whether err says that a file is no program for this
// machine, in a way that has no name in package syscall.
func isBadFormat(err error) bool { return errors.Is(err, errorBadExeFormat) }
