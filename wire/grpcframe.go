package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// PrefixLen is the length in bytes of the prefix of every gRPC message: a
// flag and the message's length as a big-endian 32-bit number.
// Source: gRPC's PROTOCOL-HTTP2, Length-Prefixed-Message.
const PrefixLen = 5

// Errors of ParsePrefix.
var (
	// errPrefixFlag reports a compressed flag other than 0 and 1.
	errPrefixFlag = errors.New("wire: the compressed flag of a gRPC message is neither 0 nor 1")
	// errShortPrefix reports fewer than PrefixLen bytes.
	errShortPrefix = errors.New("wire: a gRPC message prefix has five bytes")
)

// PutPrefix writes the prefix of a message of n bytes into b[:PrefixLen]. It panics if b
// is shorter: that is the caller's mistake, never a peer's.
func PutPrefix(b []byte, compressed bool, n uint32) {
	_ = b[PrefixLen-1]
	b[0] = 0
	if compressed {
		b[0] = 1
	}
	binary.BigEndian.PutUint32(b[1:], n)
}

// ParsePrefix reads the prefix at the start of b and returns the compressed flag (0 or 1)
// and the message's length in bytes. The length is the peer's claim: check it against a
// limit, and never allocate by it alone. ParsePrefix fails if b has fewer than PrefixLen
// bytes or the flag has another value.
func ParsePrefix(b []byte) (flag byte, n uint32, err error) {
	if len(b) < PrefixLen {
		return 0, 0, errShortPrefix
	}
	if b[0] > 1 {
		return 0, 0, fmt.Errorf("%w: 0x%02x", errPrefixFlag, b[0])
	}
	return b[0], binary.BigEndian.Uint32(b[1:]), nil
}
