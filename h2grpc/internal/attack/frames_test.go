//go:build linux

package attack_test

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

const (
	endStream  = http2.FlagDataEndStream
	endHeaders = http2.FlagHeadersEndHeaders
	ack        = http2.FlagSettingsAck
	padded     = http2.FlagDataPadded
)

// frame appends a frame, right or wrong, to b.
func frame(b []byte, typ http2.FrameType, flags http2.Flags, id uint32, payload string) []byte {
	n := len(payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), byte(typ), byte(flags))
	b = binary.BigEndian.AppendUint32(b, id)
	return append(b, payload...)
}

func headers(b []byte, id uint32, flags http2.Flags, block string) []byte {
	return frame(b, http2.FrameHeaders, flags, id, block)
}

// data appends payload in frames of the initial maximal size.
func data(b []byte, id uint32, flags http2.Flags, payload string) []byte {
	const most = 16 << 10
	for len(payload) > most {
		b = frame(b, http2.FrameData, flags&^endStream, id, payload[:most])
		payload = payload[most:]
	}
	return frame(b, http2.FrameData, flags, id, payload)
}

func reset(b []byte, id uint32, code http2.ErrCode) []byte {
	return frame(b, http2.FrameRSTStream, 0, id, u32(uint32(code)))
}

func windowUpdate(b []byte, id, n uint32) []byte {
	return frame(b, http2.FrameWindowUpdate, 0, id, u32(n))
}

func settings(b []byte, list ...http2.Setting) []byte {
	text := ""
	for _, s := range list {
		text += string([]byte{byte(s.ID >> 8), byte(s.ID)}) + u32(s.Val)
	}
	return frame(b, http2.FrameSettings, 0, 0, text)
}

func ping(b []byte, flags http2.Flags) []byte {
	return frame(b, http2.FramePing, flags, 0, "12345678")
}

func goAway(b []byte, last uint32, code http2.ErrCode) []byte {
	return frame(b, http2.FrameGoAway, 0, 0, u32(last)+u32(uint32(code)))
}

func u32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// message is a gRPC message with its prefix.
func message(payload string) string { return "\x00" + u32(uint32(len(payload))) + payload }

// literal returns a header field that does not change the compression table (RFC 7541
// §6.2.2), so that the same block is valid for any number of streams.
func literal(name, value string) string {
	return "\x00" + hpackString(name) + hpackString(value)
}

// indexed returns a header field that is added to the compression table (§6.2.1).
func indexed(name, value string) string {
	return "\x40" + hpackString(name) + hpackString(value)
}

func hpackString(s string) string {
	b := []byte{0x7f}
	n := len(s)
	if n < 0x7f {
		b[0] = byte(n)
		return string(b) + s
	}
	for n -= 0x7f; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return string(append(b, byte(n))) + s
}

// request is the header block of a call.
func request(method string) string {
	return literal(":method", "POST") + literal(":scheme", "http") + literal(":path", method) +
		literal(":authority", "localhost") + literal("te", "trailers") + literal("content-type", "application/grpc")
}

// response is the header block that begins an answer, and trailer the one that ends
// it.
func response() string {
	return literal(":status", "200") + literal("content-type", "application/grpc")
}

func trailer() string { return literal("grpc-status", "0") }

// call appends a whole unary call.
func call(b []byte, id uint32, block, payload string) []byte {
	return data(headers(b, id, endHeaders, block), id, endStream, message(payload))
}

// stream is the id of the nth stream of a client, from 0.
func stream(n int) uint32 { return uint32(2*n + 1) }
