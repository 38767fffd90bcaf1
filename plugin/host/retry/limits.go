package retry

import "time"

// The defaults, and what an Error keeps.
const (
	// defaultInitial is the first wait: a program that is being replaced, or a burst of
	// new processes, needs that long. The others double it up to defaultMax, the
	// longest that somebody who waits for a start takes for work in progress.
	defaultInitial    = 100 * time.Millisecond
	defaultMax        = 5 * time.Second
	defaultMultiplier = 2

	// defaultJitter is the share of each wait that is random: hosts that failed
	// together, for example for want of memory, do not try again together.
	defaultJitter = 0.2

	// defaultAttempts is one start and three more.
	defaultAttempts = 4

	// defaultTotal bounds all attempts and waits: half of what host.Start takes by
	// itself for one cold start.
	defaultTotal = 30 * time.Second

	// keptFirst and keptLast are how many attempts an Error keeps, from the beginning
	// and from the end. Each may hold 36 KiB of what the plugin and its Runner said.
	keptFirst = 3
	keptLast  = 5

	// maxLine is how much of an attempt's error its line in the text of an Error shows,
	// in bytes. The last error is there as a whole.
	maxLine = 240
)
