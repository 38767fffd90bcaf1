//go:build !race && !lockorder

package h2grpc_test

const raceEnabled = false
