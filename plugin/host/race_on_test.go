//go:build race

package host_test

// raceEnabled reports whether the race detector is on, which makes processes many times
// as expensive.
const raceEnabled = true
