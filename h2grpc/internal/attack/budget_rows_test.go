//go:build linux

package attack_test

import (
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// downloads opens n streams of responses, of which each may send window bytes.
func downloads(n int, window uint32) func(*attack) {
	return func(a *attack) {
		p := a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
		p.write(windowUpdate(nil, 0, 1<<31-1-65535))
		p.flood(n, func(b []byte, i int) []byte {
			return headers(b, stream(i), endHeaders|endStream, request(downloadMethod))
		})
	}
}

// deafCalls calls a method n times, with all the window, and reads nothing.
func deafCalls(n int, call func(b []byte, id uint32) []byte) func(*attack) {
	return func(a *attack) {
		p := a.dialDeaf()
		b := prefaces(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		p.write(windowUpdate(b, 0, 1<<31-1-65535))
		p.flood(n, func(b []byte, i int) []byte { return call(b, stream(i)) })
	}
}

func download(b []byte, id uint32) []byte {
	return headers(b, id, endHeaders|endStream, request(downloadMethod))
}

// budgetRows use up the budgets of messages, with the default limits.
var budgetRows = []row{
	{name: "1000 streams of 1 MiB, no window for them", want: none, quick: true, limits: options{Reply: 1 << 20}, attack: downloads(1000, 0)},
	{name: "1000 streams of 16 KiB, no window for them", want: none, limits: options{Reply: 16 << 10}, attack: downloads(1000, 0)},
	{name: "1000 streams of 1 MiB, a window of one byte each", want: none, limits: options{Reply: 1 << 20}, attack: downloads(1000, 1)},
	{name: "1000 streams of 16 KiB, a window of one byte each", want: none, limits: options{Reply: 16 << 10}, attack: downloads(1000, 1)},
	// Each is encoded once to learn its size.
	{name: "1000 streams of 1 MiB whose messages do not know their size, a window of one byte each", want: none, grows: 40 << 20, limits: options{Reply: 1 << 20, Unsized: true}, attack: downloads(1000, 1)},
	{name: "1000 streams of 1 MiB, a window that grows by a byte", want: none, grows: 16 << 20, limits: options{Reply: 1 << 20}, attack: func(a *attack) {
		downloads(1000, 1)(a)
		a.peers[0].flood(4000, func(b []byte, i int) []byte { return windowUpdate(b, stream(i%1000), 1) })
	}},
	{name: "1000 streams of 1 MiB, all the window, unread", want: none, limits: options{Reply: 1 << 20}, attack: deafCalls(1000, download)},
	{name: "1000 streams of 16 KiB, all the window, unread", want: none, limits: options{Reply: 16 << 10}, attack: deafCalls(1000, download)},
	{name: "1000 answers of 1 MiB, no window for them", want: none, limits: options{Reply: 1 << 20}, attack: func(a *attack) {
		p := a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		p.flood(1000, func(b []byte, i int) []byte { return call(b, stream(i), request(bigMethod), "x") })
	}},
	{name: "1000 answers of 1 MiB, all the window, unread", want: none, limits: options{Reply: 1 << 20}, attack: deafCalls(1000, func(b []byte, id uint32) []byte {
		return call(b, id, request(bigMethod), "x")
	})},
	{name: "1000 messages of 256 MiB are announced, and the windows come", want: none, attack: func(a *attack) {
		p := a.hello()
		p.flood(1000, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(echoMethod)) })
		feed(p, 1000, stream, "\x00"+u32(256<<20)+strings.Repeat("x", 1<<20))
	}},
	// The oldest arrives, in a buffer that grows.
	{name: "1000 messages of 64 MiB that lack one byte", want: none, grows: 2 * 64 << 20, attack: func(a *attack) {
		p := a.hello()
		p.flood(1000, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(echoMethod)) })
		feed(p, 1000, stream, message(strings.Repeat("x", 64<<20))[:64<<20])
	}},
	// What one is decompressed into, and the buffers that it has outgrown.
	{name: "20 messages of 64 MiB, compressed to 64 KiB", want: "grpc-status 0", grows: 3 * 64 << 20, bear: 4 * defaultBear, limits: options{Gzip: true}, attack: compressed(20, uploadMethod, 64<<20)},
	{name: "16 connections with a message of 16 MiB each, all of which but one byte comes, and memory for 32 MiB", want: none, grows: (32 + 16*4) << 20,
		limits: options{Memory: 32 << 20}, attack: func(a *attack) {
			text := message(strings.Repeat("x", 16<<20))[:16<<20]
			for range 16 {
				p := a.hello()
				p.write(headers(nil, 1, endHeaders, request(echoMethod)))
				feed(p, 1, stream, text)
			}
		}},
	{name: "16 connections with a message of 16 MiB each for a handler that waits for window, and memory for 32 MiB", want: none, grows: (32 + 16*4) << 20,
		limits: options{Memory: 32 << 20}, attack: func(a *attack) {
			text := message("x") + message(strings.Repeat("x", 16<<20))
			for range 16 {
				p := a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
				p.write(headers(nil, 1, endHeaders, request(echoMethod)))
				feed(p, 1, stream, text)
			}
		}},
	{name: "16 connections with streams of 1 MiB, a window of one byte each, and memory for 16 MiB", want: none, grows: (16 + 16*4) << 20,
		limits: options{Reply: 1 << 20, Memory: 16 << 20}, attack: func(a *attack) {
			for range 16 {
				downloads(60, 1)(a)
			}
		}},
}

