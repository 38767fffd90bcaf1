//go:build lockorder

package h2

import "testing"

// TestLockOrder: locks panic with the tag if their order is violated.
func TestLockOrder(t *testing.T) {
	var c Conn
	var s Stream
	c.mu.Lock()
	s.mu.Lock()
	s.mu.Unlock()
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if recover() == nil {
			t.Error("a connection's lock is taken by who has a stream's")
		}
	}()
	c.mu.Lock()
}
