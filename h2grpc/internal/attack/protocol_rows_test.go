//go:build linux

package attack_test

import (
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// once is an attack of a few frames, after the prefaces.
func once(list ...[]byte) func(*attack) {
	return func(a *attack) {
		p := a.hello()
		for _, b := range list {
			p.write(b)
		}
	}
}

// protocolRows break the rules of RFC 9113 once.
var protocolRows = []row{
	{name: "HTTP/1.1 instead of a preface", want: protocol, attack: func(a *attack) {
		a.dial().write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	}},
	{name: "MAX_FRAME_SIZE of zero", want: protocol, quick: true, attack: once(settings(nil, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 0}))},
	{name: "ENABLE_PUSH of two", want: protocol, attack: once(settings(nil, http2.Setting{ID: http2.SettingEnablePush, Val: 2}))},
	{name: "INITIAL_WINDOW_SIZE of 2^31", want: flow, attack: once(settings(nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}))},
	{name: "INITIAL_WINDOW_SIZE that overflows a stream", want: flow, attack: once(
		headers(nil, 1, endHeaders, request(parkMethod)), windowUpdate(nil, 1, 1<<31-1-65535),
		settings(nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}))},
	{name: "the same setting twice in a frame, then a call", want: "grpc-status 0", attack: once(
		settings(nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100}),
		call(nil, 1, request(echoMethod), "x"))},
	{name: "SETTINGS of 7 bytes", want: frameSize, attack: once(frame(nil, http2.FrameSettings, 0, 0, "1234567"))},
	{name: "SETTINGS for a stream", want: protocol, attack: once(frame(nil, http2.FrameSettings, 0, 1, ""))},
	{name: "PING of 7 bytes", want: frameSize, attack: once(frame(nil, http2.FramePing, 0, 0, "1234567"))},
	{name: "PING for a stream", want: protocol, attack: once(frame(nil, http2.FramePing, 0, 1, "12345678"))},
	{name: "a frame of 16 MiB", want: frameSize, attack: once([]byte("\xff\xff\xff\x00\x00\x00\x00\x00\x01"))},
	{name: "a second SETTINGS frame of 16 MiB", want: frameSize, attack: once([]byte("\xff\xff\xfc\x04\x00\x00\x00\x00\x00"))},
	{name: "DATA for a stream that was not opened", want: protocol, attack: once(data(nil, 1, 0, "x"))},
	{name: "RST_STREAM for a stream that was not opened", want: protocol, attack: once(reset(nil, 1, 0))},
	{name: "WINDOW_UPDATE for a stream that was not opened", want: protocol, attack: once(windowUpdate(nil, 1, 1))},
	{name: "CONTINUATION without HEADERS", want: protocol, attack: once(frame(nil, http2.FrameContinuation, endHeaders, 1, ""))},
	{name: "another frame inside a header block", want: protocol, attack: once(headers(nil, 1, 0, request(echoMethod)), ping(nil, 0))},
	{name: "WINDOW_UPDATE of zero on the connection", want: protocol, attack: once(windowUpdate(nil, 0, 0))},
	{name: "the connection's window past 2^31-1", want: flow, quick: true, attack: once(windowUpdate(nil, 0, 1<<31-1))},
	{name: "a stream's window past 2^31-1", want: "RST FLOW_CONTROL_ERROR", attack: once(
		headers(nil, 1, endHeaders, request(parkMethod)), windowUpdate(nil, 1, 1<<31-1))},
	{name: "DATA past the connection's window, SETTINGS not acknowledged", want: flow, attack: func(a *attack) {
		p := a.dialDeaf()
		p.write(prefaces())
		p.flood(100, func(b []byte, i int) []byte { return headers(b, stream(i), endHeaders, request(deafMethod)) })
		for i := range 100 {
			p.write(data(nil, stream(i), 0, strings.Repeat(message(strings.Repeat("x", 1019)), 100)))
		}
		go p.listen()
	}, limits: options{MaxMessage: 1 << 20}},
	{name: "DATA past a stream's window", want: "RST FLOW_CONTROL_ERROR", attack: func(a *attack) {
		p := a.hello()
		p.write(headers(nil, 1, endHeaders, request(deafMethod)))
		p.flood(90, func(b []byte, i int) []byte { return data(b, 1, 0, message(string(make([]byte, 16<<10-5)))) })
	}},
	{name: "content-length that is too small", want: "RST PROTOCOL_ERROR", attack: once(
		headers(nil, 1, endHeaders, request(echoMethod)+literal("content-length", "3")), data(nil, 1, 0, message("x")))},
	{name: "content-length that is too large", want: "RST PROTOCOL_ERROR", attack: once(
		headers(nil, 1, endHeaders, request(echoMethod)+literal("content-length", "30")), data(nil, 1, endStream, message("x")))},
	{name: "a stream that depends on itself", want: "RST PROTOCOL_ERROR", attack: once(
		headers(nil, 1, endHeaders, request(parkMethod)), frame(nil, http2.FramePriority, 0, 1, u32(1)+"\x10"))},
	{name: "PUSH_PROMISE", want: protocol, attack: once(frame(nil, http2.FramePushPromise, endHeaders, 1, u32(2)+request(echoMethod)))},
	{name: "a stream with an even id", want: protocol, attack: once(headers(nil, 2, endHeaders, request(echoMethod)))},
	{name: "HEADERS for a stream that is closed", want: closedCode, attack: once(
		call(nil, 3, request(echoMethod), "x"), headers(nil, 1, endHeaders, request(echoMethod)))},
	{name: "padding longer than the frame", want: protocol, attack: once(
		headers(nil, 1, endHeaders, request(parkMethod)), frame(nil, http2.FrameData, padded, 1, "\xff"))},
	{name: "pings at once: the third strike, where PINGs have a limit", want: calm, limits: options{MinPing: time.Minute}, attack: func(a *attack) {
		p := a.hello()
		for range 4 {
			p.write(ping(nil, 0))
		}
	}},
}

