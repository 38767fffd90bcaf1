package host

import "os"

// hasModes is whether the modes of files say who may do what.
const hasModes = false

// running reports whether the process has not ended: it could be opened.
func running(*os.Process) bool { return true }

// awaitExit waits for the end of a process that need not be a child. It returns
// false if quit is closed before; a goroutine then goes on waiting.
func awaitExit(proc *os.Process, quit <-chan struct{}) bool {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		proc.Wait()
	}()
	select {
	case <-ended:
		return true
	case <-quit:
		return false
	}
}
