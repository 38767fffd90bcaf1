package yamux

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// HeaderLen is the length in bytes of a yamux frame header: version (8
// bits, always 0), type (8), flags (16), stream id (32) and length (32), all
// big-endian. Source: the specification in hashicorp/yamux.
const HeaderLen = 12

// Type is the type of a yamux frame.
type Type uint8

// The frame types. The header's length means something else in each.
const (
	Data         Type = 0 // length: bytes of data that follow
	WindowUpdate Type = 1 // length: bytes added to the window
	Ping         Type = 2 // length: an opaque value, sent back
	GoAway       Type = 3 // length: one of the codes below
)

// String returns the type's name.
func (t Type) String() string {
	if names := [...]string{"data", "window update", "ping", "go away"}; int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// The flags of a header. Other bits are ignored.
const (
	SYN uint16 = 1 << 0 // opens a stream, or asks in a ping
	ACK uint16 = 1 << 1 // accepts a stream, or answers a ping
	FIN uint16 = 1 << 2 // closes the sender's half of a stream
	RST uint16 = 1 << 3 // ends a stream at once
)

// The codes of a go-away frame.
const (
	GoAwayNormal        uint32 = 0
	GoAwayProtocolError uint32 = 1
	GoAwayInternalError uint32 = 2
)

// Errors of ParseHeader. They are reasons of a ProtocolError and end the session.
var (
	// errShort reports fewer than HeaderLen bytes.
	errShort = errors.New("a yamux header has twelve bytes")
	// errVersion reports a version other than 0.
	errVersion = errors.New("unknown yamux version")
	// errType reports an unknown frame type.
	errType = errors.New("unknown yamux frame type")
)

// Header is the header of a yamux frame.
type Header struct {
	Type     Type
	Flags    uint16
	StreamID uint32 // 0 is the session; a client's own ids are odd, a server's even
	Length   uint32 // see the types; claimed by the peer, to be checked against the window
}

// ParseHeader parses the header at the start of b. The errors are errShort, errVersion
// and errType, for errors.Is.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, errShort
	}
	if b[0] != 0 {
		return Header{}, fmt.Errorf("%w %d", errVersion, b[0])
	}
	if b[1] > byte(GoAway) {
		return Header{}, fmt.Errorf("%w %d", errType, b[1])
	}
	return Header{
		Type:     Type(b[1]),
		Flags:    binary.BigEndian.Uint16(b[2:]),
		StreamID: binary.BigEndian.Uint32(b[4:]),
		Length:   binary.BigEndian.Uint32(b[8:]),
	}, nil
}

// Append appends the header's HeaderLen bytes.
func (h Header) Append(b []byte) []byte {
	b = append(b, 0, byte(h.Type))
	b = binary.BigEndian.AppendUint16(b, h.Flags)
	b = binary.BigEndian.AppendUint32(b, h.StreamID)
	return binary.BigEndian.AppendUint32(b, h.Length)
}
