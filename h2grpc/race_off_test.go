//go:build !race

package h2grpc_test

const raceEnabled = false
