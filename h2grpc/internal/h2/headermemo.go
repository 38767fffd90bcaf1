package h2

import (
	"slices"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// known returns the decoded form of p, a whole block, if it is usual and the table
// has not changed since it was last decoded. Then it needs no other handling.
func (d *headerDecoder) known(kind blockKind, p []byte) *memoBlock {
	if len(p) > memoBlockSize || !fastpath.HeaderMemo {
		return nil
	}
	d.key = append(append(d.key[:0], byte(kind)), p...)
	if m := d.memo[string(d.key)]; m != nil && m.usual {
		return m
	}
	return nil
}

// block decodes a header block that has arrived as a whole; see end.
//
// Peers soon send blocks that consist of references to the compression table alone,
// at least up to the fields that differ from call to call. The decoded form of such a
// run is kept as long as the table does not change.
func (d *headerDecoder) block(kind blockKind, p []byte) (*Head, string, error) {
	n, same := scanBlock(p)
	if !same {
		clear(d.memo)
	}
	if !same || n == 0 || n > memoBlockSize || !fastpath.HeaderMemo {
		d.begin(kind)
		if err := d.feed(p); err != nil {
			return nil, "", err
		}
		return d.end()
	}
	d.key = append(append(d.key[:0], byte(kind)), p[:n]...)
	m, ok := d.memo[string(d.key)]
	if !ok {
		d.begin(kind)
		if err := d.feed(p[:n]); err != nil {
			return nil, "", err
		}
		d.head.Fields = slices.Clip(d.head.Fields)
		m = &memoBlock{d.head, d.blockState, d.usual(), d.cost()}
		if m.state.malformed == "" && !m.head.TooLarge {
			if len(d.memo) >= memoBlocks {
				clear(d.memo)
			}
			d.memo[string(d.key)] = m
		}
	}
	d.kind, d.head, d.most, d.blockState = kind, m.head, d.limit, m.state
	if n < len(p) {
		if !m.head.TooLarge {
			d.dec.SetEmitEnabled(true)
			d.head = newHead(kind)
			fields := append(d.head.Fields, m.head.Fields...)
			*d.head = *m.head
			d.head.Fields, d.head.Note = fields, nil
		}
		if err := d.feed(p[n:]); err != nil {
			return nil, "", err
		}
	}
	return d.end()
}

// scanBlock returns how many bytes of a header block consist of indexed fields (RFC
// 7541 §6.1), and whether the block does not change the dynamic table. For a broken
// block it returns that it does.
func scanBlock(p []byte) (indexed int, same bool) {
	for indexed < len(p) && p[indexed]&0x80 != 0 {
		i := skipInt(p, indexed, 7)
		if i < 0 {
			return 0, false
		}
		indexed = i
	}
	for i := indexed; i < len(p); {
		switch b := p[i]; {
		case b&0x80 != 0:
			i = skipInt(p, i, 7)
		case b&0xe0 != 0: // a literal that is added to the table (§6.2.1), or a new size of the table (§6.3)
			return 0, false
		default: // a literal that does not change the table (§6.2.2, §6.2.3)
			named := b&0x0f != 0
			if i = skipInt(p, i, 4); i >= 0 && !named {
				i = skipString(p, i)
			}
			if i >= 0 {
				i = skipString(p, i)
			}
		}
		if i < 0 {
			return 0, false
		}
	}
	return indexed, true
}

// skipInt returns the end of the integer that begins in the low bits of p[i] (RFC
// 7541 §5.1), or -1.
func skipInt(p []byte, i, bits int) int {
	mask := byte(1)<<bits - 1
	if p[i]&mask != mask {
		return i + 1
	}
	for i++; i < len(p); i++ {
		if p[i]&0x80 == 0 {
			return i + 1
		}
	}
	return -1
}

// skipString returns the end of the string that begins at p[i] (RFC 7541 §5.2), or
// -1.
func skipString(p []byte, i int) int {
	if i >= len(p) {
		return -1
	}
	n := int(p[i] & 0x7f)
	if i++; n == 0x7f {
		for shift := 0; ; shift += 7 {
			if i >= len(p) || shift > 21 {
				return -1
			}
			b := p[i]
			i++
			n += int(b&0x7f) << shift
			if b&0x80 == 0 {
				break
			}
		}
	}
	if n > len(p)-i {
		return -1
	}
	return i + n
}
