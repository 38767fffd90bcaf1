package h2

import (
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/wire"
)

const prefixLen = wire.PrefixLen

// queue is a list of whole messages. From packAfter on, small messages share buffers,
// with their prefixes in between.
type queue struct {
	first, last *Buffer
	messages    int
	bytes       int // prefixes included
}

// push appends b, which then belongs to the queue.
func (q *queue) push(b *Buffer) {
	size, messages := len(b.B)-b.off, b.packed
	if messages == 0 {
		size, messages = len(b.B)+prefixLen, 1
	}
	q.messages += messages
	q.bytes += size
	if fastpath.Packing && q.messages > packAfter && size <= packSize/2 && q.pack(b, size) {
		b.Release()
		return
	}
	if q.last == nil {
		q.first = b
	} else {
		q.last.next = b
	}
	q.last = b
}

// packBytes is push for a small message with its prefix.
func (q *queue) packBytes(b []byte, compressed bool) {
	into := q.last
	if into == nil || into.packed == 0 || len(into.B)+len(b) > cap(into.B) {
		m := GetBuffer(len(b) - prefixLen)
		m.Compressed = compressed
		copy(m.B, b[prefixLen:])
		q.push(m)
		return
	}
	into.B = append(into.B, b...)
	into.packed++
	q.messages++
	q.bytes += len(b)
}

// pack copies b into a shared buffer at the end of the list. The first shared buffer
// is small, since many streams may have a few messages each.
func (q *queue) pack(b *Buffer, size int) bool {
	into := q.last
	if into == nil || into.packed == 0 || len(into.B)+size > cap(into.B) {
		if b.packed > 0 {
			return false // it is a shared buffer itself
		}
		room := max(size, packSize/16)
		if into != nil && into.packed > 0 {
			room = packSize
		}
		next := GetBuffer(room)
		next.B = next.B[:0]
		if into == nil {
			q.first = next
		} else {
			into.next = next
		}
		q.last = next
		into = next
	}
	if b.packed > 0 {
		into.B = append(into.B, b.B[b.off:]...)
		into.packed += b.packed
		return true
	}
	at := len(into.B)
	into.B = into.B[:at+prefixLen]
	wire.PutPrefix(into.B[at:], b.Compressed, uint32(len(b.B)))
	into.B = append(into.B, b.B...)
	into.packed++
	return true
}

// pop returns the first message, or nil.
func (q *queue) pop() *Buffer {
	b := q.first
	if b == nil {
		return nil
	}
	q.messages--
	if b.packed == 0 {
		q.bytes -= len(b.B) + prefixLen
		q.unlink(b)
		return b
	}
	flag, n, _ := wire.ParsePrefix(b.B[b.off:]) // pack has written it
	m := GetBuffer(int(n))
	m.Compressed = flag == 1
	copy(m.B, b.B[b.off+prefixLen:])
	b.off += prefixLen + int(n)
	q.bytes -= prefixLen + int(n)
	if b.packed--; b.packed == 0 {
		q.unlink(b)
		b.Release()
	}
	return m
}

// unlink removes the first buffer from the list.
func (q *queue) unlink(b *Buffer) {
	if q.first = b.next; q.first == nil {
		q.last = nil
	}
	b.next = nil
}

// append moves the messages of other to the end of q.
func (q *queue) append(other *queue) {
	for b := other.first; b != nil; {
		next := b.next
		b.next = nil
		q.push(b)
		b = next
	}
	*other = queue{}
}

// drop releases all messages and returns how many bytes they were.
func (q *queue) drop() int {
	n := q.bytes
	for b := q.first; b != nil; {
		next := b.next
		b.Release()
		b = next
	}
	*q = queue{}
	return n
}
