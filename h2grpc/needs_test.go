package h2grpc_test

import "testing"

// needs skips a test of an optimization in a build that leaves it out: see package
// fastpath.
func needs(t testing.TB, on ...bool) {
	for _, on := range on {
		if !on {
			t.Skip("this build leaves out what is tested")
		}
	}
}
