// Package ownthread runs functions on threads of their own, on Linux, where much of a
// process's state belongs to its threads: the working directory and the umask once they
// are no longer shared, and the rights that were given up.
package ownthread

import (
	"runtime"
	"syscall"
)

// Run runs f on a thread that ends with it. What f changes about the thread stays changed
// for f and for the processes that it starts; nothing else ever runs on that thread.
// Meanwhile the runtime makes new threads from another one.
func Run(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() {
			// The first thread cannot end before the process does, and is what /proc
			// shows of the process. While this goroutine occupies it, another goroutine
			// gets a thread that can end.
			defer runtime.UnlockOSThread()
			done <- Run(f)
			return
		}
		done <- f() // never unlocked, so the thread ends here
	}()
	return <-done
}
