package limit

import "time"

const (
	// maxRate is the largest Rate, in calls a second. The time between two tokens is a
	// whole number of nanoseconds, which at this rate is off by 0.5 % at most; and no
	// server of this module handles as many calls.
	maxRate = 10_000_000
	// maxFill is the longest that an empty bucket may take until it is full. Twice that
	// is still a time.Duration, which holds 292 years.
	maxFill = 100 * 365 * 24 * time.Hour
)
