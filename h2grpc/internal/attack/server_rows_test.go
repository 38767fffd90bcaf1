//go:build linux

package attack_test

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// defaultStreams is the server's own limit of streams.
const defaultStreams = 1024

// The answers.
const (
	none       = "none"                 // the peer is tolerated, and told nothing
	borne      = "the connection lives" // whatever happens to single streams
	calm       = "GOAWAY ENHANCE_YOUR_CALM"
	protocol   = "GOAWAY PROTOCOL_ERROR"
	frameSize  = "GOAWAY FRAME_SIZE_ERROR"
	flow       = "GOAWAY FLOW_CONTROL_ERROR"
	compress   = "GOAWAY COMPRESSION_ERROR"
	closedCode = "GOAWAY STREAM_CLOSED"
	settle     = "GOAWAY SETTINGS_TIMEOUT"
)

// many is how many frames a flood has: more than any budget.
const many = 200_000

// serverRows are all attacks on a server.
var serverRows = slices.Concat([]row{
	{name: "nobody attacks", want: none, quick: true, attack: func(*attack) {}},
}, churnRows, floodRows, headerRows, memoryRows, budgetRows, protocolRows, silentRows)

// hundred limits a server to a hundred streams.
var hundred = options{MaxStreams: 100}

// repeated is an attack on one connection that consists of the same thing again
// and again, for one stream after the other.
func repeated(n int, add func(b []byte, id uint32) []byte) func(*attack) {
	return func(a *attack) {
		a.hello().flood(n, func(b []byte, i int) []byte { return add(b, stream(i)) })
	}
}

