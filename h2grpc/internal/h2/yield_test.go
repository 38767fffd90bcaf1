package h2

// These tests are inside the package because what they are about is no part of what
// anybody sees: how long a writer lets others add to what it is about to write.

import (
	"testing"
	"time"
)

// yielding calls yield until another goroutine has had the connection's lock meanwhile,
// which does what is given, or for n times. Each time it is as crowded as is said; what
// the last one has found is in c.
func yielding(c *Conn, n int, crowded time.Time, other func()) (let bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	had := false // guarded by c.mu
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.mu.Lock()
		defer c.mu.Unlock()
		other()
		had = true
	}()
	for i := 0; i < n && !had; i++ {
		c.out.crowded = crowded
		c.yield()
	}
	let = had
	c.mu.Unlock()
	<-done
	c.mu.Lock()
	return let
}

// takes lets time pass that counts.
func takes(d time.Duration) {
	for begun := time.Now(); time.Since(begun) < d; {
	}
}

// TestYield: a writer lets others in, unless that has taken long for nothing of late.
func TestYield(t *testing.T) {
	const often = 1 << 30
	c := new(Conn)
	if !yielding(c, often, time.Time{}, func() { c.out.pending = append(c.out.pending, 1); takes(2 * gatherMost) }) {
		t.Fatal("nobody was let in")
	}
	if !c.out.crowded.IsZero() {
		t.Error("it took long, and something was added: that is no reason not to let others in")
	}
	if !yielding(c, often, time.Time{}, func() { takes(2 * gatherMost) }) {
		t.Fatal("nobody was let in the second time")
	}
	if c.out.crowded.IsZero() {
		t.Fatal("it took long for nothing, and the writer has not noticed")
	}
	if yielding(c, 1000, time.Now().Add(time.Hour), func() {}) { // for as long as the test may take
		t.Error("somebody was let in although that took long for nothing just now")
	}
	if !yielding(c, often, time.Now().Add(-crowdedFor), func() {}) {
		t.Error("nobody is let in any more")
	}
}
