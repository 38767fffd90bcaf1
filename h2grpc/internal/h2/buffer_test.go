package h2_test

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
)

// TestBuffer: lengths are exact, capacities not much larger, and a released buffer is
// reused only as it should be.
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

// TestLargeBuffers: a large buffer that was released is the next one of its size,
// whoever asks, as long as it is used now and then; no more than a few are kept, and
// none for long.
func TestLargeBuffers(t *testing.T) {
	h2.Needs(t, fastpath.LargeBuffers)
	const size = 1 << 20
	b := h2.GetBuffer(size)
	array := weak.Make(&b.B[0])
	for range 5 {
		b.Release()
		runtime.GC()
		done := make(chan *h2.Buffer)
		go func() { done <- h2.GetBuffer(size) }()
		if b = <-done; &b.B[0] != array.Value() {
			t.Fatal("a buffer that was in use between two collections is gone")
		}
	}
	b.Release()
	b = nil
	for end := time.Now().Add(10 * time.Second); array.Value() != nil; runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("a buffer that nobody uses is still there")
		}
	}

	var all []*h2.Buffer
	var arrays []weak.Pointer[byte]
	for range 32 {
		b := h2.GetBuffer(size)
		all, arrays = append(all, b), append(arrays, weak.Make(&b.B[0]))
	}
	for _, b := range all {
		b.Release()
	}
	clear(all)
	runtime.GC()
	kept := 0
	for _, a := range arrays {
		if a.Value() != nil {
			kept++
		}
	}
	if kept < 1 || kept > 8 {
		t.Errorf("%d of %d buffers of 1 MiB are kept, want 8 or a few less", kept, len(arrays))
	}
}
