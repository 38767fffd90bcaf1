package h2

import (
	"strings"
)

// hpack wants a string as a whole: it keeps what it has of one, and looks at all of
// that again with every piece. Values of more than longFrom bytes therefore go past
// it, and take as much memory as they have, and time in proportion. What hpack is
// given in their place leaves its table as the value would have.
type longValue struct {
	name string   // hpack's word
	size int      // encoded
	left int      // of size, still to come
	room int      // how much of the value is kept
	huff *huffman // nil: it is as it is
	b    *strings.Builder
	over bool // it is longer than room
}

// write decodes a part of a block that comes in several.
func (d *headerDecoder) write(p []byte) error {
	for len(p) > 0 {
		var err error
		switch {
		case d.plain:
			return d.feed(p)
		case d.long != nil:
			p, err = d.longPart(p)
		default:
			p, err = d.fields(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fields decodes fields up to a long value, and returns what is left of p from
// there on. Of a field that has not come to its end, what has come is kept.
func (d *headerDecoder) fields(p []byte) (rest []byte, err error) {
	joined := len(d.part) > 0
	if joined {
		p = append(d.part, p...)
		d.part = p[:0] // rest moves to the front of it, if at all
	}
	n := 0 // p[:n] are whole fields
	for n < len(p) {
		f := scanField(p[n:])
		switch {
		case f.odd:
			d.plain = true // hpack may say what is wrong with it
			d.part = nil
			return nil, d.feed(p)
		case f.size > 0 && f.value <= longFrom && f.size <= len(p)-n:
			n += f.size
			continue
		case f.size > 0 && f.value > longFrom:
			if f.value > d.blockLimit {
				return nil, fault(ErrCodeEnhanceYourCalm, "header block with a string of %d bytes, which are more than %d", f.value, d.blockLimit)
			}
			if err := d.feed(p[:n]); err != nil {
				return nil, err
			}
			return p[n+f.size-f.value:], d.beginLong(p[n:n+f.named], f)
		}
		break
	}
	if err := d.feed(p[:n]); err != nil {
		return nil, err
	}
	d.part = append(d.part[:0], p[n:]...)
	return nil, nil
}

// beginLong begins a long value: begin is its field up to the value's length.
func (d *headerDecoder) beginLong(begin []byte, f fieldScan) error {
	d.long = &longValue{size: f.value, left: f.value, b: new(strings.Builder)}
	if err := d.feed(begin); err != nil {
		return err
	}
	stand := ""
	if f.indexed {
		// A field that is larger than the table empties it (RFC 7541 §4.4).
		stand = strings.Repeat("x", defaultTableSize)
	}
	if err := d.feed(appendHpackString(nil, stand)); err != nil {
		return err
	}
	if d.dec.EmitEnabled() && d.malformed == "" {
		d.long.room = max(0, d.most-d.size-len(d.long.name)-32)
	}
	if f.huffman {
		d.long.huff = newHuffman()
	}
	return nil
}

// longPart takes what p has of a long value, and returns the rest of p.
func (d *headerDecoder) longPart(p []byte) (rest []byte, err error) {
	v := d.long
	rest = p[min(len(p), v.left):]
	for p = p[:len(p)-len(rest)]; len(p) > 0; {
		n := min(len(p), huffmanStride)
		v.left -= n
		if d.dec.EmitEnabled() && !v.over { // otherwise nobody looks what it is
			if err := v.add(p[:n]); err != nil {
				return nil, err
			}
		}
		p = p[n:]
	}
	if v.left > 0 {
		return nil, nil
	}
	d.long = nil
	if !d.dec.EmitEnabled() {
		return rest, nil
	}
	if v.huff != nil && !v.over && !v.huff.ended() {
		return nil, errHuffman()
	}
	size := len(v.name) + v.b.Len() + 32
	if v.over {
		size++
	}
	d.add(v.name, v.b.String(), size)
	return rest, nil
}

// add adds a piece of the value, of huffmanStride bytes at most.
func (v *longValue) add(p []byte) error {
	var room [huffmanStride*8/huffmanLeast + 1]byte
	if v.huff != nil {
		var ok bool
		if p, ok = v.huff.decode(room[:0], p); !ok {
			return errHuffman()
		}
	}
	if n := v.room - v.b.Len(); len(p) > n {
		p, v.over = p[:n], true
	}
	if v.b.Cap()-v.b.Len() < len(p) {
		v.grow(len(p))
	}
	v.b.Write(p)
	return nil
}

// grow makes room for n more bytes of the value. The peer pays for it: what is here
// is a part of it that is not small.
func (v *longValue) grow(n int) {
	had := v.b.Len()
	whole := v.size // what the value comes to, or about that
	if v.huff != nil {
		whole = int(float64(had+n) * float64(v.size) / float64(v.size-v.left) * 1.05)
	}
	size := max(had+n, longFrom, 4*had)
	if whole <= 8*had {
		size = whole
	}
	b := new(strings.Builder)
	b.Grow(max(had+n, min(size, v.room)))
	b.WriteString(v.b.String())
	v.b = b
}

func errHuffman() error {
	return fault(ErrCodeCompression, "header block: a string is not in the Huffman code")
}

// fieldScan is what the beginning of a field says: RFC 7541 §6.
type fieldScan struct {
	size    int  // bytes of all of it; 0: not enough is here to tell
	named   int  // of them before the value's length, if it has a value
	value   int  // and of the value
	huffman bool // it is coded
	indexed bool // it enters the table
	odd     bool // its name is long, or a number has more digits than it needs
}

// scanField looks at the field that p begins with.
func scanField(p []byte) (f fieldScan) {
	bits := 0
	switch b := p[0]; {
	case b&0x80 != 0:
		bits = 7
	case b&0xc0 == 0x40:
		bits, f.indexed = 6, true
	case b&0xe0 == 0x20:
		bits = 5
	default:
		bits = 4
	}
	index, i := readInt(p, 0, bits)
	if i <= 0 {
		return fieldScan{odd: i < 0}
	}
	if bits == 7 || bits == 5 {
		f.size = i
		return f
	}
	if index == 0 {
		n, at := readInt(p, i, 7)
		if at <= 0 || n > longFrom {
			return fieldScan{odd: at != 0}
		}
		if i = at + n; i >= len(p) {
			return fieldScan{}
		}
	} else if i == len(p) {
		return fieldScan{}
	}
	f.named, f.huffman = i, p[i]&0x80 != 0
	n, at := readInt(p, i, 7)
	if at <= 0 {
		return fieldScan{odd: at < 0}
	}
	f.value, f.size = n, at+n
	return f
}

// readInt reads the integer in the low bits of p[i] (RFC 7541 §5.1), and returns
// where it ends: 0 if that is not here, or -1 if it has more than four bytes more,
// which is beyond anything that is taken.
func readInt(p []byte, i, bits int) (n, end int) {
	if i >= len(p) {
		return 0, 0
	}
	mask := 1<<bits - 1
	if n = int(p[i]) & mask; n < mask {
		return n, i + 1
	}
	for j := range 4 {
		if i++; i == len(p) {
			return 0, 0
		}
		n += int(p[i]&0x7f) << (7 * j)
		if p[i]&0x80 == 0 {
			return n, i + 1
		}
	}
	return 0, -1
}
