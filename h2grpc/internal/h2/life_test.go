package h2

import (
	"errors"
	"fmt"
	"testing"
)

// TestLife: only a later phase follows a phase, keeps its reason, and from draining
// on no streams are opened.
func TestLife(t *testing.T) {
	states := []phase{opening, open, draining, closing, closed}
	if got := fmt.Sprint(states); got != "[opening open draining closing closed]" {
		t.Errorf("the states are %s", got)
	}
	why := errors.New("why")
	for _, from := range states {
		for _, to := range states {
			l := life{phase: from}
			if got := l.become(to, why); got != (to > from) {
				t.Errorf("from %v to %v: %t", from, to, got)
			}
			if l.phase != max(from, to) || (l.reason != nil) != (to > from) {
				t.Errorf("from %v to %v it is %v, because of %v", from, to, l.phase, l.reason)
			}
			if to > from && l.unusable.Load() != (to >= draining) {
				t.Errorf("from %v to %v: unusable is %t", from, to, l.unusable.Load())
			}
		}
	}
}
