package host

import (
	"errors"
	"syscall"
)

// terminate sends CTRL_BREAK, which ends programs that do not expect it. It takes a
// console that host and plugin share; without one it fails. The process is its
// group's first: see newJob.
func (c *command) terminate() bool {
	if c.cmd.SysProcAttr == nil || c.cmd.SysProcAttr.CreationFlags&syscall.CREATE_NEW_PROCESS_GROUP == 0 {
		return false // Config.StartCmd has it otherwise
	}
	ok, _, _ := generateConsoleCtrlEvent.Call(syscall.CTRL_BREAK_EVENT, uintptr(c.cmd.Process.Pid))
	return ok != 0
}

// errorBadExeFormat is ERROR_BAD_EXE_FORMAT.
const errorBadExeFormat = syscall.Errno(193)

// isBadFormat reports whether err says that a file is no program for this
// machine, in a way that has no name in package syscall.
func isBadFormat(err error) bool { return errors.Is(err, errorBadExeFormat) }

// errorDirectory is ERROR_DIRECTORY.
const errorDirectory = syscall.Errno(267)

// isNoDirectory reports whether err says in the system's own way that there is no
// Cmd.Dir.
func isNoDirectory(err error) bool { return errors.Is(err, errorDirectory) }

// isReset reports whether err says that the other side has ended the connection.
// ECONNRESET and EPIPE are numbers of package syscall's own here.
func isReset(err error) bool {
	return errors.Is(err, syscall.WSAECONNRESET) || errors.Is(err, syscall.WSAECONNABORTED) || errors.Is(err, errorShutdown)
}

// errorShutdown is WSAESHUTDOWN.
const errorShutdown = syscall.Errno(10058)
