package h2

import (
	"bytes"

	"golang.org/x/net/http2/hpack"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// headerEncoder encodes header blocks. It is guarded by Conn.mu: blocks must be sent
// in the order in which they were encoded.
//
// Fixed blocks (those that many calls share) are added to the dynamic table and soon
// consist of table references alone; such a block is kept and copied as long as the
// table does not change. What differs from call to call is sent after the fixed
// block, as literals that do not change the table.
type headerEncoder struct {
	buf   bytes.Buffer
	enc   *hpack.Encoder
	gen   uint64 // counts changes of the dynamic table
	cache map[string]cachedBlock
}

type cachedBlock struct {
	gen   uint64
	block []byte
	size  int // see listSize
}

func newHeaderEncoder() *headerEncoder {
	e := &headerEncoder{cache: map[string]cachedBlock{}}
	e.enc = hpack.NewEncoder(&e.buf)
	return e
}

// setTableSize applies the peer's SETTINGS_HEADER_TABLE_SIZE.
func (e *headerEncoder) setTableSize(n uint32) {
	e.enc.SetMaxDynamicTableSize(min(n, defaultTableSize))
	e.gen++
}

// cached returns the block of key if it was made with the present table.
func (e *headerEncoder) cached(key string) (cachedBlock, bool) {
	c, ok := e.cache[key]
	return c, ok && c.gen == e.gen
}

// appendNew appends the block of fields, which is not cached, to dst, and caches it
// under key if possible.
func (e *headerEncoder) appendNew(dst []byte, key string, fields []Field) []byte {
	e.buf.Reset()
	for _, f := range fields {
		e.enc.WriteField(f) // writing to a bytes.Buffer does not fail
	}
	block := e.buf.Bytes()
	if !fullyIndexed(block) || !fastpath.BlockCache {
		e.gen++ // a literal may have entered the table
		return append(dst, block...)
	}
	if len(e.cache) >= blockCacheCap {
		clear(e.cache)
	}
	e.cache[key] = cachedBlock{e.gen, bytes.Clone(block), listSize(fields)}
	return append(dst, block...)
}

// fullyIndexed reports whether a block consists of indexed fields only (RFC 7541
// §6.1), so that it does not change the table and depends on its present state alone.
func fullyIndexed(block []byte) bool {
	for i := 0; i < len(block); i++ {
		if block[i]&0x80 == 0 {
			return false
		}
		if block[i] == 0xff { // the index continues in the next bytes
			for i++; i < len(block) && block[i]&0x80 != 0; i++ {
			}
		}
	}
	return true
}

// appendLiteral appends a field as a literal without indexing and with a new name
// (RFC 7541 §6.2.2).
func appendLiteral[V string | []byte](dst []byte, name string, value V) []byte {
	dst = append(dst, 0)
	dst = appendHpackString(dst, name)
	return appendHpackString(dst, value)
}

// appendHpackString appends a string without Huffman coding: RFC 7541 §5.2.
func appendHpackString[S string | []byte](dst []byte, s S) []byte {
	n := len(s)
	if n < 0x7f {
		dst = append(dst, byte(n))
	} else {
		dst = append(dst, 0x7f)
		for n -= 0x7f; n >= 0x80; n >>= 7 {
			dst = append(dst, byte(n)|0x80)
		}
		dst = append(dst, byte(n))
	}
	return append(dst, s...)
}

// listSize returns the size of fields for SETTINGS_MAX_HEADER_LIST_SIZE.
func listSize(fields []Field) (n int) {
	for _, f := range fields {
		n += int(f.Size())
	}
	return n
}

// Block is a header block to send.
type Block struct {
	// Key is the name of Fixed in the connection's cache of encoded blocks: the same key
	// always belongs to the same fields.
	Key   string
	Fixed []Field
	// Timeout is the value of grpc-timeout; nil: none.
	Timeout []byte
	// Extra is the fields that differ from call to call: they do not change the
	// compression table. Names are lower case, values as they are sent.
	Extra []Field
	// Always sends the block even if it exceeds the peer's limit, which is advisory (RFC
	// 9113 §6.5.2).
	Always bool
}

const timeoutName = "grpc-timeout"
