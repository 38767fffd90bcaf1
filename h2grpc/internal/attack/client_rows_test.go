//go:build linux

package attack_test

import (
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// callEcho is a client with a few workers that make unary calls, and openStreams
// one whose calls are streams.
var (
	// As many calls as the largest windows are granted for: the client's SETTINGS, and
	// the attacker's answers to them, do not come in between.
	callEcho = options{Calls: echoMethod, Workers: 3, Timeout: 2 * time.Second}
	// callLimited uses up a limit of headers, as rows for messages use up theirs.
	callLimited = options{Calls: echoMethod, Workers: 3, Timeout: 2 * time.Second, MaxHeaderList: 3 << 20}
	openStreams = options{Calls: downloadMethod, Workers: 4, Timeout: 2 * time.Second}
)

// clientRows are all attacks on a client.
var clientRows = slices.Concat([]row{
	{name: "nobody attacks", want: "calls OK", quick: true, limits: callEcho, attack: func(a *attack) {
		a.serve(func(p *peer) { p.answerAll(func(id uint32) []byte { return reply(nil, id, "x") }) })
	}},
}, clientFloodRows, clientHeaderRows, clientMemoryRows, clientBudgetRows, clientProtocolRows, clientSilentRows)

// reply appends a whole answer.
func reply(b []byte, id uint32, payload string) []byte {
	b = headers(b, id, endHeaders, response())
	b = data(b, id, 0, message(payload))
	return headers(b, id, endHeaders|endStream, trailer())
}

// answerAll answers calls until the connection ends.
func (p *peer) answerAll(f func(id uint32) []byte) {
	for {
		id, ok := p.nextCall()
		if !ok || !p.write(f(id)) {
			return
		}
	}
}

// nextCall waits for a call.
func (p *peer) nextCall() (id uint32, ok bool) {
	select {
	case id = <-p.calls:
		return id, true
	case <-p.read:
		return 0, false
	}
}

// beside answers one call with its beginning, and then floods.
func beside(first string, add func(b []byte, id uint32) []byte) func(*attack) {
	return func(a *attack) {
		a.serve(func(p *peer) {
			id, ok := p.nextCall()
			if !ok {
				return
			}
			if first != "" {
				p.write(headers(nil, id, endHeaders, first))
			}
			p.flood(many, func(b []byte, _ int) []byte { return add(b, id) })
		})
	}
}

// floodBack is beside without a stream.
func floodBack(add func(b []byte, i int) []byte) func(*attack) {
	return func(a *attack) {
		a.serve(func(p *peer) { p.flood(many, add) })
	}
}

var clientFloodRows = []row{
	{name: "SETTINGS flood", want: borne, quick: true, limits: callEcho, attack: floodBack(func(b []byte, _ int) []byte { return settings(b) })},
	{name: "SETTINGS of 2000 settings", want: calm, limits: callEcho, attack: floodBack(func(b []byte, _ int) []byte {
		return append(b, longSettings...)
	})},
	{name: "compression table resized by every SETTINGS", want: borne, limits: callEcho, attack: floodBack(func(b []byte, i int) []byte {
		return settings(b, http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(i%2) * 4096})
	})},
	{name: "windows changed by every SETTINGS, answers unread", want: borne, limits: callEcho, attack: func(a *attack) {
		a.serveDeaf(func(p *peer) {
			p.flood(many, func(b []byte, i int) []byte {
				return settings(b, http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)})
			})
		})
	}},
	{name: "PING flood", want: borne, quick: true, limits: callEcho, attack: floodBack(func(b []byte, _ int) []byte { return ping(b, 0) })},
	{name: "PING flood, answers unread", want: borne, limits: callEcho, attack: func(a *attack) {
		a.serveDeaf(func(p *peer) { p.flood(many, func(b []byte, _ int) []byte { return ping(b, 0) }) })
	}},
	{name: "acknowledgements of PINGs that were not sent", want: borne, limits: callEcho, attack: floodBack(func(b []byte, _ int) []byte { return ping(b, ack) })},
	{name: "PRIORITY flood", want: borne, limits: callEcho, attack: floodBack(func(b []byte, _ int) []byte {
		return frame(b, http2.FramePriority, 0, 7, "\x00\x00\x00\x00\x10")
	})},
	{name: "WINDOW_UPDATE flood on the connection", want: borne, limits: callEcho, attack: floodBack(func(b []byte, _ int) []byte { return windowUpdate(b, 0, 1) })},
	{name: "WINDOW_UPDATE flood on a stream", want: borne, limits: callEcho, attack: beside("", func(b []byte, id uint32) []byte { return windowUpdate(b, id, 1) })},
	{name: "empty DATA flood", want: borne, limits: openStreams, attack: beside(response(), func(b []byte, id uint32) []byte { return data(b, id, 0, "") })},
	{name: "DATA flood of padding alone", want: borne, limits: openStreams, attack: beside(response(), func(b []byte, id uint32) []byte {
		return frame(b, http2.FrameData, padded, id, "\x01\x00")
	})},
	{name: "unknown frames flood", want: borne, limits: callEcho, attack: floodBack(func(b []byte, _ int) []byte { return frame(b, 0xbe, 0, 0, "x") })},
	{name: "flood of the frame types 0x0a to 0x0f", want: borne, limits: callEcho, attack: floodBack(func(b []byte, i int) []byte {
		return frame(b, http2.FrameType(0x0a+i%6), 0, 0, "xxxx")
	})},
	{name: "RST_STREAM flood for a stream that is closed", want: borne, limits: callEcho, attack: beside("", func(b []byte, id uint32) []byte {
		return reset(b, id, http2.ErrCodeCancel)
	})},
	{name: "HEADERS flood for a stream that is closed", want: closedCode, limits: callEcho, attack: func(a *attack) {
		a.serve(func(p *peer) {
			id, ok := p.nextCall()
			if !ok {
				return
			}
			p.write(reply(nil, id, "x"))
			p.flood(many, func(b []byte, _ int) []byte { return headers(b, id, endHeaders, "") })
		})
	}},
	{name: "GOAWAY flood", want: "calls DeadlineExceeded", limits: callEcho, attack: floodBack(func(b []byte, _ int) []byte { return goAway(b, 1<<31-1, http2.ErrCodeNo) })},
	{name: "1xx responses without end", want: borne, limits: callEcho, attack: beside("", func(b []byte, id uint32) []byte {
		return headers(b, id, endHeaders, literal(":status", "103"))
	})},
	{name: "every call is refused", want: "calls Unavailable", limits: callEcho, attack: func(a *attack) {
		a.serve(func(p *peer) {
			p.answerAll(func(id uint32) []byte { return reset(nil, id, http2.ErrCodeRefusedStream) })
		})
	}},
	{name: "every connection goes away at once", want: "calls Unavailable", limits: callEcho, attack: func(a *attack) {
		a.serve(func(p *peer) { p.write(goAway(nil, 0, http2.ErrCodeNo)) })
	}},
}

