package host

import (
	"errors"
	"syscall"
)

// terminate sends CTRL_BREAK, which ends programs that do not handle it. It requires a
// console that host and plugin share, and fails without one. The process leads its
// group: see newJob.
func (c *command) terminate() bool {
	if c.cmd.SysProcAttr == nil || c.cmd.SysProcAttr.CreationFlags&syscall.CREATE_NEW_PROCESS_GROUP == 0 {
		return false // Config.StartCmd has changed it
	}
	ok, _, _ := generateConsoleCtrlEvent.Call(syscall.CTRL_BREAK_EVENT, uintptr(c.cmd.Process.Pid))
	return ok != 0
}

// errorBadExeFormat is ERROR_BAD_EXE_FORMAT.
const errorBadExeFormat = syscall.Errno(193)

// isBadFormat reports whether err means that a file is no program for this machine,
// where package syscall has no name for that error.
func isBadFormat(err error) bool { return errors.Is(err, errorBadExeFormat) }

// errorDirectory is ERROR_DIRECTORY.
const errorDirectory = syscall.Errno(267)

// isNoDirectory reports whether err is the system's own error for a missing Cmd.Dir.
func isNoDirectory(err error) bool { return errors.Is(err, errorDirectory) }

// isReset reports whether err means that the other side has ended the connection. Here
// ECONNRESET and EPIPE are numbers that package syscall has made up.
func isReset(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, syscall.WSAECONNABORTED) || errors.Is(err, errorShutdown)
}

// errorShutdown is WSAESHUTDOWN.
const errorShutdown = syscall.Errno(10058)
