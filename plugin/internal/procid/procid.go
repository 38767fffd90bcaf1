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

// Ancestors returns the process that has started pid, the one that has started
// that, and so on, as they are at the moment: where one in between has ended,
// the first process of all comes next. The list is empty if the system does not
// tell.
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

// Known reports whether the system tells of processes at all. It needs no
// descriptor, of which a process may have none left.
func Known() bool { return known() }

// maxGenerations bounds how many processes are looked at in a line. Between a
// plugin and its host there are shells and wrappers, of which nobody has more
// than a few.
const maxGenerations = 64

// User returns the effective user id of the process. It is false if the system
// does not tell.
func User(pid int) (uid int, ok bool) { return user(pid) }
