//go:build race

package host_test

// raceEnabled says whether the race detector is on, which makes processes many
// times as dear.
const raceEnabled = true
