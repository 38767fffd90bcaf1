//go:build linux

package attack_test

import (
	"bytes"
	"compress/gzip"
	"strings"

	"golang.org/x/net/http2"
)

// bomb is size zero bytes, compressed.
func bomb(size int) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	zero := make([]byte, 64<<10)
	for range size / len(zero) {
		w.Write(zero)
	}
	w.Close()
	return b.String()
}

// compressedMessage is a message whose prefix says that it is compressed.
func compressedMessage(payload string) string {
	return "\x01" + message(payload)[1:]
}

// feed sends payload on each of n streams as the victim's windows allow, one frame
// for each stream in turn, and stops when none of them may send more.
func feed(p *peer, n int, first func(int) uint32, payload string) {
	const most = 16 << 10
	sent := make([]int, n)
	total := 0
	for {
		var b []byte
		p.pace.Lock()
		p.mu.Lock()
		room := 65535 + p.granted[0] - total
		for i := range sent {
			id := first(i)
			k := min(most, len(payload)-sent[i], p.window+p.granted[id]-sent[i], room)
			if k <= 0 {
				continue
			}
			b = data(b, id, 0, payload[sent[i]:sent[i]+k])
			sent[i] += k
			total += k
			room -= k
		}
		p.mu.Unlock()
		ok := len(b) == 0 || p.write(b)
		p.pace.Unlock()
		if !ok {
			return
		} else if len(b) > 0 {
			continue
		}
		if !until(holdTime, func() bool {
			return p.is(func() bool { return p.ended || 65535+p.granted[0]-total > 0 && anyRoom(p, sent, first, len(payload)) })
		}) {
			return
		}
		if p.is(func() bool { return p.ended }) {
			return
		}
	}
}

func anyRoom(p *peer, sent []int, first func(int) uint32, size int) bool {
	for i, n := range sent {
		if n < size && p.window+p.granted[first(i)]-n > 0 {
			return true
		}
	}
	return false
}

