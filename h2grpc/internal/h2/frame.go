package h2

import (
	"encoding/binary"
	"fmt"
)

// The frame layer of RFC 9113: codecs over bytes, without I/O or state. frame_test.go
// compares them with x/net's Framer, frame by frame and verdict by verdict. The
// Framer itself is not used: its package imports net/http, which no plugin needs
// otherwise, and it allocates for every frame.

// ClientPreface is the first bytes that a client sends (RFC 9113 §3.4).
const ClientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// ALPN is the protocol's name in TLS (RFC 9113 §3.2).
const ALPN = "h2"

// frameHeaderLen is the length of a frame's header (RFC 9113 §4.1).
const frameHeaderLen = 9

// A FrameType is the type of a frame (RFC 9113 §6).
type FrameType uint8

// The frame types of RFC 9113 §6.
const (
	FrameData         FrameType = 0x0
	FrameHeaders      FrameType = 0x1
	FramePriority     FrameType = 0x2
	FrameRSTStream    FrameType = 0x3
	FrameSettings     FrameType = 0x4
	FramePushPromise  FrameType = 0x5
	FramePing         FrameType = 0x6
	FrameGoAway       FrameType = 0x7
	FrameWindowUpdate FrameType = 0x8
	FrameContinuation FrameType = 0x9
)

var frameNames = [...]string{"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"}

// String returns the type's name, or its number.
func (t FrameType) String() string {
	if int(t) < len(frameNames) {
		return frameNames[t]
	}
	return fmt.Sprintf("frame type 0x%x", uint8(t))
}

// Flags are a frame's flags, whose meaning depends on its type (RFC 9113 §6).
type Flags uint8

// The flags of RFC 9113 §6.
const (
	FlagEndStream  Flags = 0x01 // DATA, HEADERS
	FlagAck        Flags = 0x01 // SETTINGS, PING
	FlagEndHeaders Flags = 0x04 // HEADERS, CONTINUATION
	FlagPadded     Flags = 0x08 // DATA, HEADERS
	FlagPriority   Flags = 0x20 // HEADERS
)

// Has reports whether all flags of want are set.
func (f Flags) Has(want Flags) bool { return f&want == want }

// A FrameHeader is the header of a frame (RFC 9113 §4.1).
type FrameHeader struct {
	Length   int // of the payload, below 2^24
	Type     FrameType
	Flags    Flags
	StreamID uint32 // without the reserved bit
}

// parseFrameHeader reads the header from the first frameHeaderLen bytes of b.
func parseFrameHeader(b []byte) FrameHeader {
	_ = b[frameHeaderLen-1]
	return FrameHeader{
		Length:   int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		Type:     FrameType(b[3]),
		Flags:    Flags(b[4]),
		StreamID: binary.BigEndian.Uint32(b[5:]) &^ (1 << 31),
	}
}

// append appends the header to dst.
func (fh FrameHeader) append(dst []byte) []byte {
	n := fh.Length
	dst = append(dst, byte(n>>16), byte(n>>8), byte(n), byte(fh.Type), byte(fh.Flags))
	return binary.BigEndian.AppendUint32(dst, fh.StreamID)
}

// An ErrCode is the reason why a stream or a connection ended (RFC 9113 §7).
type ErrCode uint32

// The error codes of RFC 9113 §7.
const (
	ErrCodeNo                 ErrCode = 0x0
	ErrCodeProtocol           ErrCode = 0x1
	ErrCodeInternal           ErrCode = 0x2
	ErrCodeFlowControl        ErrCode = 0x3
	ErrCodeSettingsTimeout    ErrCode = 0x4
	ErrCodeStreamClosed       ErrCode = 0x5
	ErrCodeFrameSize          ErrCode = 0x6
	ErrCodeRefusedStream      ErrCode = 0x7
	ErrCodeCancel             ErrCode = 0x8
	ErrCodeCompression        ErrCode = 0x9
	ErrCodeConnect            ErrCode = 0xa
	ErrCodeEnhanceYourCalm    ErrCode = 0xb
	ErrCodeInadequateSecurity ErrCode = 0xc
	ErrCodeHTTP11Required     ErrCode = 0xd
)

var errCodeNames = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
	"REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

// String returns the code's name, or its number.
func (c ErrCode) String() string {
	if uint64(c) < uint64(len(errCodeNames)) {
		return errCodeNames[c]
	}
	return fmt.Sprintf("code 0x%x", uint32(c))
}

// A settingID identifies a setting (RFC 9113 §6.5.2).
type settingID uint16

const (
	settingHeaderTableSize      settingID = 0x1
	settingEnablePush           settingID = 0x2
	settingMaxConcurrentStreams settingID = 0x3
	settingInitialWindowSize    settingID = 0x4
	settingMaxFrameSize         settingID = 0x5
	settingMaxHeaderListSize    settingID = 0x6
)

// settingLen is the length of one setting (RFC 9113 §6.5.1).
const settingLen = 6

type setting struct {
	id  settingID
	val uint32
}

