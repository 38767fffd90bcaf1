package host

import (
	"os"
	"syscall"
)

// running reports whether the process has not ended. A process that has ended can still
// be opened while somebody has a handle of it.
func running(proc *os.Process) bool {
	running := false
	proc.WithHandle(func(h uintptr) { // on an error, running stays false
		event, err := syscall.WaitForSingleObject(syscall.Handle(h), 0)
		running = err == nil && event == syscall.WAIT_TIMEOUT
	})
	return running
}

// awaitExit waits for the end of a process, which need not be a child. It returns false
// if quit is closed first.
func awaitExit(proc *os.Process, quit <-chan struct{}) bool { return pollExit(proc, quit) }
