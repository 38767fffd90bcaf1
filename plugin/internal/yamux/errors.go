package yamux

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrReset reports that the peer has reset the stream, or refused it.
	ErrReset = errors.New("yamux: the other side has reset the stream")
	// ErrGoAway reports that the peer accepts no new streams.
	ErrGoAway = errors.New("yamux: the other side accepts no more streams")
	// ErrTooMany reports that as many streams are open as are allowed.
	ErrTooMany = fmt.Errorf("yamux: more than %d streams are open", maxStreams)
	// ErrExhausted reports that the session has used up its stream ids.
	ErrExhausted = errors.New("yamux: the session has no stream ids left")
	// ErrUnresponsive ends a session whose peer does not answer.
	ErrUnresponsive = errors.New("yamux: the other side does not respond")

	errBuffered = fmt.Errorf("yamux: the stream was reset: the session's streams hold %d bytes that nobody has read", maxBuffered)
	errHangup   = fmt.Errorf("yamux: the other side has closed the connection: %w", io.ErrUnexpectedEOF)
)

// ProtocolError is a violation of the protocol by the peer that ends a session.
type ProtocolError struct {
	// StreamID is the stream concerned, or 0 for the session.
	StreamID uint32
	// Reason is what the peer did.
	Reason string
}

func (e *ProtocolError) Error() string {
	if e.StreamID != 0 {
		return fmt.Sprintf("yamux: the other side violated the protocol: stream %d: %s", e.StreamID, e.Reason)
	}
	return "yamux: the other side violated the protocol: " + e.Reason
}

func faultf(stream uint32, format string, args ...any) error {
	return &ProtocolError{stream, fmt.Sprintf(format, args...)}
}

// sessionError is what a stream's methods return after its session has ended.
type sessionError struct{ err error }

func (e *sessionError) Error() string { return fmt.Sprintf("yamux: the session has ended: %v", e.err) }
func (e *sessionError) Unwrap() error { return e.err }
