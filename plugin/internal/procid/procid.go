// Package procid tells processes apart that have had the same process id, one
// after the other.
package procid

// ID is what distinguishes a process from all that have had, or will have, its
// process id.
type ID struct {
	// StartTime is when it started, in clock ticks since the boot.
	StartTime uint64
	// BootID names the boot.
	BootID string
}

// Of returns the ID of the process that has the process id at the moment. It
// is false if there is none, or if the system does not tell: it does on Linux
// alone.
//
// By the time it is used the process may be another. Whoever wants to be
// certain gets hold of the process first, then asks, and then makes sure that
// the process which it holds has not ended.
func Of(pid int) (ID, bool) { return of(pid) }

// Ended reports whether the process that has the process id at the moment has
// ended, and is only waited for by its parent. It is false if the system does
// not tell.
func Ended(pid int) bool { return ended(pid) }
