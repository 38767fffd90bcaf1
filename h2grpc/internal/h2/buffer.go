package h2

import (
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// Buffer is a pooled byte slice that holds one message. It has one owner at a
// time, who releases it.
type Buffer struct {
	B          []byte
	Compressed bool // flag of a received message's prefix

	next  *Buffer      // in a stream's queue
	class int8         // -1: not pooled
	holds atomic.Int32 // owners of a large one, or one with a claim, but one
	claim *Claim       // dropped with the buffer; nil: none
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
	// largeClassBits is the class from which on buffers are kept in large.
	largeClassBits = 15
	classSlack     = 128
)

var pools [maxClassBits - minClassBits + 1]sync.Pool

// Large buffers are not in pools, of which each processor has its own: there a
// call that wanders from one to the other finds none, and allocating as much as
// a large message costs more than anything else done for it. What two garbage
// collections in succession have found unused goes, and largeKept bounds the
// rest.
var large struct {
	mu sync.Mutex
	// guarded by mu
	free    [maxClassBits - largeClassBits + 1]freeList
	bytes   int
	watched bool // the next collection calls sweepLarge
}

// A freeList holds buffers of one class, those used last at its end.
type freeList struct {
	free []*Buffer
	// So many at the beginning have not been used since the last collection, and
	// since the one before.
	unused, unusedBefore int
}

// getLarge returns nil if there is none.
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

// watchCollection has sweepLarge called after the next garbage collection.
func watchCollection() {
	runtime.SetFinalizer(new([4]*Buffer), func(*[4]*Buffer) { sweepLarge() })
}

// sweepLarge lets those buffers go that are not used.
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

// classOf returns the class of buffers of length n, which may be beyond pools.
func classOf(n int) int {
	if n <= classSize(0) {
		return 0
	}
	return bits.Len(uint(n-classSlack-1)) - minClassBits
}

// Large says whether the buffer goes to large once it is released.
func (b *Buffer) Large() bool { return b.class >= largeClassBits-minClassBits }

// Charge gives the buffer a claim, which ends when its last owner releases it.
func (b *Buffer) Charge(cl Claim) {
	if cl.l != nil {
		b.claim = &cl
	}
}

// dropClaim ends the buffer's claim, if it has one.
func (b *Buffer) dropClaim() {
	if b.claim != nil {
		b.claim.Drop()
		b.claim = nil
	}
}

// hold makes another owner of a large buffer, which nobody changes from then on.
func (b *Buffer) hold() { b.holds.Add(1) }

// Release gives the buffer back. The caller may not use it or its bytes
// afterwards.
func (b *Buffer) Release() {
	if b == nil {
		return
	}
	if b.claim != nil || b.Large() {
		if b.holds.Add(-1) >= 0 {
			return // by one of its owners
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

// grow returns a buffer of length n that begins with b's bytes, and releases b.
func (b *Buffer) grow(n int) *Buffer {
	nb := GetBuffer(n)
	nb.Compressed = b.Compressed
	copy(nb.B, b.B)
	b.Release()
	return nb
}
