//go:build unix

package host

import (
	"errors"
	"syscall"
)

// terminate asks the process to end with SIGTERM.
func (c *command) terminate() bool {
	return c.cmd.Process.Signal(syscall.SIGTERM) == nil
}

// isBadFormat reports whether err says that a file is no program for this
// machine, in a way that has no name in package syscall.
func isBadFormat(error) bool { return false }

// isNoDirectory reports whether err says in the system's own way that there is no
// Cmd.Dir.
func isNoDirectory(error) bool { return false }

// isReset reports whether err says that the other side has ended the connection.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
