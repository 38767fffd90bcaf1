package files

import "time"

const (
	// maxNames bounds how often a new name is drawn when the one drawn is taken,
	// or what was made under it is taken away at once by a host that sweeps.
	// Hosts that start at the same moment all sweep; a try takes microseconds.
	maxNames = 64

	// names is how many names are drawn from: six letters and digits. They need
	// to be free, not secret.
	names = 36 * 36 * 36 * 36 * 36 * 36

	// NameLength is how many letters and digits that is.
	NameLength = 6

	// maxRemoved bounds how many entries Dir.Empty removes: what a plugin fills
	// its directory with must not hold its host up. That many take some hundred
	// milliseconds.
	maxRemoved = 20_000

	// maxDepth bounds how deep it descends, which takes a descriptor for each
	// directory. What is deeper is moved up first.
	maxDepth = 32

	// readNames is how many names are read from a directory at once.
	readNames = 256

	// clockTick is how far the times of files may lag behind the clock: a tick of
	// the kernel's, which has a hundred or more in a second.
	clockTick = 10 * time.Millisecond

	// backlog is how many connections wait to be accepted. The system takes its
	// own limit where that is lower.
	backlog = 4096
)
