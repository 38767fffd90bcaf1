// Package ownthread runs functions on threads of their own, on Linux, where much
// of what a process is belongs to its threads: the working directory and the
// umask once they are no longer shared, the rights that were given up.
package ownthread

import (
	"runtime"
	"syscall"
)

// Run runs f on a thread that ends with it: what f changes about the thread
// stays changed for it, and for the processes that it starts, and nobody else
// ever runs on it. The runtime makes new threads from another one meanwhile.
func Run(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if syscall.Gettid() == syscall.Getpid() {
			// The first thread cannot end before the process does, and is what
			// /proc shows of the process. While this goroutine sits on it,
			// another gets one that can.
			defer runtime.UnlockOSThread()
			done <- Run(f)
			return
		}
		done <- f() // never unlocked, so the thread ends here
	}()
	return <-done
}