var longSettings = settings(nil, slices.Repeat([]http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1}, {ID: http2.SettingInitialWindowSize, Val: 2}}, 1000)...)

// respond answers every call with the same frames.
func respond(f func(id uint32) []byte) func(*attack) {
	return func(a *attack) { a.serve(func(p *peer) { p.answerAll(f) }) }
}

// failed is the status ABORTED.
var failed = literal("grpc-status", "10")

var clientHeaderRows = []row{
	{name: "CONTINUATION flood, 16 KiB each", grows: 12 << 20, want: calm, limits: callEcho, attack: unended(literal("x", strings.Repeat("y", 16<<10-10)))},
	{name: "CONTINUATION flood, one byte each", want: calm, limits: callEcho, attack: unended("\x88")},
	{name: "CONTINUATION flood, empty", want: calm, quick: true, limits: callEcho, attack: unended("")},
	{name: "15 000 empty fields", want: "calls ResourceExhausted", quick: true, limits: callEcho, attack: respond(func(id uint32) []byte {
		return blockFrames(nil, id, endStream, response()+strings.Repeat("\x10\x01c\x00", 15_000))
	})},
	{name: "15 000 empty fields in the trailers", want: "calls ResourceExhausted", limits: callEcho, attack: respond(func(id uint32) []byte {
		b := data(headers(nil, id, endHeaders, response()), id, 0, message("x"))
		return blockFrames(b, id, endStream, trailer()+strings.Repeat("\x10\x01c\x00", 15_000))
	})},
	{name: "HPACK bomb: 4 KiB, referred to 15 000 times", want: "calls ResourceExhausted", limits: callEcho, attack: func(a *attack) {
		a.serve(func(p *peer) {
			first := indexed("x", strings.Repeat("y", 4000))
			p.answerAll(func(id uint32) []byte {
				b := blockFrames(nil, id, endStream, response()+first+strings.Repeat("\xbe", 15_000))
				first = ""
				return b
			})
		})
	}},
	{name: "header fields of 4 MiB, past the limit of 3 MiB", grows: 4 * 4 << 20, want: "calls ResourceExhausted", limits: callLimited, attack: respond(func(id uint32) []byte {
		return blockFrames(nil, id, endStream, response()+literal("x", strings.Repeat("y", 4<<20)))
	})},
	{name: "statuses of the limit of 3 MiB", grows: 2 * 3 << 20, want: "calls Aborted", limits: callLimited, attack: respond(func(id uint32) []byte {
		return blockFrames(nil, id, endStream, response()+failed+literal("grpc-message", strings.Repeat("y", 3<<20-1000)))
	})},
	{name: "statuses past the limit of 3 MiB, of 2.5 MiB in Huffman code", grows: 4 * 5 << 20, want: "calls Aborted", limits: callLimited, attack: respond(func(id uint32) []byte {
		return blockFrames(nil, id, endStream, response()+failed+huffmanCoded("grpc-message", strings.Repeat("\x00", 5<<19/5*5)))
	})},
	{name: "statuses of 2 MiB", grows: 2 * 2 << 20, want: "calls Aborted", limits: callEcho, attack: respond(func(id uint32) []byte {
		return blockFrames(nil, id, endStream, response()+failed+literal("grpc-message", strings.Repeat("y", 2<<20)))
	})},
	{name: "headers of 2 MiB for each of 100 streams that are not read", grows: 2 * 8 << 20, want: none, limits: options{Calls: parkMethod, Workers: 100, Timeout: 10 * time.Second}, attack: respond(func(id uint32) []byte {
		return blockFrames(nil, id, 0, response()+literal("x", strings.Repeat("y", 2<<20)))
	})},
	{name: "a reference past the compression table", want: compress, limits: callEcho, attack: respond(func(id uint32) []byte {
		return headers(nil, id, endHeaders|endStream, "\xff\xff\xff\x7f")
	})},
	{name: "64 KiB of headers and of trailers on each of 16 calls", want: none, limits: options{Calls: parkMethod, Workers: 16, Timeout: 10 * time.Second}, attack: respond(func(id uint32) []byte {
		return blockFrames(nil, id, 0, response()+literal("x", strings.Repeat("y", 60_000)))
	})},
}

// unended answers a call with a header block that does not end.
func unended(part string) func(*attack) {
	return func(a *attack) {
		a.serve(func(p *peer) {
			id, ok := p.nextCall()
			if !ok {
				return
			}
			p.write(headers(nil, id, 0, response()))
			p.flood(many, func(b []byte, _ int) []byte { return frame(b, http2.FrameContinuation, 0, id, part) })
		})
	}
}
