package h2_test

import (
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
)

// TestBuffer: lengths are exact, capacities not much more, and what is released
// comes back only as it should.
func TestBuffer(t *testing.T) {
	for n := range 1 << 13 {
		checkBuffer(t, n)
	}
	for bits := 13; bits < 26; bits++ {
		for _, d := range []int{-200, -129, -128, -127, -1, 0, 1, 127, 128, 129, 200} {
			checkBuffer(t, 1<<bits+d)
		}
	}
	var none *h2.Buffer
	none.Release()
	b := h2.GetBuffer(100)
	b.B = append(b.B, make([]byte, 1<<20)...) // another array, which no pool should get
	b.Release()
	if b := h2.GetBuffer(100); len(b.B) != 100 || cap(b.B) > 4096 {
		t.Errorf("a buffer of 100 bytes has a capacity of %d", cap(b.B))
	}
}

func checkBuffer(t *testing.T, n int) {
	t.Helper()
	b := h2.GetBuffer(n)
	if len(b.B) != n || cap(b.B) > 2*n+1024 || b.Compressed {
		t.Fatalf("GetBuffer(%d): length %d, capacity %d, compressed %t", n, len(b.B), cap(b.B), b.Compressed)
	}
	b.Compressed = true
	b.B = b.B[:n/2]
	b.Release()
}
