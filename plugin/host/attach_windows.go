package host

import (
	"os"
	"syscall"
)

// hasModes is whether the modes of files say who may do what.
const hasModes = false

// running reports whether the process has not ended. One that somebody has a handle
// of can be opened after its end.
func running(proc *os.Process) bool {
	running := false
	proc.WithHandle(func(h uintptr) { // an error leaves it at that
		event, err := syscall.WaitForSingleObject(syscall.Handle(h), 0)
		running = err == nil && event == syscall.WAIT_TIMEOUT
	})
	return running
}

// awaitExit waits for the end of a process that need not be a child. It returns
// false if quit is closed before.
func awaitExit(proc *os.Process, quit <-chan struct{}) bool { return pollExit(proc, quit) }