// churnRows are streams that cause nothing but work.
var churnRows = []row{
	// The first is not an attack, and the measure of the others: any client may make
	// calls as fast as they are accepted.
	{name: "calls as fast as they can be sent", want: borne, limits: hundred, attack: repeated(many, func(b []byte, id uint32) []byte {
		return call(b, id, request(echoMethod), "x")
	})},
	{name: "rapid reset: calls cancelled at once", want: borne, quick: true, limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return reset(call(b, id, request(echoMethod), "x"), id, http2.ErrCodeCancel)
		})},
	{name: "rapid reset of calls that never came to their end", want: borne, limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return reset(headers(b, id, endHeaders, request(echoMethod)), id, http2.ErrCodeCancel)
		})},
	{name: "rapid reset of streams", want: borne, limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return reset(headers(b, id, endHeaders, request(parkMethod)), id, http2.ErrCodeCancel)
		})},
	{name: "rapid reset of streams, at the server's own limit", want: borne,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return reset(headers(b, id, endHeaders, request(parkMethod)), id, http2.ErrCodeCancel)
		})},
	{name: "rapid reset of handlers that do not look at their context", want: borne, quick: true, limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return reset(call(b, id, request(stubbornMethod), "x"), id, http2.ErrCodeCancel)
		})},
	{name: "handlers that do not look at their context, cancelled one a millisecond", want: "RST REFUSED_STREAM", limits: hundred,
		attack: func(a *attack) {
			p := a.hello()
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for i := range 600 {
				<-tick.C
				p.write(call(nil, stream(i), request(stubbornMethod), "x"))
				if i > 0 {
					p.write(reset(nil, stream(i-1), http2.ErrCodeCancel))
				}
			}
		}},
	{name: "rapid reset with NO_ERROR", want: borne, limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return reset(call(b, id, request(stubbornMethod), "x"), id, http2.ErrCodeNo)
		})},
	{name: "more streams than the limit", want: "RST REFUSED_STREAM", limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return headers(b, id, endHeaders, request(deafMethod))
		})},
	{name: "made to reset: WINDOW_UPDATE of zero", want: "RST PROTOCOL_ERROR", quick: true, limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return windowUpdate(call(b, id, request(stubbornMethod), "x"), id, 0)
		})},
	{name: "made to reset: WINDOW_UPDATE past 2^31-1", want: borne, limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return windowUpdate(call(b, id, request(stubbornMethod), "x"), id, 1<<31-1)
		})},
	{name: "made to reset: DATA after END_STREAM", want: borne, limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return data(call(b, id, request(stubbornMethod), "x"), id, 0, "x")
		})},
	{name: "made to reset: HEADERS after END_STREAM", want: borne, limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return headers(call(b, id, request(stubbornMethod), "x"), id, endHeaders, literal("x", "y"))
		})},
	{name: "made to reset: a stream that depends on itself", want: "RST PROTOCOL_ERROR", limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return frame(call(b, id, request(stubbornMethod), "x"), http2.FramePriority, 0, id, u32(id)+"\x10")
		})},
	{name: "made to reset: PRIORITY of the wrong size", want: "RST FRAME_SIZE_ERROR", limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return frame(call(b, id, request(stubbornMethod), "x"), http2.FramePriority, 0, id, "x")
		})},
	{name: "made to reset: content-length that disagrees", want: "RST PROTOCOL_ERROR", limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return data(headers(b, id, endHeaders, request(parkMethod)+literal("content-length", "1")), id, 0, "xxx")
		})},
	{name: "malformed requests", want: "RST PROTOCOL_ERROR", limits: hundred,
		attack: repeated(many, func(b []byte, id uint32) []byte {
			return headers(b, id, endHeaders|endStream, literal(":method", "POST"))
		})},
	{name: "calls of a method that is not there, answers unread", want: "grpc-status 12",
		attack: deaf(func(b []byte, i int) []byte {
			return headers(b, stream(i), endHeaders|endStream, request("/attack.Victim/Absent"))
		})},
	{name: "9000 calls of a method that is not there, reset", want: "grpc-status 12",
		attack: repeated(9000, func(b []byte, id uint32) []byte {
			return reset(headers(b, id, endHeaders, request("/attack.Victim/Absent")), id, http2.ErrCodeCancel)
		})},
	{name: "requests that are no gRPC, answers unread", grows: 4 << 20, want: borne,
		attack: deaf(func(b []byte, i int) []byte {
			return headers(b, stream(i), endHeaders|endStream, literal(":method", "GET")+literal(":scheme", "http")+literal(":path", "/"))
		})},
	{name: "rapid reset on four connections at once", want: borne, limits: hundred, attack: func(a *attack) {
		var floods sync.WaitGroup
		for range 4 {
			p := a.hello()
			floods.Go(func() {
				p.flood(many, func(b []byte, i int) []byte {
					return reset(call(b, stream(i), request(echoMethod), "x"), stream(i), http2.ErrCodeCancel)
				})
			})
		}
		floods.Wait()
	}},
}

// deaf is a flood by a peer that reads nothing until it is over.
func deaf(add func(b []byte, i int) []byte) func(*attack) {
	return func(a *attack) {
		p := a.dialDeaf()
		p.write(prefaces())
		p.flood(many, add)
		go p.listen()
	}
}

// flood is a flood of frames on one connection on which a stream is open.
func flood(add func(b []byte) []byte) func(*attack) {
	return func(a *attack) {
		p := a.hello()
		p.write(headers(nil, 1, endHeaders, request(parkMethod)))
		p.flood(many, func(b []byte, _ int) []byte { return add(b) })
	}
}

