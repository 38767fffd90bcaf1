//go:build !windows

package retry

import "syscall"

// Windows has errors besides those of package syscall's names; here they are these.
const (
	errBusy    = syscall.ETXTBSY
	errRefused = syscall.ECONNREFUSED
)

var systemShortages []syscall.Errno
