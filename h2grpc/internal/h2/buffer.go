package h2

import (
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// Buffer is a pooled byte slice that holds one message. It has one owner at a time,
// which releases it.
type Buffer struct {
	B          []byte
	Compressed bool // the flag in the prefix of a received message

	next  *Buffer      // in a stream's queue
	class int8         // -1: not pooled
	holds atomic.Int32 // number of owners less one, if the buffer is large or has a claim
	claim *Claim       // dropped with the buffer; nil: none
	// In a stream's queue a buffer may hold several messages with their
	// prefixes, the first at off.
	packed, off int
}

// The pools hold buffers of powers of two, from 256 B to 4 MiB, each with some room
// to spare, so that a message around a payload of such a size fits. A larger buffer
// is left to the garbage collector: a single huge message should not take memory for
// good.
const (
	minClassBits = 8
	maxClassBits = 22
	// largeClassBits is the class from which on buffers are kept in large.
	largeClassBits = 15
	classSlack     = 128
)

var pools [maxClassBits - minClassBits + 1]sync.Pool

// Large buffers are not in a sync.Pool, which is divided by processor: a call that
// moves from one processor to another would find none there, and allocating a buffer
// for a large message costs more than all other work for it. Buffers that were not
// used between two successive garbage collections are freed, and largeKept bounds the
// others.
var large struct {
	mu sync.Mutex
	// guarded by mu
	free    [maxClassBits - largeClassBits + 1]freeList
	bytes   int
	watched bool // the next collection calls sweepLarge
}

// A freeList holds the free buffers of one class, the most recently used last.
type freeList struct {
	free []*Buffer
	// How many at the beginning have not been used since the last collection, and since
	// the one before.
	unused, unusedBefore int
}

// getLarge returns a free large buffer of the class, or nil.
func getLarge(class int) *Buffer {
	large.mu.Lock()
	defer large.mu.Unlock()
	l := &large.free[class-(largeClassBits-minClassBits)]
	n := len(l.free) - 1
	if n < 0 {
		return nil
	}
	b := l.free[n]
	l.free[n] = nil
	l.free = l.free[:n]
	l.unused = min(l.unused, n)
	large.bytes -= classSize(class)
	return b
}

func putLarge(b *Buffer) {
	large.mu.Lock()
	defer large.mu.Unlock()
	size := classSize(int(b.class))
	if large.bytes+size > largeKept || !fastpath.LargeBuffers {
		return
	}
	large.bytes += size
	l := &large.free[int(b.class)-(largeClassBits-minClassBits)]
	l.free = append(l.free, b)
	if !large.watched {
		large.watched = true
		watchCollection()
	}
}

// watchCollection arranges for sweepLarge to be called after the next garbage
// collection.
func watchCollection() {
	runtime.SetFinalizer(new([4]*Buffer), func(*[4]*Buffer) { sweepLarge() })
}

// sweepLarge frees the large buffers that are not used.
func sweepLarge() {
	large.mu.Lock()
	defer large.mu.Unlock()
	for i := range large.free {
		l := &large.free[i]
		n := min(l.unused, l.unusedBefore)
		l.free = slices.Delete(l.free, 0, n)
		large.bytes -= n * classSize(i+largeClassBits-minClassBits)
		l.unusedBefore, l.unused = l.unused-n, len(l.free)
	}
	if large.watched = large.bytes > 0; large.watched {
		watchCollection()
	}
}

// classSize returns the capacity of the buffers of a class.
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

// spareBuffer is GetBuffer without allocating: it returns nil if no buffer is free.
func spareBuffer(n int) *Buffer {
	class := classOf(n)
	if class >= len(pools) {
		return nil
	}
	var b *Buffer
	if class >= largeClassBits-minClassBits {
		b = getLarge(class)
	} else {
		b, _ = pools[class].Get().(*Buffer)
	}
	if b != nil {
		b.B, b.Compressed, b.next, b.packed, b.off = b.B[:n], false, nil, 0, 0
	}
	return b
}

// classOf returns the class for buffers of length n, which may be larger than those
// of any pool.
func classOf(n int) int {
	if n <= classSize(0) {
		return 0
	}
	return bits.Len(uint(n-classSlack-1)) - minClassBits
}

// Large reports whether the buffer is kept in large after its release.
func (b *Buffer) Large() bool { return b.class >= largeClassBits-minClassBits }

// Charge gives the buffer a claim, which is dropped when the last owner releases the
// buffer.
func (b *Buffer) Charge(cl Claim) {
	if cl.l != nil {
		b.claim = &cl
	}
}

// dropClaim drops the buffer's claim, if it has one.
func (b *Buffer) dropClaim() {
	if b.claim != nil {
		b.claim.Drop()
		b.claim = nil
	}
}

// hold adds an owner of a large buffer, which must not be changed from then on.
func (b *Buffer) hold() { b.holds.Add(1) }

// Release gives the buffer back. The caller must not use it or its bytes afterwards.
func (b *Buffer) Release() {
	if b == nil {
		return
	}
	if b.claim != nil || b.Large() {
		if b.holds.Add(-1) >= 0 {
			return // by one of several owners
		}
		b.holds.Store(0)
		b.dropClaim()
	}
	switch {
	case b.class < 0 || cap(b.B) != classSize(int(b.class)):
		// Too large to keep, or grown by append.
	case b.Large():
		putLarge(b)
	default:
		pools[b.class].Put(b)
	}
}

// grow returns a buffer of length n that begins with the bytes of b, and releases b.
func (b *Buffer) grow(n int) *Buffer {
	nb := GetBuffer(n)
	nb.Compressed = b.Compressed
	copy(nb.B, b.B)
	b.Release()
	return nb
}
