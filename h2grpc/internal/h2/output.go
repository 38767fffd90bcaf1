package h2

import "time"

// output is what is queued for the socket: bytes, and between them parts of large
// messages, which are written from where they were encoded. Copying them would
// cost more than everything else that is done for them here.
type output struct {
	buf   []byte
	parts []part
	// Of what is being written, the bytes of buf and the parts that are written.
	off, part int
	// moved bytes were written since then, if Conn.stuck has asked, all of them and
	// more being due already.
	moved int
	since time.Time
}

// A part of a message follows buf[:at].
type part struct {
	at   int
	b    []byte
	from *Buffer // held until b is written
}

// next returns what has to be written next, or nil: no more than most, and no more
// than one part's bytes.
func (o *output) next(most int) []byte {
	if o.part == len(o.parts) {
		return o.buf[o.off:min(len(o.buf), o.off+most)]
	}
	if p := &o.parts[o.part]; o.off == p.at {
		return p.b[:min(len(p.b), most)]
	} else {
		return o.buf[o.off:min(p.at, o.off+most)]
	}
}

// wrote takes note that the first n bytes of next have been written. It returns
// how many bytes of parts they were.
func (o *output) wrote(n int) (ofPart int) {
	if o.part == len(o.parts) || o.off < o.parts[o.part].at {
		o.off += n
		return 0
	}
	p := &o.parts[o.part]
	if p.b = p.b[n:]; len(p.b) == 0 {
		p.from.Release()
		*p = part{}
		o.part++
	}
	return n
}

// drop empties o and lets go of its messages.
func (o *output) drop() {
	for i := o.part; i < len(o.parts); i++ {
		o.parts[i].from.Release()
	}
	clear(o.parts)
	*o = output{buf: o.buf[:0], parts: o.parts[:0]}
}
