//go:build race || lockorder

package h2grpc_test

// raceEnabled says whether the race detector is on: it makes memory and
// processor time several times as dear.
const raceEnabled = true
