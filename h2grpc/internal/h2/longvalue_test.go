package h2

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// text returns n random bytes: of letters alone, or of any kind.
func text(rnd *rand.Rand, n int) string {
	b := make([]byte, n)
	letters := rnd.IntN(2) == 0
	for i := range b {
		if b[i] = byte(' ' + rnd.IntN(95)); !letters {
			b[i] = byte(1 + rnd.IntN(255))
		}
	}
	return strings.NewReplacer("\n", "n", "\r", "r").Replace(string(b))
}

// pieces hands p out in pieces of all sizes.
func pieces(rnd *rand.Rand, p []byte, f func([]byte) error) error {
	for len(p) > 0 {
		n := 1 + rnd.IntN(1<<rnd.IntN(17))
		n = min(n, len(p))
		if err := f(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// literalField is a field in any of the forms that a literal has (RFC 7541 §6.2).
func literalField(rnd *rand.Rand, name, value string) (block []byte, indexed bool) {
	block = []byte{[]byte{0x00, 0x10, 0x40}[rnd.IntN(3)]}
	indexed = block[0] == 0x40
	block = appendHpackString(block, name)
	if rnd.IntN(2) == 0 {
		return appendHpackString(block, value), indexed
	}
	code := hpack.AppendHuffmanString(nil, value)
	at := len(block)
	block = appendHpackString(block, code)
	block[at] |= 0x80
	return block, indexed
}

// TestLongValues: blocks in any number of pieces decode to what hpack makes of
// them as a whole, whatever the sizes of their fields, and so do references to the
// table that they leave.
func TestLongValues(t *testing.T) {
	long, references := 0, 0
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		d := newHeaderDecoder(4 << 20)
		reference := hpack.NewDecoder(defaultTableSize, nil)
		filled := false // the table has an entry
		for range 10 {
			var block []byte
			for range rnd.IntN(8) {
				name, value := fmt.Sprint("name-", rnd.IntN(4)), text(rnd, rnd.IntN(1<<rnd.IntN(18)))
				field, indexed := literalField(rnd, name, value)
				block = append(block, field...)
				if indexed {
					filled = len(name)+len(value)+32 <= defaultTableSize
				}
				if len(value) > 2*longFrom {
					long++
				}
			}
			if filled {
				block = append(block, 0x80|62) // the newest one
				references++
			}
			fields, err := reference.DecodeFull(block)
			if err != nil {
				t.Fatalf("seed %d: hpack: %v", seed, err)
			}
			d.begin(trailerBlock)
			if err := pieces(rnd, block, d.write); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			head, malformed, err := d.end()
			if err != nil || malformed != "" || len(head.Fields) != len(fields) {
				t.Fatalf("seed %d: %d fields of %d, %q, %v", seed, len(head.Fields), len(fields), malformed, err)
			}
			for i, want := range fields {
				if got := head.Fields[i]; got.Name != want.Name || got.Value != want.Value {
					t.Fatalf("seed %d, field %d: got %q with %d bytes, want %q with %d", seed, i, got.Name, len(got.Value), want.Name, len(want.Value))
				}
			}
		}
	}
	if long < 100 || references < 100 {
		t.Errorf("only %d values were long, and only %d fields references", long, references)
	}
}

// TestLongValueCut: what goes past the limit is dropped but for the beginning of
// its first field, in every form, and the table is as the block leaves it.
func TestLongValueCut(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		d := newHeaderDecoder(100_000)
		value := strings.Repeat("value ", 40_000)
		block, _ := literalField(rnd, "first", "x")
		field, _ := literalField(rnd, "large", value)
		block = append(block, field...)
		field, _ = literalField(rnd, "later", value)
		block = append(block, field...)
		block = append(block, "\x40\x04last\x01x\xbe"...)
		d.begin(trailerBlock)
		if err := pieces(rnd, block, d.write); err != nil {
			t.Fatal(err)
		}
		head, malformed, err := d.end()
		room := 100_000 - (len("first") + 1 + 32) - (len("large") + 32)
		if err != nil || malformed != "" || !head.TooLarge || len(head.Fields) != 1 {
			t.Fatalf("seed %d: %v, %q, %d fields, too large: %t", seed, err, malformed, len(head.Fields), head.TooLarge)
		}
		if head.Cut.Name != "large" || head.Cut.Value != value[:room] {
			t.Errorf("seed %d: %d bytes of %q are kept, want %d", seed, len(head.Cut.Value), head.Cut.Name, room)
		}
		if head, _, err := d.block(trailerBlock, []byte{0x80 | 62}); err != nil || len(head.Fields) != 1 || head.Fields[0].Name != "last" {
			t.Errorf("seed %d: the table has %v, %v", seed, head, err)
		}
	}
}

// TestLongValueMemory: a long value takes little more memory than it has, also in
// the Huffman code, and a peer pays for what we hold: of a string that is only
// announced, nothing.
func TestLongValueMemory(t *testing.T) {
	const size = 4 << 20
	value := strings.Repeat("some text ", size/10)
	for _, huffman := range []bool{false, true} {
		block := appendHpackString([]byte("\x00\x01x"), value)
		if huffman {
			code := hpack.AppendHuffmanString(nil, value)
			block = appendHpackString([]byte("\x00\x01x"), code)
			block[3] |= 0x80
		}
		allocated := func(share int) int {
			d := newHeaderDecoder(2 * size)
			d.begin(trailerBlock)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for p := block[:len(block)/share]; len(p) > 0; p = p[min(len(p), readBuffer):] {
				if err := d.write(p[:min(len(p), readBuffer)]); err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			return int(after.TotalAlloc - before.TotalAlloc)
		}
		if n := allocated(1); n < size || n > size*3/2 {
			t.Errorf("Huffman: %t: a value of %d bytes takes %d", huffman, size, n)
		}
		if n := allocated(1000); n > 300_000 {
			t.Errorf("Huffman: %t: a thousandth of a value of %d bytes takes %d", huffman, size, n)
		}
	}
}

// TestLongValueFaults: what is wrong with a long value ends the connection.
func TestLongValueFaults(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	coded := func(code string) string {
		b := appendHpackString([]byte("\x00\x01x"), code)
		b[3] |= 0x80
		return string(b)
	}
	for _, c := range []struct {
		name, block string
		code        ErrCode
	}{
		{"EOS", coded(long + "\xff\xff\xff\xff" + long), ErrCodeCompression},
		{"padding of eight bits", coded(string(hpack.AppendHuffmanString(nil, strings.Repeat("0", 160_000))) + "\xff"), ErrCodeCompression},
		{"padding of zeros", coded(string(hpack.AppendHuffmanString(nil, strings.Repeat("0", 160_000))) + "\xfe"), ErrCodeCompression},
		{"the block ends inside it", string(appendHpackString([]byte("\x00\x01x"), long)[:50_000]), ErrCodeCompression},
		{"the block ends inside a field", "\x00\x01x\x03yy", ErrCodeCompression},
		{"a reference past the table", "\x00\x01x\x01y\xff\xff\xff\x7f", ErrCodeCompression},
		{"a reference to what the table has no room for", "\x40\x01x" + string(appendHpackString(nil, long)) + "\xbe", ErrCodeCompression},
		{"more than a block may have", "\x00\x01x\x7f\x81\xff\xff\x07", ErrCodeEnhanceYourCalm},
		{"a name of more than a block may have", "\x00\x7f\x81\xff\xff\xff\x03", ErrCodeEnhanceYourCalm},
	} {
		for seed := range uint64(5) {
			d := newHeaderDecoder(1 << 20)
			d.begin(trailerBlock)
			err := pieces(rand.New(rand.NewPCG(seed, 3)), []byte(c.block), d.write)
			if err == nil {
				_, _, err = d.end()
			}
			var f *connFault
			if !errors.As(err, &f) || f.code != c.code {
				t.Errorf("%s: got %v, want %v", c.name, err, c.code)
			}
		}
	}
	// A long name is taken, by hpack.
	d := newHeaderDecoder(1 << 20)
	d.begin(trailerBlock)
	block := appendLiteral(nil, long, long)
	if err := pieces(rand.New(rand.NewPCG(1, 3)), block, d.write); err != nil {
		t.Fatal(err)
	}
	if head, _, err := d.end(); err != nil || len(head.Fields) != 1 || head.Fields[0].Name != long || head.Fields[0].Value != long {
		t.Errorf("a long name: %v", err)
	}
}

// FuzzHuffman: strings decode to what hpack makes of them, errors included, in
// pieces of any size.
func FuzzHuffman(f *testing.F) {
	f.Add([]byte{}, 1)
	f.Add([]byte("\xff\xff\xff\xff"), 2)
	for c := range 256 {
		f.Add(hpack.AppendHuffmanString(nil, string([]byte{byte(c)})), 3)
	}
	f.Add(hpack.AppendHuffmanString(nil, "www.example.com: ünïcödé\x00"), 1)
	f.Fuzz(func(t *testing.T, p []byte, n int) {
		want, werr := hpack.HuffmanDecodeToString(p)
		h := newHuffman()
		var got []byte
		ok := true
		for rest := p; ok && len(rest) > 0; {
			k := max(1, min(n, len(rest)))
			got, ok = h.decode(got, rest[:k])
			rest = rest[k:]
		}
		ok = ok && h.ended()
		if ok != (werr == nil) || ok && string(got) != want {
			t.Fatalf("%x: got %q, %t, want %q, %v", p, got, ok, want, werr)
		}
	})
}
