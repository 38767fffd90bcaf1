package h2

import (
	"math/bits"
	"sync"
)

// Buffer is a pooled byte slice that holds one message. It has one owner at a
// time, who releases it.
type Buffer struct {
	B          []byte
	Compressed bool // flag of a received message's prefix

	next  *Buffer // in a stream's queue
	class int8    // -1: not pooled
	// In a stream's queue a buffer may hold several messages with their
	// prefixes, the first at off.
	packed, off int
}

// The pools hold buffers by powers of two, from 256 B to 4 MiB, each with some
// room to spare, so that a message around a payload of such a size fits. A
// larger buffer is left to the garbage collector: a single huge message should
// not stay.
const (
	minClassBits = 8
	maxClassBits = 22
	classSlack   = 128
)

var pools [maxClassBits - minClassBits + 1]sync.Pool

// classSize is the capacity of a class's buffers.
func classSize(class int) int { return 1<<(minClassBits+class) + classSlack }

// GetBuffer returns a buffer of length n with undefined contents.
func GetBuffer(n int) *Buffer {
	if b := spareBuffer(n); b != nil {
		return b
	}
	class := classOf(n)
	if class >= len(pools) {
		return &Buffer{B: make([]byte, n), class: -1}
	}
	return &Buffer{B: make([]byte, n, classSize(class)), class: int8(class)}
}

// spareBuffer is GetBuffer if that takes no more memory than there is, and
// otherwise returns nil.
func spareBuffer(n int) *Buffer {
	class := classOf(n)
	if class >= len(pools) {
		return nil
	}
	b, _ := pools[class].Get().(*Buffer)
	if b != nil {
		b.B, b.Compressed, b.next, b.packed, b.off = b.B[:n], false, nil, 0, 0
	}
	return b
}

// classOf returns the class of buffers of length n, which may be beyond pools.
func classOf(n int) int {
	if n <= classSize(0) {
		return 0
	}
	return bits.Len(uint(n-classSlack-1)) - minClassBits
}

// Release gives the buffer back. Nobody may use it or its bytes afterwards.
func (b *Buffer) Release() {
	if b == nil || b.class < 0 || cap(b.B) != classSize(int(b.class)) {
		return // grown by append, or too large to keep
	}
	pools[b.class].Put(b)
}

// grow returns a buffer of length n that begins with b's bytes, and releases b.
func (b *Buffer) grow(n int) *Buffer {
	nb := GetBuffer(n)
	nb.Compressed = b.Compressed
	copy(nb.B, b.B)
	b.Release()
	return nb
}
