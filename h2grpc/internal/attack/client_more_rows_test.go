//go:build linux

package attack_test

import (
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// parked is a client with n streams that it does not read.
func parked(n int) options {
	return options{Calls: parkMethod, Workers: n, Timeout: 10 * time.Second, MaxMessage: 1 << 20}
}

// gather waits for n calls and passes them to f.
func gather(n int, f func(p *peer, ids []uint32)) func(*attack) {
	return func(a *attack) {
		a.serve(func(p *peer) {
			var ids []uint32
			for range n {
				id, ok := p.nextCall()
				if !ok {
					return
				}
				ids = append(ids, id)
				p.write(headers(nil, id, endHeaders, response()))
			}
			f(p, ids)
			a.done()
		})
		a.wait()
	}
}

// compressedCalls is a client with n calls that accepts gzip and messages of limit
// bytes.
func compressedCalls(n, limit int) options {
	return options{Calls: downloadMethod, Workers: n, Timeout: 5 * time.Second, Gzip: true, MaxMessage: limit}
}

// compressedReplies answers n calls at a time with a message of size bytes each,
// compressed.
func compressedReplies(n, size int) func(*attack) {
	return func(a *attack) {
		text := compressedMessage(bomb(size))
		a.serve(func(p *peer) {
			for {
				var ids []uint32
				for range n {
					id, ok := p.nextCall()
					if !ok {
						return
					}
					ids = append(ids, id)
					p.write(headers(nil, id, endHeaders, response()+literal("grpc-encoding", "gzip")))
				}
				feed(p, n, func(i int) uint32 { return ids[i] }, text)
				for _, id := range ids {
					p.write(headers(nil, id, endHeaders|endStream, trailer()))
				}
			}
		})
	}
}

var clientMemoryRows = []row{
	{name: "a message of 4 GiB is announced", want: "calls ResourceExhausted", quick: true, limits: callEcho, attack: respond(func(id uint32) []byte {
		return data(headers(nil, id, endHeaders, response()), id, 0, "\x00\xff\xff\xff\xff")
	})},
	{name: "100 messages of 4 MiB are announced and do not come", want: none, limits: options{Calls: parkMethod, Workers: 100, Timeout: 10 * time.Second},
		attack: gather(100, func(p *peer, ids []uint32) {
			for _, id := range ids {
				p.write(data(nil, id, 0, "\x00"+u32(4<<20)))
			}
		})},
	{name: "100 messages that lack one byte of the limit of 1 MiB", want: none, limits: parked(100),
		attack: gather(100, func(p *peer, ids []uint32) {
			payload := message(strings.Repeat("x", 1<<20))
			feed(p, len(ids), func(i int) uint32 { return ids[i] }, payload[:len(payload)-1])
		})},
	{name: "messages for 100 streams that are not read", want: none, limits: parked(100),
		attack: gather(100, func(p *peer, ids []uint32) {
			feed(p, len(ids), func(i int) uint32 { return ids[i] }, strings.Repeat(message(strings.Repeat("x", 1000)), 2<<10))
		})},
	{name: "empty messages for 100 streams that are not read", want: none, limits: parked(100),
		attack: gather(100, func(p *peer, ids []uint32) {
			feed(p, len(ids), func(i int) uint32 { return ids[i] }, strings.Repeat(message(""), 100_000))
		})},
	{name: "gzip bombs of 256 MiB", want: "calls ResourceExhausted", limits: compressedCalls(4, 0), attack: compressedReplies(4, 256<<20)},
	{name: "gzip bombs of 16 MiB for 100 calls at once", want: "calls ResourceExhausted", limits: compressedCalls(100, 4<<20), attack: compressedReplies(100, 16<<20)},
	{name: "100 messages of the limit of 4 MiB, compressed to 4 KiB", want: "calls OK", limits: compressedCalls(100, 4<<20), attack: compressedReplies(100, 4<<20)},
	{name: "an error page without end", want: "calls Unimplemented", limits: options{Calls: downloadMethod, Workers: 4, Timeout: 5 * time.Second}, attack: func(a *attack) {
		a.serve(func(p *peer) {
			id, ok := p.nextCall()
			if !ok {
				return
			}
			p.write(headers(nil, id, endHeaders, literal(":status", "404")+literal("content-type", "text/html")))
			feed(p, 1, func(int) uint32 { return id }, strings.Repeat("x", 64<<20))
			p.write(data(nil, id, endStream, ""))
		})
	}},
	{name: "uploads that get no window", want: "RST CANCEL", bear: 4 * time.Second, limits: options{Calls: uploadMethod, Workers: 100, Timeout: time.Second, Reply: 16 << 10}, attack: func(a *attack) {
		a.serve(func(*peer) {}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	}},
	{name: "uploads with all the window, unread", want: "RST CANCEL", limits: options{Calls: uploadMethod, Workers: 50, Timeout: time.Second, Reply: 16 << 10}, attack: func(a *attack) {
		a.serveDeaf(func(p *peer) { p.write(windowUpdate(nil, 0, 1<<31-1-65535)) }, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		until(2*time.Second, func() bool { return false })
	}},
	{name: "no streams are allowed", want: "calls DeadlineExceeded", limits: options{Calls: echoMethod, Workers: 100, Timeout: 500 * time.Millisecond}, attack: func(a *attack) {
		a.serve(func(*peer) {}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
	}},
}

// at begins an answer and then sends frames.
func at(first string, frames func(id uint32) []byte) func(*attack) {
	return respond(func(id uint32) []byte {
		var b []byte
		if first != "" {
			b = headers(b, id, endHeaders, first)
		}
		return append(b, frames(id)...)
	})
}

// uncalled sends frames on a new connection.
func uncalled(b []byte) func(*attack) {
	return func(a *attack) { a.serve(func(p *peer) { p.write(b) }) }
}

var clientProtocolRows = []row{
	{name: "HTTP/1.1 instead of SETTINGS", want: "GOAWAY HTTP_1_1_REQUIRED", limits: callEcho, attack: func(a *attack) {
		a.serveBare(func(p *peer) {
			if p.preface() == nil {
				p.write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
				p.listen()
			}
		})
	}},
	{name: "MAX_FRAME_SIZE of zero", want: protocol, limits: callEcho, attack: uncalled(settings(nil, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 0}))},
	{name: "ENABLE_PUSH of one", want: protocol, limits: callEcho, attack: uncalled(settings(nil, http2.Setting{ID: http2.SettingEnablePush, Val: 1}))},
	{name: "INITIAL_WINDOW_SIZE of 2^31", want: flow, limits: callEcho, attack: uncalled(settings(nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}))},
	{name: "the same setting twice in a frame", want: "calls OK", limits: callEcho, attack: func(a *attack) {
		a.serve(func(p *peer) {
			p.write(settings(nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100}))
			p.answerAll(func(id uint32) []byte { return reply(nil, id, "x") })
		})
	}},
	{name: "a frame of 16 MiB", want: frameSize, limits: callEcho, attack: uncalled([]byte("\xff\xff\xff\x00\x00\x00\x00\x00\x01"))},
	{name: "PUSH_PROMISE", want: protocol, quick: true, limits: callEcho, attack: at("", func(id uint32) []byte {
		return frame(nil, http2.FramePushPromise, endHeaders, id, u32(2)+request(echoMethod))
	})},
	{name: "HEADERS for a stream with an even id", want: protocol, limits: callEcho, attack: uncalled(headers(nil, 2, endHeaders, response()))},
	{name: "HEADERS for a stream that was not opened", want: protocol, limits: callEcho, attack: uncalled(headers(nil, 101, endHeaders, response()))},
	{name: "DATA for a stream that was not opened", want: protocol, limits: callEcho, attack: uncalled(data(nil, 101, 0, "x"))},
	{name: "RST_STREAM for a stream that was not opened", want: protocol, limits: callEcho, attack: uncalled(reset(nil, 101, 0))},
	{name: "WINDOW_UPDATE for a stream that was not opened", want: protocol, limits: callEcho, attack: uncalled(windowUpdate(nil, 101, 1))},
	{name: "WINDOW_UPDATE of zero on the connection", want: protocol, limits: callEcho, attack: uncalled(windowUpdate(nil, 0, 0))},
	{name: "the connection's window past 2^31-1", want: flow, limits: callEcho, attack: uncalled(windowUpdate(nil, 0, 1<<31-1))},
	{name: "a stream's window past 2^31-1", want: "RST FLOW_CONTROL_ERROR", limits: callEcho, attack: at("", func(id uint32) []byte {
		return windowUpdate(nil, id, 1<<31-1)
	})},
	{name: "DATA past a stream's window", want: "RST FLOW_CONTROL_ERROR", limits: parked(1), attack: gather(1, func(p *peer, ids []uint32) {
		p.write(data(nil, ids[0], 0, strings.Repeat(message(strings.Repeat("x", 1019)), 1400)))
	})},
	{name: "DATA before HEADERS", want: "RST PROTOCOL_ERROR", limits: callEcho, attack: at("", func(id uint32) []byte { return data(nil, id, 0, "x") })},
	{name: "content-length that is too small", want: "RST PROTOCOL_ERROR", limits: callEcho, attack: at(response()+literal("content-length", "3"), func(id uint32) []byte {
		return data(nil, id, 0, message("x"))
	})},
	{name: "a second HEADERS without END_STREAM", want: "RST PROTOCOL_ERROR", limits: callEcho, attack: at(response(), func(id uint32) []byte {
		return headers(nil, id, endHeaders, trailer())
	})},
	{name: "a stream that depends on itself", want: "RST PROTOCOL_ERROR", limits: callEcho, attack: at("", func(id uint32) []byte {
		return frame(nil, http2.FramePriority, 0, id, u32(id)+"\x10")
	})},
	{name: "padding longer than the frame", want: protocol, limits: callEcho, attack: at(response(), func(id uint32) []byte {
		return frame(nil, http2.FrameData, padded, id, "\xff")
	})},
	{name: "GOAWAY that names an even stream", want: protocol, limits: callEcho, attack: uncalled(goAway(nil, 2, http2.ErrCodeNo))},
}

var clientSilentRows = []row{
	{name: "no SETTINGS", want: settle, slow: true, bear: 3 * time.Second, limits: options{Calls: echoMethod, Workers: 4, Timeout: 5 * time.Second, Handshake: time.Second}, attack: func(a *attack) {
		a.serveBare(func(p *peer) {
			if p.preface() == nil {
				p.listen()
			}
		})
	}},
	// Few calls here and below: with more the client changes its windows.
	{name: "SETTINGS that are not acknowledged", want: settle, slow: true, bear: 33 * time.Second, limits: options{Calls: parkMethod, Workers: 3, Timeout: time.Minute}, attack: func(a *attack) {
		a.serveBare(func(p *peer) {
			if p.preface() == nil && p.write(settings(nil)) {
				p.listen()
			}
		})
	}},
	// The acknowledgement would come in the middle of the block.
	{name: "a header block that does not end", want: none, limits: options{Calls: parkMethod, Workers: 2, Timeout: time.Minute}, attack: func(a *attack) {
		a.serve(func(p *peer) {
			if id, ok := p.nextCall(); ok {
				p.write(headers(nil, id, 0, response()))
			}
		})
	}},
	{name: "calls that are not answered", want: "RST CANCEL", slow: true, limits: options{Calls: echoMethod, Workers: 100, Timeout: time.Second}, attack: func(a *attack) {
		a.serve(func(*peer) {})
	}},
	{name: "a server that has ended its side", want: "GOAWAY NO_ERROR", limits: options{Calls: parkMethod, Workers: 1, Timeout: 5 * time.Second}, attack: func(a *attack) {
		a.serve(func(p *peer) {
			if _, ok := p.nextCall(); ok {
				p.closeWrite()
			}
		})
	}},
}
