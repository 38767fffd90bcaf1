package files

import "time"

const (
	// maxNames bounds how often a new name is drawn because the last one is taken, or
	// because a host that cleans up has removed what was made under it. All hosts that
	// start at the same moment clean up; a try takes microseconds.
	maxNames = 64

	// names is how many names there are to draw from: six letters and digits. They must
	// be free, not secret.
	names = 36 * 36 * 36 * 36 * 36 * 36

	// NameLength is the number of letters and digits in a name.
	NameLength = 6

	// maxRemoved bounds how many entries Dir.Empty removes: a plugin must not delay its
	// host by filling its directory. That many take a few hundred milliseconds.
	maxRemoved = 20_000

	// maxDepth bounds how deep Dir.Empty descends, which takes a descriptor for each
	// level. Deeper directories are first moved up.
	maxDepth = 32

	// readNames is how many names are read from a directory at once.
	readNames = 256

	// clockTick is how far the times of files may lag behind the clock: one tick of the
	// kernel, which has a hundred or more in a second.
	clockTick = 10 * time.Millisecond

	// backlog is how many connections wait to be accepted. The system uses its own limit
	// if that is lower.
	backlog = 4096
)
