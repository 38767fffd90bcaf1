package h2

// This test is in the package because it is about the cache of encoded blocks, which
// is invisible from outside unless it is wrong.

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// TestHeaderEncoder encodes random blocks, most of them from the cache, with changes
// of the table in between, and decodes them as a peer does.
func TestHeaderEncoder(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		enc := newHeaderEncoder()
		var got []string
		dec := hpack.NewDecoder(defaultTableSize, func(f hpack.HeaderField) { got = append(got, f.Name+"="+f.Value) })
		// As many methods as fit into the table, or ten times as many.
		methods := []int{3, 30, 300}[rnd.IntN(3)]
		blocks := map[string][]Field{}
		for step := range 500 {
			if rnd.IntN(50) == 0 {
				n := []uint32{0, 100, 1000, defaultTableSize, 1 << 20}[rnd.IntN(5)]
				enc.setTableSize(n)
				dec.SetAllowedMaxDynamicTableSize(min(n, defaultTableSize))
			}
			key := fmt.Sprint("method ", rnd.IntN(methods))
			if blocks[key] == nil {
				blocks[key] = []Field{{Name: ":method", Value: "POST"}, {Name: ":path", Value: "/a/" + key}, {Name: "same", Value: "in all"}}
				if rnd.IntN(10) == 0 {
					blocks[key] = append(blocks[key], Field{Name: "huge", Value: strings.Repeat("h", rnd.IntN(5000))})
				}
			}
			block := enc.appendFixed([]byte("prefix"), key, blocks[key])
			if string(block[:6]) != "prefix" {
				t.Fatal("appendFixed does not append")
			}
			var want []string
			for _, f := range blocks[key] {
				want = append(want, f.Name+"="+f.Value)
			}
			for range rnd.IntN(3) {
				k, v := strings.Repeat("k", 1+rnd.IntN(300)), strings.Repeat("v", rnd.IntN(20_000))
				block = appendLiteral(block, k, v)
				want = append(want, k+"="+v)
			}
			got = nil
			if _, err := dec.Write(block[6:]); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			if err := dec.Close(); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: a peer decodes %.300q, want %.300q", seed, step, got, want)
			}
		}
	}
}

// TestHeaderCacheIsUsed: a block that was sent before takes a few bytes.
func TestHeaderCacheIsUsed(t *testing.T) {
	enc := newHeaderEncoder()
	fields := []Field{{Name: ":path", Value: "/some/method"}, {Name: "user-agent", Value: "somebody"}}
	var sizes []int
	for range 4 {
		sizes = append(sizes, len(enc.appendFixed(nil, "key", fields)))
	}
	if sizes[3] != len(fields) || sizes[0] < 10 {
		t.Errorf("the same block takes %d bytes in turn", sizes)
	}
	if n := testing.AllocsPerRun(100, func() { enc.appendFixed(make([]byte, 0, 64), "key", fields) }); n > 0 {
		t.Errorf("a cached block takes %v allocations", n)
	}
	for i := range 10 * blockCacheCap {
		key := fmt.Sprint(i)
		for range 2 {
			enc.appendFixed(nil, key, []Field{{Name: ":method", Value: "POST"}})
		}
	}
	if len(enc.cache) > blockCacheCap {
		t.Errorf("the cache holds %d blocks, more than %d", len(enc.cache), blockCacheCap)
	}
}

// appendFixed appends the block of fields to dst, as Conn.encode does.
func (e *headerEncoder) appendFixed(dst []byte, key string, fields []Field) []byte {
	if c, ok := e.cached(key); ok {
		return append(dst, c.block...)
	}
	return e.appendNew(dst, key, fields)
}
