package h2

import (
	"errors"
	"fmt"

	"github.com/tenonrpc/tenon/wire"
)

// ResetError is the error of a stream that was reset (RFC 9113 §6.4).
type ResetError struct {
	Code   ErrCode
	Local  bool   // reset by this side and not by the peer
	Reason string // the reason, if Local
}

func (e *ResetError) Error() string {
	if !e.Local {
		return fmt.Sprintf("stream reset by the peer with %s", e.Code)
	}
	return fmt.Sprintf("stream reset with %s: %s", e.Code, e.Reason)
}

// ConnError is the error of a connection that ended. All its streams end with it.
type ConnError struct {
	Code   ErrCode
	Local  bool   // this side found the fault
	Reason string // this side's reason, or the text of the peer's GOAWAY, bounded
	Err    error  // the I/O error, if that was the cause
	// Unprocessed reports that the peer certainly has not processed the stream that got
	// this error; the call may be retried.
	Unprocessed bool
}

func (e *ConnError) Error() string {
	switch {
	case e.Local:
		return fmt.Sprintf("connection closed with %s: %s", e.Code, e.Reason)
	case e.Err != nil:
		// The error has addresses, one of which the peer may have announced.
		return "connection lost: " + wire.Printable(e.Err.Error(), maxErrorText)
	case e.Reason != "":
		return fmt.Sprintf("peer sent GOAWAY %s: %q", e.Code, e.Reason)
	default:
		return fmt.Sprintf("peer sent GOAWAY %s", e.Code)
	}
}

func (e *ConnError) Unwrap() error { return e.Err }

// MessageError is the error of a message whose bytes violate gRPC's framing or a
// limit.
type MessageError struct {
	TooLarge bool  // the announced length exceeds Limit
	Extra    bool  // a second message where one is allowed
	Length   int64 // up to 2^32-1, whatever an int holds
	Limit    int
	Field    string // the field that sets the limit
	Reason   string
}

func (e *MessageError) Error() string {
	if e.TooLarge {
		return fmt.Sprintf("received message of %d bytes is larger than the limit of %d (%s)", e.Length, e.Limit, e.Field)
	}
	return e.Reason
}

var (
	// ErrClosed means that this side closed the connection.
	ErrClosed = errors.New("connection closed")
	// ErrStreamEnded means that a stream can send no more: it was reset, or its
	// connection ended. Recv returns the reason.
	ErrStreamEnded = errors.New("stream has ended")
	// ErrGoingAway means that the connection accepts no new streams.
	ErrGoingAway = errors.New("connection accepts no new streams")
)

// quote bounds and quotes a peer's text for an error message.
func quote(b []byte) string {
	const most = 256
	if len(b) > most {
		return string(b[:most]) + "…"
	}
	return string(b)
}