// quickHandshake shortens the time-out for prefaces, so that the table does not take
// longer because of it.
var quickHandshake = options{Handshake: time.Second, Stall: 2 * time.Second}

// silentRows do nothing, and wait.
var silentRows = []row{
	{name: "50 connections without a preface", want: settle, slow: true, bear: 3 * time.Second, limits: quickHandshake, attack: func(a *attack) {
		for range 50 {
			a.dial()
		}
	}},
	{name: "half a preface", want: settle, slow: true, bear: 3 * time.Second, limits: quickHandshake, attack: func(a *attack) {
		a.dial().write([]byte(http2.ClientPreface[:12]))
	}},
	{name: "a preface, byte by byte", want: settle, slow: true, bear: 3 * time.Second, limits: quickHandshake, attack: func(a *attack) {
		p := a.dial()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := range http2.ClientPreface {
			<-tick.C
			if !p.write([]byte{http2.ClientPreface[i]}) {
				return
			}
		}
	}},
	{name: "a preface without SETTINGS", want: settle, slow: true, bear: 3 * time.Second, limits: quickHandshake, attack: func(a *attack) {
		a.dial().write([]byte(http2.ClientPreface))
	}},
	{name: "SETTINGS that are not acknowledged", want: settle, slow: true, bear: 33 * time.Second, attack: func(a *attack) {
		a.dial().write(settings([]byte(http2.ClientPreface)))
	}},
	{name: "a header block that does not end", want: none, attack: func(a *attack) {
		a.hello().write(headers(nil, 1, 0, request(echoMethod)))
	}},
	{name: "a header block whose bytes trickle in", want: none, slow: true, attack: func(a *attack) {
		p := a.hello()
		p.write(headers(nil, 1, 0, request(echoMethod)))
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for range 40 {
			<-tick.C
			if !p.write(frame(nil, http2.FrameContinuation, 0, 1, "\x82")) {
				return
			}
		}
	}},
	{name: "a frame that does not end", want: none, slow: true, attack: func(a *attack) {
		a.hello().write(append(headers(nil, 1, endHeaders, request(parkMethod)), "\x00\x10\x00\x00\x00\x00\x00\x00\x01"...))
	}},
	{name: "answers that get no window", want: "RST CANCEL", slow: true, bear: 5 * time.Second, limits: quickHandshake, attack: func(a *attack) {
		p := a.hello(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		p.flood(100, func(b []byte, i int) []byte { return call(b, stream(i), request(echoMethod), "x") })
	}},
	{name: "a peer that has ended its side", want: "GOAWAY NO_ERROR", attack: func(a *attack) {
		p := a.hello()
		p.write(headers(nil, 1, endHeaders, request(parkMethod)))
		p.closeWrite()
	}},
}