// check returns an error for an invalid value of a setting (RFC 9113 §6.5.2).
func (s setting) check() error {
	switch {
	case s.id == settingEnablePush && s.val > 1:
		return fault(ErrCodeProtocol, "SETTINGS_ENABLE_PUSH of %d", s.val)
	case s.id == settingInitialWindowSize && s.val > maxWindow:
		return fault(ErrCodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE of %d", s.val)
	case s.id == settingMaxFrameSize && (s.val < defaultMaxFrame || s.val > 1<<24-1):
		return fault(ErrCodeProtocol, "SETTINGS_MAX_FRAME_SIZE of %d", s.val)
	}
	return nil
}

// checkFrame returns an error for a wrong length or stream of a frame, if its type
// restricts them (RFC 9113 §6). streamOnly reports that the error is one of the
// stream alone.
func checkFrame(fh FrameHeader) (streamOnly bool, err error) {
	var length, onStream bool
	switch fh.Type {
	case FrameHeaders, FrameContinuation:
		length, onStream = true, true
	case FramePriority:
		length, onStream, streamOnly = fh.Length == 5, true, fh.StreamID != 0
	case FrameRSTStream:
		length, onStream = fh.Length == 4, true
	case FrameSettings:
		length = fh.Length%settingLen == 0 && (!fh.Flags.Has(FlagAck) || fh.Length == 0)
	case FramePing:
		length = fh.Length == 8
	case FrameGoAway:
		length = fh.Length >= 8
	case FrameWindowUpdate:
		length, onStream = fh.Length == 4, fh.StreamID != 0
	default:
		return false, nil
	}
	switch {
	case onStream && fh.StreamID == 0:
		return false, fault(ErrCodeProtocol, "%v frame on stream 0", fh.Type)
	case !onStream && fh.StreamID != 0:
		return false, fault(ErrCodeProtocol, "%v frame on stream %d", fh.Type, fh.StreamID)
	case !length:
		return streamOnly, fault(ErrCodeFrameSize, "%v frame of %d bytes", fh.Type, fh.Length)
	}
	return false, nil
}

// headersStart describes what surrounds the part of a header block in a HEADERS frame
// (RFC 9113 §6.2). Of the obsolete priority, only the dependency can be wrong.
type headersStart struct {
	size      int    // of what comes before the block
	fragment  int    // of the part of the block
	padding   int    // of what comes after it
	dependsOn uint32 // if the frame has a priority
}

// maxHeadersStart is the largest number of bytes before the block.
const maxHeadersStart = 1 + 5

// parseHeaders parses a HEADERS frame. p is the first maxHeadersStart bytes of its
// payload, or all of it if it is shorter.
func parseHeaders(fh FrameHeader, p []byte) (h headersStart, err error) {
	if fh.Flags.Has(FlagPadded) {
		if len(p) < 1 {
			return headersStart{}, fault(ErrCodeFrameSize, "padded HEADERS without a pad length")
		}
		h.size, h.padding, p = 1, int(p[0]), p[1:]
	}
	if fh.Flags.Has(FlagPriority) {
		if len(p) < 5 {
			return headersStart{}, fault(ErrCodeFrameSize, "HEADERS frame too short for its priority")
		}
		h.size += 5
		h.dependsOn = binary.BigEndian.Uint32(p) &^ (1 << 31)
	}
	if h.fragment = fh.Length - h.size - h.padding; h.fragment < 0 {
		return headersStart{}, fault(ErrCodeProtocol, "HEADERS with padding of %d bytes in a frame of %d", h.padding, fh.Length)
	}
	return h, nil
}

func appendSettings(dst []byte, set ...setting) []byte {
	dst = FrameHeader{Length: len(set) * settingLen, Type: FrameSettings}.append(dst)
	for _, s := range set {
		dst = binary.BigEndian.AppendUint16(dst, uint16(s.id))
		dst = binary.BigEndian.AppendUint32(dst, s.val)
	}
	return dst
}

func appendSettingsAck(dst []byte) []byte {
	return FrameHeader{Type: FrameSettings, Flags: FlagAck}.append(dst)
}

func appendWindowUpdate(dst []byte, id uint32, n int) []byte {
	dst = FrameHeader{Length: 4, Type: FrameWindowUpdate, StreamID: id}.append(dst)
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

func appendPing(dst []byte, flags Flags, data [8]byte) []byte {
	dst = FrameHeader{Length: len(data), Type: FramePing, Flags: flags}.append(dst)
	return append(dst, data[:]...)
}

func appendRSTStream(dst []byte, id uint32, code ErrCode) []byte {
	dst = FrameHeader{Length: 4, Type: FrameRSTStream, StreamID: id}.append(dst)
	return binary.BigEndian.AppendUint32(dst, uint32(code))
}

func appendGoAway(dst []byte, last uint32, code ErrCode, debug string) []byte {
	dst = FrameHeader{Length: 8 + len(debug), Type: FrameGoAway}.append(dst)
	dst = binary.BigEndian.AppendUint32(dst, last)
	dst = binary.BigEndian.AppendUint32(dst, uint32(code))
	return append(dst, debug...)
}

// appendHeaders appends a header block as HEADERS and, if it is longer than frames
// may be, CONTINUATION.
func appendHeaders(dst []byte, id uint32, block []byte, end bool, maxFrame int) []byte {
	fh := FrameHeader{Type: FrameHeaders, StreamID: id}
	if end {
		fh.Flags = FlagEndStream
	}
	for {
		part := block[:min(len(block), maxFrame)]
		block = block[len(part):]
		fh.Length = len(part)
		if len(block) == 0 {
			fh.Flags |= FlagEndHeaders
		}
		dst = append(fh.append(dst), part...)
		if len(block) == 0 {
			return dst
		}
		fh.Type, fh.Flags = FrameContinuation, 0
	}
}

// fault makes a connFault. It is not inlined, like all functions that only error
// paths call: there are many calls.
//
//go:noinline
func fault(code ErrCode, format string, args ...any) error {
	return &connFault{code, fmt.Sprintf(format, args...)}
}

// connFault is an error of the reader's after which the connection must end.
type connFault struct {
	code   ErrCode
	reason string
}

func (e *connFault) Error() string { return e.reason }
