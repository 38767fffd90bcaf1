package h2

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
)

// TestAccount: requests are granted in order, one message of any size is admitted,
// and nothing is kept of connections that have ended.
func TestAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAccount(100)
		x, y := new(ledger), new(ledger)
		var woken []string
		wait := func(l *ledger, n int) *request {
			return a.wait(l, n, func() { woken = append(woken, fmt.Sprint(n)) })
		}
		want := func(sentence string, held int64, list ...string) {
			t.Helper()
			if a.held != held || !slices.Equal(woken, list) {
				t.Errorf("%s: %d bytes are held, want %d; woken were %v, want %v", sentence, a.held, held, woken, list)
			}
			woken = nil
		}
		if !a.take(x, 1000) {
			t.Error("nothing is held, and a large message does not go")
		}
		if a.take(y, 1) {
			t.Error("too much is held, and another message goes")
		}
		a.give(x, 1000)
		if !a.take(x, 60) || !a.take(y, 40) {
			t.Error("as much as the limit does not go")
		}
		first, second, third := wait(x, 50), wait(y, 10), wait(y, 20)
		list := a.waiting[:cap(a.waiting)]
		want("all is held", 100)
		a.give(y, 40)
		want("there is room for the second alone, who is not first", 60)
		if a.take(y, 1) {
			t.Error("one overtakes those who wait")
		}
		a.give(x, 20)
		want("there is room for the first two", 100, "50", "10")
		if !a.has(first) || !a.has(second) || a.has(third) {
			t.Error("other requests were granted")
		}
		a.cancel(first)
		want("the first has no use for it", 70, "20")
		a.force(y, 500)
		want("what has begun cannot wait", 570)
		last := wait(x, 10) // in the same array
		a.close(y)
		want("a connection has ended", 50, "10")
		a.give(y, 500)
		a.cancel(third)
		want("and has nothing to give back", 50)
		a.cancel(last)
		a.give(x, 40)
		if len(a.heldBy) > 0 || len(a.waiting) > 0 || a.held != 0 {
			t.Errorf("%d bytes, %v and %v are left", a.held, a.heldBy, a.waiting)
		}
		for _, r := range list {
			if r != nil {
				t.Error("a request is not forgotten")
			}
		}
	})
}

// TestOnlyTheFirstHurries: looking at all connections takes time, and the result
// counts for all that wait.
func TestOnlyTheFirstHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAccount(100)
		l := &ledger{} // of no connection: looking at it would fail
		a.force(l, 100)
		first, second := a.wait(l, 10, func() {}), a.wait(l, 10, func() {})
		first.slow.Stop()
		a.hurry(second)
		defer func() {
			if recover() == nil {
				t.Error("the first does not look")
			}
			first.slow.Stop()
			second.slow.Stop()
		}()
		a.hurry(first)
	})
}
