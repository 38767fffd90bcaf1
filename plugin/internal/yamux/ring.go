package yamux

// ring holds the bytes of a stream that have arrived and were not read. One
// goroutine fills it and another reads it; the filler may write into what space
// returned without the lock, everything else needs it.
type ring struct {
	buf  []byte // its length is 0 or a power of two
	r, w uint64 // counts of bytes read and filled
}

func (b *ring) len() int { return int(b.w - b.r) }

// sizeFor returns the size that the buffer must have for want more bytes.
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

// space returns room for at least one byte, and for want bytes if they can be
// had in one piece. It makes the buffer larger if that does not have room for
// want bytes altogether.
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

// filled says that n bytes of what space returned have been filled.
func (b *ring) filled(n int) { b.w += uint64(n) }

// read takes bytes out.
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
