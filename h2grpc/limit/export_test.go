package limit

import "time"

// NeverLimited is neverLimited, for tests.
var NeverLimited = neverLimited

// PassesAt reports whether a call of a method passes that has read a time from the
// clock, and counts it if it does.
func (l *Limiter) PassesAt(now time.Duration, method string) bool {
	full, _ := l.count(l.path(method), now)
	return full == nil
}
