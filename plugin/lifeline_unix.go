//go:build unix

package plugin

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/tenonrpc/tenon/wire"
)

// openLifeline takes over the descriptor of a lifeline. It must be the very pipe that the
// host has made: a wrapper that closes descriptors may have reused the number for
// something else, which is not ours to read or to close.
func openLifeline(l wire.Lifeline) (*os.File, error) { return openPipe(l, true) }

// openOutput takes over the descriptor of a pipe for the plugin's output, on the same
// condition. It is in blocking mode, like the standard streams: programs that inherit it
// expect that.
func openOutput(l wire.Lifeline) (*os.File, error) { return openPipe(l, false) }

func openPipe(l wire.Lifeline, nonblock bool) (*os.File, error) {
	var st syscall.Stat_t
	err := syscall.Fstat(l.FD, &st)
	switch {
	case errors.Is(err, syscall.EBADF):
		return nil, fmt.Errorf("descriptor %d was closed on the way from the host to the plugin", l.FD)
	case err != nil:
		return nil, os.NewSyscallError("fstat", err)
	case st.Mode&syscall.S_IFMT != syscall.S_IFIFO, uint64(st.Dev) != l.Device, uint64(st.Ino) != l.Inode:
		return nil, fmt.Errorf("descriptor %d is not the host's pipe", l.FD)
	}
	syscall.CloseOnExec(l.FD)
	if err := syscall.SetNonblock(l.FD, nonblock); err != nil {
		syscall.Close(l.FD)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(l.FD), "host"), nil
}

// pipeOwner returns the user who made a pipe, which is the owner of its inode. ok is
// false if f is not a pipe.
func pipeOwner(f *os.File) (uid int, ok bool) {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// watchParent checks every parentInterval whether the parent process has ended.
func (w *hostWatch) watchParent(parent int) {
	if parent <= 1 {
		return
	}
	ticker := time.NewTicker(parentInterval)
	done := make(chan struct{})
	w.stops = append(w.stops, func() { close(done) })
	go func() {
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if os.Getppid() != parent {
					w.orphan()
					return
				}
			case <-done:
				return
			}
		}
	}()
}
