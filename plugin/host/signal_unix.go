//go:build unix

package host

import "syscall"

// terminate asks the process to end with SIGTERM.
func (c *command) terminate() bool {
	return c.cmd.Process.Signal(syscall.SIGTERM) == nil
}

// isBadFormat reports whether err says that a file is no program for this
// machine, in a way that has no name in package syscall.
func isBadFormat(error) bool { return false }
