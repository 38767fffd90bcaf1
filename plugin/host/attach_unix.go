//go:build unix

package host

import (
	"errors"
	"os"
	"syscall"

	"github.com/tenonrpc/tenon/plugin/internal/poll"
)

// running reports whether the process has not ended.
func running(proc *os.Process) bool {
	err := proc.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}

// awaitExit waits for the end of a process, which need not be a child. It returns false
// if quit is closed first.
func awaitExit(proc *os.Process, quit <-chan struct{}) bool {
	poller, err := poll.New()
	if err != nil {
		return pollExit(proc, quit)
	}
	defer poller.Close()
	if err := poller.AddProcess(proc, 0); err != nil {
		return pollExit(proc, quit)
	}
	ended := make(chan bool, 1)
	go func() {
		_, err := poller.Wait()
		ended <- err == nil
	}()
	select {
	case ok := <-ended:
		return ok
	case <-quit:
		poller.Close()
		<-ended
		return false
	}
}
