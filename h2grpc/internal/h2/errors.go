package h2

import (
	"errors"
	"fmt"

	"github.com/tenonrpc/tenon/wire"
)

// ResetError says that one stream was reset (RFC 9113 §6.4).
type ResetError struct {
	Code   ErrCode
	Local  bool   // reset by us and not by the peer
	Reason string // why, if Local
}

func (e *ResetError) Error() string {
	if !e.Local {
		return fmt.Sprintf("stream reset by the peer with %s", e.Code)
	}
	return fmt.Sprintf("stream reset with %s: %s", e.Code, e.Reason)
}

// ConnError says that a connection ended. All its streams end with it.
type ConnError struct {
	Code   ErrCode
	Local  bool   // we found the fault
	Reason string // our reason, or the peer's GOAWAY text, bounded
	Err    error  // the I/O error, if that was the cause
	// Unprocessed says that the peer is known not to have acted on the stream
	// that got this error; it may be tried again.
	Unprocessed bool
}

func (e *ConnError) Error() string {
	switch {
	case e.Local:
		return fmt.Sprintf("connection closed with %s: %s", e.Code, e.Reason)
	case e.Err != nil:
		// It names the address, which may be one that the peer has announced.
		return "connection lost: " + wire.Printable(e.Err.Error(), maxErrorText)
	case e.Reason != "":
		return fmt.Sprintf("peer sent GOAWAY %s: %q", e.Code, e.Reason)
	default:
		return fmt.Sprintf("peer sent GOAWAY %s", e.Code)
	}
}

func (e *ConnError) Unwrap() error { return e.Err }

// MessageError says that the bytes of a message break gRPC's framing or a
// limit.
type MessageError struct {
	TooLarge bool  // the declared length is above Limit
	Extra    bool  // a second message where one was due
	Length   int64 // up to 2^32-1, whatever an int holds
	Limit    int
	Field    string // what sets the limit
	Reason   string
}

func (e *MessageError) Error() string {
	if e.TooLarge {
		return fmt.Sprintf("received message of %d bytes is larger than the limit of %d (%s)", e.Length, e.Limit, e.Field)
	}
	return e.Reason
}

var (
	// ErrClosed says that the connection was closed by our side.
	ErrClosed = errors.New("connection closed")
	// ErrStreamEnded says that a stream can send no more: it was reset, or
	// its connection ended. Recv has the reason.
	ErrStreamEnded = errors.New("stream has ended")
	// ErrGoingAway says that the connection takes no new streams.
	ErrGoingAway = errors.New("connection takes no new streams")
)

// quote bounds a peer's words for an error message.
func quote(b []byte) string {
	const most = 256
	if len(b) > most {
		return string(b[:most]) + "…"
	}
	return string(b)
}