// uploads is a client with n calls that send messages of size bytes for as long as
// the attack takes.
func uploads(n, size int) options {
	return options{Calls: uploadMethod, Workers: n, Timeout: 10 * time.Second, Reply: size}
}

// takeNothing is a server that grants a stream no more window than its SETTINGS did,
// but the connection all window that is possible.
func takeNothing(window uint32) func(*attack) {
	return func(a *attack) {
		a.serve(func(p *peer) { p.write(windowUpdate(nil, 0, 1<<31-1-65535)) }, http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
	}
}

var clientBudgetRows = []row{
	{name: "100 uploads of 1 MiB, no window for them", want: none, quick: true, limits: uploads(100, 1<<20), attack: takeNothing(0)},
	{name: "100 uploads of 1 MiB, a window of one byte each", want: none, limits: uploads(100, 1<<20), attack: takeNothing(1)},
	{name: "100 uploads of 1 MiB, all the window, unread", want: none, limits: uploads(100, 1<<20), attack: func(a *attack) {
		a.serveDeaf(func(p *peer) {
			p.write(windowUpdate(nil, 0, 1<<31-1-65535))
			until(holdTime, func() bool { return false })
		}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	}},
	{name: "100 messages of 2 GiB are announced, and the windows come", want: none, limits: options{Calls: parkMethod, Workers: 100, Timeout: 10 * time.Second},
		attack: gather(100, func(p *peer, ids []uint32) {
			feed(p, len(ids), func(i int) uint32 { return ids[i] }, "\x00"+u32(1<<31-3<<20)+strings.Repeat("x", 1<<20))
		})},
	{name: "100 messages of 64 MiB that lack one byte", want: none, grows: 2 * 64 << 20, limits: options{Calls: parkMethod, Workers: 100, Timeout: 10 * time.Second},
		attack: gather(100, func(p *peer, ids []uint32) {
			feed(p, len(ids), func(i int) uint32 { return ids[i] }, message(strings.Repeat("x", 64<<20))[:64<<20])
		})},
	{name: "8 messages of 16 MiB that nobody reads, and memory for 32 MiB", want: none, grows: (32 + 2*16) << 20, limits: options{Calls: parkMethod, Workers: 8, Timeout: 10 * time.Second, Memory: 32 << 20},
		attack: gather(8, func(p *peer, ids []uint32) {
			feed(p, len(ids), func(i int) uint32 { return ids[i] }, message(strings.Repeat("x", 16<<20)))
		})},
}
