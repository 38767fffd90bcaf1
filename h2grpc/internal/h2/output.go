package h2

import "time"

// output is what is queued for the socket: bytes, and between them parts of large
// messages, which are written from where they were encoded. Copying them would
// cost more than everything else that is done for them here.
type output struct {
	buf   []byte
	parts []part
	// Of what is being written: how many bytes of buf and how many parts are written.
	off, part int
	// moved bytes were written since the time since, which Conn.stuck sets; all of them,
	// and more, were pending already.
	moved int
	since time.Time
}

// A part of a message, which follows buf[:at].
type part struct {
	at   int
	b    []byte
	from *Buffer // held until the part is written
}

// next returns the bytes to write next, or nil: no more than most, and no more than
// one part.
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

// wrote records that the first n bytes of next were written. It returns how many of
// them belonged to parts.
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

// drop empties o and releases its messages.
func (o *output) drop() {
	for i := o.part; i < len(o.parts); i++ {
		o.parts[i].from.Release()
	}
	clear(o.parts)
	*o = output{buf: o.buf[:0], parts: o.parts[:0]}
}
