package h2

import (
	"sync"

	"golang.org/x/net/http2/hpack"
)

// huffman decodes a string in HPACK's Huffman code (RFC 7541 §5.2 and appendix B)
// as it comes: hpack's own function wants all of it, and takes several times as
// much memory as it has.
//
// The code is a binary tree, whose leaves are bytes and the end of a string, EOS.
// A state is an inner node; one step takes four bits, which no code is shorter
// than, so a step ends one byte at most.
type huffman struct {
	table *huffmanTable
	state uint8
}

type huffmanTable struct {
	steps [256][16]huffmanStep
	// padding says of a state that a string may end in it: what follows the last
	// byte are fewer than eight bits of EOS, which are ones (RFC 7541 §5.2).
	padding [256]bool
}

type huffmanStep struct {
	next uint8
	b    byte // a byte that ends here, if ends
	ends bool
	eos  bool // EOS ends here, which no string may have
}

func newHuffman() *huffman { return &huffman{table: huffmanSteps()} }

// decode appends what p decodes to. It returns false if EOS is in it.
func (h *huffman) decode(dst, p []byte) ([]byte, bool) {
	for _, c := range p {
		for _, bits := range [2]byte{c >> 4, c & 15} {
			step := &h.table.steps[h.state][bits]
			if step.ends {
				dst = append(dst, step.b)
			} else if step.eos {
				return dst, false
			}
			h.state = step.next
		}
	}
	return dst, true
}

// ended says whether a string may end here.
func (h *huffman) ended() bool { return h.table.padding[h.state] }

// huffmanSteps makes the table out of the code that hpack writes.
var huffmanSteps = sync.OnceValue(func() *huffmanTable {
	const eos = 256
	// A child is an inner node's number, or a leaf's with its sign changed, less
	// one. The root, 0, is nobody's child.
	nodes := make([][2]int, 1, 256)
	put := func(leaf int, code func(i int) int, bits int) {
		at := 0
		for i := range bits - 1 {
			next := &nodes[at][code(i)]
			if *next == 0 {
				*next = len(nodes)
				nodes = append(nodes, [2]int{})
				next = &nodes[at][code(i)]
			}
			at = *next
		}
		nodes[at][code(bits-1)] = -leaf - 1
	}
	for leaf := range eos {
		// Eight times the same byte fill as many bytes as its code has bits.
		same := make([]byte, 8)
		for i := range same {
			same[i] = byte(leaf)
		}
		code := hpack.AppendHuffmanString(nil, string(same))
		put(leaf, func(i int) int { return int(code[i/8] >> (7 - i%8) & 1) }, len(code))
	}
	put(eos, func(int) int { return 1 }, 30)

	t := new(huffmanTable)
	for state := range nodes {
		for bits := range 16 {
			at, step := state, &t.steps[state][bits]
			for i := 3; i >= 0 && !step.eos; i-- {
				if at = nodes[at][bits>>i&1]; at < 0 {
					if leaf := -at - 1; leaf == eos {
						step.eos = true
					} else {
						step.b, step.ends = byte(leaf), true
					}
					at = 0
				}
			}
			step.next = uint8(at)
		}
	}
	for at, n := 0, 0; n < 8; n++ {
		t.padding[at] = true
		at = nodes[at][1]
	}
	return t
})
