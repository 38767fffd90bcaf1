package h2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// whole decodes a block without the memo.
func (d *headerDecoder) whole(kind blockKind, p []byte) (*Head, string, error) {
	d.begin(kind)
	if err := d.feed(p); err != nil {
		return nil, "", err
	}
	return d.end()
}

// TestHeaderMemo: blocks of all kinds decode to the same with and without the memo,
// and cost the same.
func TestHeaderMemo(t *testing.T) {
	Needs(t, fastpath.HeaderMemo)
	hits := 0
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		with, without := newHeaderDecoder(4000), newHeaderDecoder(4000)
		var buf bytes.Buffer
		enc := hpack.NewEncoder(&buf)
		for step := range 300 {
			buf.Reset()
			kind := blockKind(rnd.IntN(3))
			if rnd.IntN(50) == 0 {
				enc.SetMaxDynamicTableSize(uint32(rnd.IntN(defaultTableSize)))
			}
			if rnd.IntN(40) != 0 { // otherwise a block that lacks them
				switch kind {
				case requestBlock:
					for _, f := range []Field{{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: fmt.Sprint("/s/", rnd.IntN(5))}} {
						enc.WriteField(f)
					}
				case responseBlock:
					enc.WriteField(Field{Name: ":status", Value: "200"})
				}
			}
			for i := range rnd.IntN(4) {
				enc.WriteField(Field{Name: fmt.Sprint("fixed-", i), Value: "v"})
			}
			block := buf.Bytes()
			switch rnd.IntN(6) {
			case 0, 1:
				block = appendLiteral(block, "grpc-timeout", fmt.Sprint(step, "m"))
			case 2:
				enc.WriteField(Field{Name: "secret", Value: strings.Repeat("x", rnd.IntN(300)), Sensitive: true})
				block = buf.Bytes()
			case 3:
				enc.WriteField(Field{Name: "indexed", Value: fmt.Sprint(step)})
				block = buf.Bytes()
			case 4:
				if rnd.IntN(10) == 0 {
					block = appendLiteral(block, "large", strings.Repeat("l", 5000))
				}
			}
			if n, same := scanBlock(block); same && n > 0 {
				if _, ok := with.memo[string(append([]byte{byte(kind)}, block[:n]...))]; ok {
					hits++
				}
			}
			head, malformed, err := with.block(kind, block)
			head2, malformed2, err2 := without.whole(kind, block)
			if malformed != malformed2 || err != nil || err2 != nil {
				t.Fatalf("seed %d, step %d: %q, %v with the memo, %q, %v without", seed, step, malformed, err, malformed2, err2)
			}
			if malformed != "" {
				continue
			}
			if a, b := *head, *head2; fmt.Sprint(a) != fmt.Sprint(b) || len(a.Fields) > 0 && !reflect.DeepEqual(a.Fields, b.Fields) {
				t.Fatalf("seed %d, step %d: %+v with the memo, %+v without", seed, step, a, b)
			}
			if with.cost() != without.cost() {
				t.Fatalf("seed %d, step %d: cost of %d with the memo, %d without", seed, step, with.cost(), without.cost())
			}
		}
	}
	if hits < 1000 {
		t.Errorf("the memo was used %d times", hits)
	}
}

// TestHeaderMemoBounds: a known block causes no allocation, and what is kept is
// bounded.
func TestHeaderMemoBounds(t *testing.T) {
	Needs(t, fastpath.HeaderMemo)
	d := newHeaderDecoder(1 << 16)
	get := []byte{0x83, 0x86, 0x84} // :method POST, :scheme http, :path /
	first, _, _ := d.block(requestBlock, get)
	if n := testing.AllocsPerRun(100, func() {
		if head, _, _ := d.block(requestBlock, get); head != first {
			t.Fatal("a known block is decoded again")
		}
	}); n > 0 {
		t.Errorf("a known block takes %v allocations", n)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 10 * memoBlocks {
		p := make([]byte, 1+rnd.IntN(3*memoBlockSize))
		for i := range p {
			p[i] = 0x80 | byte(15+rnd.IntN(40)) // regular fields of the static table
		}
		if _, _, err := d.block(trailerBlock, p); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.memo) > memoBlocks {
		t.Errorf("%d blocks are kept, more than %d", len(d.memo), memoBlocks)
	}
	for key := range d.memo {
		if len(key) > 1+memoBlockSize {
			t.Errorf("a block of %d bytes is kept, more than %d", len(key)-1, memoBlockSize)
		}
	}
}

// FuzzScanBlock: blocks that scanBlock reports as not changing the table do not
// change it, and blocks decode to the same with and without the memo, errors
// included.
func FuzzScanBlock(f *testing.F) {
	f.Add([]byte{0x83, 0x86, 0x84}, []byte{0x83, 0x86, 0x84, 0x00, 1, 'a', 1, 'b'})
	f.Add([]byte{0x40, 1, 'a', 1, 'b'}, []byte{0xbe})
	f.Add([]byte{0xff}, []byte{0x3f, 0xe1, 0x1f, 0x82})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		with, without := newHeaderDecoder(1<<16), newHeaderDecoder(1<<16)
		for _, p := range [][]byte{a, b, a, b, b} {
			h1, m1, err1 := with.block(trailerBlock, p)
			h2, m2, err2 := without.whole(trailerBlock, p)
			if (err1 == nil) != (err2 == nil) || m1 != m2 {
				t.Fatalf("%q, %v with the memo, %q, %v without", m1, err1, m2, err2)
			}
			if err1 != nil {
				return
			}
			if fmt.Sprint(*h1) != fmt.Sprint(*h2) {
				t.Fatalf("%+v with the memo, %+v without", *h1, *h2)
			}
		}
	})
}
