// Package procid distinguishes processes that have had the same process id, one after the
// other.
package procid

// ID distinguishes a process from all others that have had, or will have, its process id.
type ID struct {
	// StartTime is when the process started, in clock ticks since the boot.
	StartTime uint64
	// BootID identifies the boot.
	BootID string
}

// Of returns the ID of the process that has the process id now. It reports false if there
// is none, or if the system does not tell; only Linux does.
//
// When the ID is used, another process may have the process id. To be certain, first get
// a handle on the process, then call Of, and then check that the process has not ended.
func Of(pid int) (ID, bool) { return of(pid) }

// Ended reports whether the process that has the process id now has ended, and only waits
// to be reaped by its parent. It is false if the system does not tell.
func Ended(pid int) bool { return ended(pid) }

// Ancestors returns the parent of pid, the parent of that, and so on, as they are now:
// where one in between has ended, the first process of the system follows. The list is
// empty if the system does not tell.
func Ancestors(pid int) []int {
	var list []int
	for len(list) < maxGenerations {
		up, ok := parent(pid)
		if !ok || up == 0 { // 0 is outside of this PID namespace
			break
		}
		list = append(list, up)
		pid = up
	}
	return list
}

// Known reports whether the system tells about processes at all. It needs no descriptor,
// because the process may have none left.
func Known() bool { return known() }

// StatusNotFound is the exit status of a dynamic loader that lacks a library, and of a
// shell or env that lacks a program.
const StatusNotFound = 127

// maxGenerations bounds how many ancestors are looked up. Between a plugin and its host
// there are only a few shells and wrappers.
const maxGenerations = 64

// User returns the effective user id of the process. It reports false if the system does
// not tell.
func User(pid int) (uid int, ok bool) { return user(pid) }
