//go:build unix

package host

import (
	"errors"
	"syscall"
)

// terminate sends SIGTERM to the process.
func (c *command) terminate() bool {
	return c.cmd.Process.Signal(syscall.SIGTERM) == nil
}

// isBadFormat reports whether err means that a file is no program for this machine,
// where package syscall has no name for that error.
func isBadFormat(error) bool { return false }

// isNoDirectory reports whether err is the system's own error for a missing Cmd.Dir.
func isNoDirectory(error) bool { return false }

// isReset reports whether err means that the other side has ended the connection.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
