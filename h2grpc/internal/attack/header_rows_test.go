//go:build linux

package attack_test

import (
	"fmt"
	"strings"

	"golang.org/x/net/http2"
)

const tooLarge = "HTTP 431"

// continued sends a header block that does not end: HEADERS, and n times CONTINUATION
// with part.
func continued(n int, part string) func(*attack) {
	return func(a *attack) {
		p := a.hello()
		p.write(headers(nil, 1, 0, request(echoMethod)))
		p.flood(n, func(b []byte, _ int) []byte { return frame(b, http2.FrameContinuation, 0, 1, part) })
	}
}

// block sends n requests whose header blocks also contain more, in as many frames as
// needed.
func block(n int, first, more string) func(*attack) {
	return func(a *attack) {
		p := a.hello()
		for i := range n {
			text := request(echoMethod) + more
			if i == 0 {
				text = request(echoMethod) + first + more
			}
			p.write(blockFrames(nil, stream(i), endStream, text))
		}
	}
}

// blockFrames appends a header block in frames of the initial maximal size.
func blockFrames(b []byte, id uint32, flags http2.Flags, text string) []byte {
	const most = 16 << 10
	typ := http2.FrameHeaders
	for len(text) > most {
		b = frame(b, typ, flags, id, text[:most])
		text = text[most:]
		typ, flags = http2.FrameContinuation, 0
	}
	return frame(b, typ, flags|endHeaders, id, text)
}

// huffmanCoded returns a field whose value claims to be in HPACK's Huffman code.
func huffmanCoded(name, code string) string {
	field := literal(name, code)
	at := 2 + len(name) // of the value's length
	return field[:at] + string([]byte{field[at] | 0x80}) + field[at+1:]
}

// headerRows are header blocks that are long, never end, or become large when
// they are decoded.
var headerRows = []row{
	{name: "CONTINUATION flood, 16 KiB each", want: calm, quick: true, attack: continued(many, literal("x", strings.Repeat("y", 16<<10-10)))},
	{name: "CONTINUATION flood, one byte each", want: calm, quick: true, attack: continued(many, "\x82")},
	{name: "CONTINUATION flood, empty", want: calm, quick: true, attack: continued(many, "")},
	{name: "CONTINUATION flood for a stream that is closed", want: calm, attack: func(a *attack) {
		p := a.hello()
		p.write(call(nil, 1, request(echoMethod), "x"))
		p.write(frame(nil, http2.FrameHeaders, 0, 1, ""))
		p.flood(many, func(b []byte, _ int) []byte { return frame(b, http2.FrameContinuation, 0, 1, "") })
	}},
	{name: "a header string that is announced with 1 GiB", want: calm, attack: func(a *attack) {
		a.hello().write(headers(nil, 1, endHeaders, "\x00\x01x\x7f\x81\xff\xff\xff\x03"))
	}},
	{name: "15 000 empty cookies", want: tooLarge, quick: true, attack: block(100, indexed("cookie", ""), strings.Repeat("\xbe", 15_000))},
	{name: "15 000 fields without an index", want: tooLarge, attack: block(100, "", strings.Repeat("\x00\x01c\x00", 15_000))},
	{name: "HPACK bomb: 4 KiB, referred to 16 000 times", want: tooLarge, quick: true,
		attack: block(100, indexed("x", strings.Repeat("y", 4000)), strings.Repeat("\xbe", 16_000))},
	{name: "header fields of 2 MiB", grows: 2 * 2 << 20, want: tooLarge, attack: block(100, "", literal("x", strings.Repeat("y", 2<<20)))},
	{name: "header blocks of 2 MiB", grows: 2 * 2 << 20, want: tooLarge, attack: block(100, "", strings.Repeat(literal("x", strings.Repeat("y", 60_000)), 35))},
	{name: "header blocks of the limit of 1 MiB", want: "grpc-status 12", attack: block(100, "", strings.Repeat(literal("x", strings.Repeat("y", 60_000)), 17))},
	{name: "1 MiB of headers on each stream, 100 times", want: "RST REFUSED_STREAM", attack: func(a *attack) {
		p := a.hello()
		p.flood(100, func(b []byte, i int) []byte {
			return blockFrames(b, stream(i), 0, request(parkMethod)+literal("x", fmt.Sprintf("%06d", i)+strings.Repeat("y", 1_000_000)))
		})
	}},
	{name: "a header string that turns out to be no Huffman code", want: compress, attack: block(1, "", huffmanCoded("x", strings.Repeat("\xff", 64<<10)))},
	{name: "compression table size changed 16 000 times in a block", want: "grpc-status 12", attack: func(a *attack) {
		a.hello().write(headers(nil, 1, endHeaders|endStream, strings.Repeat("\x20\x3f\xe1\x1f", 4000)+request(echoMethod)))
	}},
	{name: "compression table size changed in every block", want: "grpc-status 0", attack: func(a *attack) {
		p := a.hello()
		p.flood(1000, func(b []byte, i int) []byte {
			return call(b, stream(i), "\x20\x3f\xe1\x1f"+request(echoMethod), "x")
		})
	}},
	{name: "a reference past the compression table", want: compress, attack: func(a *attack) {
		a.hello().write(headers(nil, 1, endHeaders|endStream, "\xff\xff\xff\x7f"))
	}},
	{name: "64 KiB of headers on each stream, 1000 times", want: "RST REFUSED_STREAM", attack: func(a *attack) {
		p := a.hello()
		p.flood(1000, func(b []byte, i int) []byte {
			return blockFrames(b, stream(i), 0, request(parkMethod)+literal("x", fmt.Sprintf("%06d", i)+strings.Repeat("y", 60_000)))
		})
	}},
	{name: "900 header fields on each stream, 1000 times", want: "RST REFUSED_STREAM", attack: func(a *attack) {
		p := a.hello()
		p.flood(1000, func(b []byte, i int) []byte {
			return blockFrames(b, stream(i), 0, request(parkMethod)+strings.Repeat("\x00\x01x\x01y", 900))
		})
	}},
}
