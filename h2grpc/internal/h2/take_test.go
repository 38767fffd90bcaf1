package h2

// This test is inside the package because nothing outside holds two messages of a
// stream at once.

import (
	"strings"
	"testing"
)

// TestSharedBufferInUse: a message that shares its buffer with others stays as it is
// while it is in use, though all that follow have been released.
func TestSharedBufferInUse(t *testing.T) {
	s := new(Stream)
	s.taken = new(taken)
	const messages = 10
	for i := range messages {
		b := GetBuffer(8)
		copy(b.B, strings.Repeat(string(rune('a'+i)), 8))
		s.taken.queue.push(b)
	}
	var held []*Buffer
	for range packAfter + 2 { // the last two share a buffer, and none is released
		held = append(held, s.taken.pop())
	}
	held[packAfter].Release()
	for s.taken.queue.first != nil {
		b := s.taken.pop()
		shared := s.taken.spent
		b.Release()
		if shared != nil {
			shared.Release()
		}
	}
	var others []*Buffer
	for range 100 { // of the classes that a shared buffer may be of
		for _, n := range []int{packSize / 16, packSize} {
			b := GetBuffer(n)
			clear(b.B[:cap(b.B)])
			others = append(others, b)
		}
	}
	if got := string(held[packAfter+1].B); got != "dddddddd" {
		t.Errorf("a message in use became %q", got)
	}
	for _, b := range others {
		b.Release()
	}
}
