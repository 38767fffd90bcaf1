//go:build race || lockorder

package h2grpc_test

// raceEnabled reports whether the race detector is on: it makes everything take
// several times as much memory and processor time.
const raceEnabled = true
