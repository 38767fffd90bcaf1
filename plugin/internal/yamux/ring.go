package yamux

// ring holds the bytes of a stream that have arrived and have not been read. One
// goroutine fills it and another reads it. The filler may write into the space returned
// by space without the lock; everything else needs it.
type ring struct {
	buf  []byte // its length is 0 or a power of two
	r, w uint64 // total bytes read and filled
}

func (b *ring) len() int { return int(b.w - b.r) }

// sizeFor returns the size that the buffer must have to hold want more bytes.
func (b *ring) sizeFor(want int) int {
	need := b.len() + want
	if need <= len(b.buf) {
		return len(b.buf)
	}
	size := max(len(b.buf), keepBuffer)
	for size < need {
		size *= 2
	}
	return size
}

// space returns room for at least one byte, and for want bytes if they fit in one piece.
// It grows the buffer if that has no room for want bytes in total.
func (b *ring) space(want int) []byte {
	if size := b.sizeFor(want); size > len(b.buf) {
		grown := make([]byte, size)
		n := b.copyTo(grown)
		b.buf, b.r, b.w = grown, 0, uint64(n)
	}
	at := b.w & uint64(len(b.buf)-1)
	end := min(at+uint64(len(b.buf)-b.len()), uint64(len(b.buf)), at+uint64(want))
	return b.buf[at:end]
}

// filled records that n bytes of the result of space have been filled.
func (b *ring) filled(n int) { b.w += uint64(n) }

// read removes bytes and copies them into p.
func (b *ring) read(p []byte) int {
	n := b.copyTo(p)
	b.r += uint64(n)
	return n
}

// copyTo copies as many bytes as fit into p, the oldest first.
func (b *ring) copyTo(p []byte) int {
	p = p[:min(len(p), b.len())]
	if len(p) == 0 {
		return 0
	}
	at := b.r & uint64(len(b.buf)-1)
	n := copy(p, b.buf[at:])
	return n + copy(p[n:], b.buf)
}