// floodRows are frames that cost little to send.
var floodRows = []row{
	{name: "SETTINGS flood", want: borne, quick: true, attack: flood(func(b []byte) []byte { return settings(b) })},
	{name: "SETTINGS flood, answers unread", want: borne, attack: deaf(func(b []byte, _ int) []byte { return settings(b) })},
	{name: "SETTINGS of 2000 settings, which change the windows of 1000 streams", want: calm, attack: func(a *attack) {
		long := settings(nil, slices.Repeat([]http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1}, {ID: http2.SettingInitialWindowSize, Val: 2}}, 1000)...)
		p := a.hello()
		p.flood(1000, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(echoMethod)) })
		p.flood(many, func(b []byte, _ int) []byte { return append(b, long...) })
	}},
	{name: "windows of 1000 streams changed by every SETTINGS", want: borne, attack: func(a *attack) {
		p := a.hello()
		p.flood(1000, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(echoMethod)) })
		p.flood(many, func(b []byte, i int) []byte {
			return settings(b, http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)})
		})
	}},
	{name: "compression table resized by every SETTINGS", want: borne, attack: func(a *attack) {
		a.hello().flood(many, func(b []byte, i int) []byte {
			return settings(b, http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(i%2) * 4096})
		})
	}},
	{name: "acknowledgements of SETTINGS that were not sent", want: borne, attack: flood(func(b []byte) []byte {
		return frame(b, http2.FrameSettings, ack, 0, "")
	})},
	{name: "PING flood", want: borne, quick: true, attack: flood(func(b []byte) []byte { return ping(b, 0) })},
	{name: "PING flood, answers unread", want: borne, attack: deaf(func(b []byte, _ int) []byte { return ping(b, 0) })},
	{name: "PING flood beside calls, answers unread", want: borne, attack: deaf(func(b []byte, i int) []byte {
		if i%100 == 0 {
			b = call(b, stream(i), request(echoMethod), "x")
		}
		return ping(b, 0)
	})},
	{name: "acknowledgements of PINGs that were not sent", want: borne, attack: flood(func(b []byte) []byte { return ping(b, ack) })},
	{name: "PRIORITY flood", want: borne, attack: flood(func(b []byte) []byte {
		return frame(b, http2.FramePriority, 0, 7, "\x00\x00\x00\x00\x10")
	})},
	{name: "PRIORITY flood for ever other streams", want: borne, attack: repeated(many, func(b []byte, id uint32) []byte {
		return frame(b, http2.FramePriority, 0, id, "\x00\x00\x00\x00\x10")
	})},
	{name: "WINDOW_UPDATE flood on the connection", want: borne, attack: flood(func(b []byte) []byte { return windowUpdate(b, 0, 1) })},
	{name: "WINDOW_UPDATE flood on a stream", want: borne, attack: flood(func(b []byte) []byte { return windowUpdate(b, 1, 1) })},
	{name: "empty DATA flood", want: borne, quick: true, attack: flood(func(b []byte) []byte { return data(b, 1, 0, "") })},
	{name: "DATA flood of padding alone", want: borne, attack: flood(func(b []byte) []byte {
		return frame(b, http2.FrameData, padded, 1, "\x01\x00")
	})},
	{name: "DATA flood of one byte each", want: none, attack: func(a *attack) {
		p := a.hello()
		p.write(headers(nil, 1, endHeaders, request(uploadMethod)))
		p.flood(100_000, func(b []byte, _ int) []byte { return data(b, 1, 0, "\x00") })
	}},
	{name: "unknown frames flood", want: borne, quick: true, attack: flood(func(b []byte) []byte { return frame(b, 0xbe, 0, 0, "") })},
	{name: "unknown frames of 16 KiB flood", want: borne, attack: flood(func(b []byte) []byte {
		return frame(b, 0xbe, 0xff, 1, string(make([]byte, 16<<10)))
	})},
	{name: "flood of the frame types 0x0a to 0x0f", want: borne, attack: func(a *attack) {
		a.hello().flood(many, func(b []byte, i int) []byte { return frame(b, http2.FrameType(0x0a+i%6), 0, 0, "xxxx") })
	}},
	{name: "RST_STREAM flood for a stream that is closed", want: borne, attack: flood(func(b []byte) []byte {
		return reset(b, 1, http2.ErrCodeCancel)
	})},
	{name: "GOAWAY flood", want: borne, attack: flood(func(b []byte) []byte { return goAway(b, 0, http2.ErrCodeNo) })},
}
