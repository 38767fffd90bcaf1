package h2

import (
	"bytes"

	"golang.org/x/net/http2/hpack"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// headerEncoder makes header blocks. It is guarded by Conn.mu: blocks must be
// sent in the order they were encoded.
//
// Fixed blocks (those that many calls share) go into the dynamic table and
// soon consist of table references alone; such a block is kept and copied as
// long as the table does not change. Everything that differs from call to call
// is sent as literals that leave the table alone, after the fixed block.
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

// setTableSize obeys the peer's SETTINGS_HEADER_TABLE_SIZE.
func (e *headerEncoder) setTableSize(n uint32) {
	e.enc.SetMaxDynamicTableSize(min(n, defaultTableSize))
	e.gen++
}

// cached returns the block that key names if it was made with the present table.
func (e *headerEncoder) cached(key string) (cachedBlock, bool) {
	c, ok := e.cache[key]
	return c, ok && c.gen == e.gen
}

// appendNew appends the block of fields to dst, which the cache does not have under
// key, and then has if it can.
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

// fullyIndexed says whether a block consists of indexed fields only
// (RFC 7541 §6.1), so that it neither changes nor depends on more than the
// table's present state.
func fullyIndexed(block []byte) bool {
	for i := 0; i < len(block); i++ {
		if block[i]&0x80 == 0 {
			return false
		}
		if block[i] == 0xff { // the index goes on in the next bytes
			for i++; i < len(block) && block[i]&0x80 != 0; i++ {
			}
		}
	}
	return true
}

// appendLiteral appends a field as a literal without indexing and with a new
// name (RFC 7541 §6.2.2).
func appendLiteral[V string | []byte](dst []byte, name string, value V) []byte {
	dst = append(dst, 0)
	dst = appendHpackString(dst, name)
	return appendHpackString(dst, value)
}

// appendHpackString: RFC 7541 §5.2, without Huffman coding.
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

// listSize is what fields count for under SETTINGS_MAX_HEADER_LIST_SIZE.
func listSize(fields []Field) (n int) {
	for _, f := range fields {
		n += int(f.Size())
	}
	return n
}

// Block is a header block to send.
type Block struct {
	// Key names Fixed in the connection's cache of encoded blocks: the same
	// key always goes with the same fields.
	Key   string
	Fixed []Field
	// Timeout is the value of grpc-timeout; nil: none.
	Timeout []byte
	// Extra is what differs from call to call: it leaves the compression table
	// alone. Names are lower case, values as they go on the wire.
	Extra []Field
	// Always sends it also if the peer would rather not take it: what it says of
	// that is advice (RFC 9113 §6.5.2).
	Always bool
}

const timeoutName = "grpc-timeout"
