package h2

import "testing"

// Needs skips a test of an optimization in a build that leaves it out: see package
// fastpath.
func Needs(t testing.TB, on ...bool) {
	for _, on := range on {
		if !on {
			t.Skip("this build leaves out what is tested")
		}
	}
}
