package host

import (
	"errors"
	"syscall"
)

// checkGroup fails: Windows has no process groups of this kind.
func checkGroup(*syscall.SysProcAttr) error {
	return errors.New("ProcessGroup is not supported on Windows")
}

func ownGroup(attr *syscall.SysProcAttr) *syscall.SysProcAttr { return attr }

// processGroup is never used: checkGroup does not let it.
type processGroup struct{ command }