// compressed sends a message of size bytes, compressed, on each of n streams, and
// ends all streams when all messages are there.
func compressed(n int, method string, size int) func(*attack) {
	return func(a *attack) {
		text := bomb(size)
		p := a.hello()
		p.flood(n, func(b []byte, i int) []byte {
			return headers(b, stream(i), endHeaders, request(method)+literal("grpc-encoding", "gzip"))
		})
		feed(p, n, stream, compressedMessage(text))
		p.flood(n, func(b []byte, i int) []byte { return data(b, stream(i), endStream, "") })
		if !until(defaultBear, func() bool {
			return p.is(func() bool { return sum(p.statuses) == n })
		}) {
			p.is(func() bool {
				a.problem("the answers are %v, %v, %v", p.statuses, p.resets, p.goAways)
				return true
			})
		}
	}
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// memoryRows make the victim keep as much memory as possible.
var memoryRows = []row{
	{name: "a message of 4 GiB is announced", want: "grpc-status 8", quick: true, attack: repeated(100, func(b []byte, id uint32) []byte {
		return data(headers(b, id, endHeaders, request(echoMethod)), id, 0, "\x00\xff\xff\xff\xff")
	})},
	{name: "100 messages of 4 MiB are announced and do not come", want: none, quick: true, attack: repeated(100, func(b []byte, id uint32) []byte {
		return data(headers(b, id, endHeaders, request(echoMethod)), id, 0, "\x00"+u32(4<<20))
	})},
	{name: "100 messages that lack one byte of the limit of 4 MiB", want: none, limits: options{MaxMessage: 4 << 20}, attack: func(a *attack) {
		p := a.hello()
		p.flood(100, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(echoMethod)) })
		payload := message(strings.Repeat("x", 4<<20))
		feed(p, 100, stream, payload[:len(payload)-1])
	}},
	{name: "1000 messages of which 128 KiB come", want: none, limits: options{MaxMessage: 4 << 20}, attack: func(a *attack) {
		p := a.hello()
		p.flood(1000, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(echoMethod)) })
		feed(p, 1000, stream, message(strings.Repeat("x", 4<<20))[:128<<10])
	}},
	{name: "messages of which the windows come, on as few streams as have large ones", want: none, limits: options{MaxMessage: 4 << 20}, attack: func(a *attack) {
		p := a.hello()
		p.flood(3, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(echoMethod)) })
		feed(p, 3, stream, message(strings.Repeat("x", 4<<20))[:1280<<10])
	}},
	{name: "1000 messages of which one byte comes", want: none, attack: repeated(1000, func(b []byte, id uint32) []byte {
		return data(headers(b, id, endHeaders, request(echoMethod)), id, 0, "\x00"+u32(4<<20)+"x")
	})},
	{name: "messages for handlers that do not read", want: none, limits: options{MaxMessage: 4 << 20}, attack: func(a *attack) {
		p := a.hello()
		p.flood(1000, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(deafMethod)) })
		feed(p, 1000, stream, strings.Repeat(message(strings.Repeat("x", 1000)), 4<<10))
	}},
	{name: "empty messages for handlers that do not read", want: none, limits: options{MaxMessage: 4 << 20}, attack: func(a *attack) {
		p := a.hello()
		p.flood(100, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(deafMethod)) })
		feed(p, 100, stream, strings.Repeat(message(""), 100_000))
	}},
	{name: "gzip bombs of 256 MiB", want: "grpc-status 8", quick: true, limits: options{Gzip: true}, attack: compressed(4, echoMethod, 256<<20)},
	{name: "gzip bombs of 16 MiB on 100 streams at once", want: "grpc-status 8", limits: options{Gzip: true, MaxMessage: 4 << 20}, attack: compressed(100, echoMethod, 16<<20)},
	{name: "100 messages of the limit of 4 MiB, compressed to 4 KiB", want: "grpc-status 0", limits: options{Gzip: true, MaxMessage: 4 << 20}, attack: compressed(100, uploadMethod, 4<<20)},
	{name: "1000 messages of 512 KiB, compressed to half a KiB", want: "grpc-status 0", limits: options{Gzip: true, MaxMessage: 4 << 20}, attack: compressed(1000, uploadMethod, 512<<10)},
	{name: "500 messages of 100 KiB at once, by a peer that means well", grows: 8 << 20, want: "grpc-status 0", limits: options{MaxMessage: 1 << 20}, attack: func(a *attack) {
		p := a.hello()
		p.flood(500, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(uploadMethod)) })
		feed(p, 500, stream, message(strings.Repeat("x", 100<<10)))
		p.flood(500, func(b []byte, i int) []byte { return data(b, stream(i), endStream, "") })
		if !until(defaultBear, func() bool { return p.is(func() bool { return p.statuses["grpc-status 0"] == 500 }) }) {
			p.is(func() bool { a.problem("the answers are %v, %v, %v", p.statuses, p.resets, p.goAways); return true })
		}
	}},
	{name: "1000 parked streams", want: none, attack: repeated(1000, func(b []byte, id uint32) []byte {
		return headers(b, id, endHeaders, request(parkMethod))
	})},
	{name: "100 downloads with all the window, unread", want: none, attack: func(a *attack) {
		p := a.dialDeaf()
		b := prefaces(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		p.write(windowUpdate(b, 0, 1<<31-1-65535))
		p.flood(100, func(b []byte, i int) []byte {
			return headers(b, stream(i), endHeaders|endStream, request(downloadMethod))
		})
	}},
	{name: "100 downloads without window", want: none, attack: func(a *attack) {
		p := a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		p.flood(100, func(b []byte, i int) []byte {
			return headers(b, stream(i), endHeaders|endStream, request(downloadMethod))
		})
	}},
	{name: "a download whose window grows by one byte at a time", want: none, attack: func(a *attack) {
		p := a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		p.write(headers(nil, 1, endHeaders|endStream, request(downloadMethod)))
		p.flood(9000, func(b []byte, _ int) []byte { return windowUpdate(b, 1, 1) })
	}},
	{name: "1000 answers of 64 KiB, no window for them", want: none, limits: options{Reply: 64 << 10}, attack: func(a *attack) {
		p := a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		p.flood(1000, func(b []byte, i int) []byte { return call(b, stream(i), request(bigMethod), "x") })
	}},
	{name: "1000 statuses of 64 KiB, unread", want: none, limits: options{Reply: 64 << 10}, attack: func(a *attack) {
		p := a.dialDeaf()
		p.write(prefaces())
		p.flood(1000, func(b []byte, i int) []byte { return call(b, stream(i), request(failMethod), "x") })
	}},
	{name: "1000 statuses of 64 KiB of streams, unread", want: none, limits: options{Reply: 64 << 10}, attack: func(a *attack) {
		p := a.dialDeaf()
		p.write(prefaces())
		p.flood(1000, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(failStream)) })
	}},
	{name: "1000 answers of 64 KiB, all the window, unread", want: none, limits: options{Reply: 64 << 10}, attack: func(a *attack) {
		p := a.dialDeaf()
		b := prefaces(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		p.write(windowUpdate(b, 0, 1<<31-1-65535))
		p.flood(1000, func(b []byte, i int) []byte { return call(b, stream(i), request(bigMethod), "x") })
	}},
}
