package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// YamuxHeaderLen is the length in bytes of a yamux frame header: version (8
// bits, always 0), type (8), flags (16), stream id (32) and length (32), all
// big-endian. Source: the specification in hashicorp/yamux.
const YamuxHeaderLen = 12

// YamuxInitialWindow is the number of bytes that each side may send on a new
// stream before the first window update. The session as a whole has no window.
const YamuxInitialWindow = 256 << 10

// YamuxType is the type of a yamux frame.
type YamuxType uint8

// The frame types. The header's length means something else in each.
const (
	YamuxData         YamuxType = 0 // length: bytes of data that follow
	YamuxWindowUpdate YamuxType = 1 // length: bytes added to the window
	YamuxPing         YamuxType = 2 // length: an opaque value, sent back
	YamuxGoAway       YamuxType = 3 // length: one of the go-away codes
)

// String returns the type's name.
func (t YamuxType) String() string {
	switch t {
	case YamuxData:
		return "data"
	case YamuxWindowUpdate:
		return "window update"
	case YamuxPing:
		return "ping"
	case YamuxGoAway:
		return "go away"
	}
	return fmt.Sprintf("YamuxType(%d)", uint8(t))
}

// The flags of a header; other bits are ignored.
const (
	YamuxSYN uint16 = 1 << 0 // opens a stream, or asks in a ping
	YamuxACK uint16 = 1 << 1 // accepts a stream, or answers a ping
	YamuxFIN uint16 = 1 << 2 // closes the sender's half of a stream
	YamuxRST uint16 = 1 << 3 // ends a stream at once
)

// The codes of a go-away frame.
const (
	YamuxGoAwayNormal        uint32 = 0
	YamuxGoAwayProtocolError uint32 = 1
	YamuxGoAwayInternalError uint32 = 2
)

// Errors of ParseYamuxHeader. Both kinds of bad header end the session.
var (
	// ErrYamuxShort reports fewer than YamuxHeaderLen bytes.
	ErrYamuxShort = errors.New("wire: a yamux header has twelve bytes")
	// ErrYamuxVersion reports a version other than 0.
	ErrYamuxVersion = errors.New("wire: unknown yamux version")
	// ErrYamuxType reports an unknown frame type.
	ErrYamuxType = errors.New("wire: unknown yamux frame type")
)

// YamuxHeader is the header of a yamux frame.
type YamuxHeader struct {
	Type     YamuxType
	Flags    uint16
	StreamID uint32 // 0 is the session; a client's own ids are odd, a server's even
	Length   uint32 // see the types; the peer's claim, to be checked against the window
}

// ParseYamuxHeader reads the header at the start of b. The errors are
// ErrYamuxShort, ErrYamuxVersion and ErrYamuxType (test with errors.Is).
func ParseYamuxHeader(b []byte) (YamuxHeader, error) {
	if len(b) < YamuxHeaderLen {
		return YamuxHeader{}, ErrYamuxShort
	}
	if b[0] != 0 {
		return YamuxHeader{}, fmt.Errorf("%w %d", ErrYamuxVersion, b[0])
	}
	if b[1] > byte(YamuxGoAway) {
		return YamuxHeader{}, fmt.Errorf("%w %d", ErrYamuxType, b[1])
	}
	return YamuxHeader{
		Type:     YamuxType(b[1]),
		Flags:    binary.BigEndian.Uint16(b[2:]),
		StreamID: binary.BigEndian.Uint32(b[4:]),
		Length:   binary.BigEndian.Uint32(b[8:]),
	}, nil
}

// Append appends the header's YamuxHeaderLen bytes.
func (h YamuxHeader) Append(b []byte) []byte {
	b = append(b, 0, byte(h.Type))
	b = binary.BigEndian.AppendUint16(b, h.Flags)
	b = binary.BigEndian.AppendUint32(b, h.StreamID)
	return binary.BigEndian.AppendUint32(b, h.Length)
}
