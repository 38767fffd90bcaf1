package h2

import (
	"sync"
	"sync/atomic"
)

// phase is the phase of a connection's life. It only increases.
//
//	opening ── the peer's SETTINGS ──> open ── Shutdown, or a server's GOAWAY ──> draining
//	   any of them ── Close, Abort, a lost connection ──> closing ──> closed
type phase uint8

const (
	opening phase = iota
	open
	// draining: the connection ends with its last stream. A client opens no more; a
	// server accepts those that are on their way until it has sent the last GOAWAY.
	draining
	closing // the reader has been told to end, with the reason
	closed  // the streams have ended, with the reason
)

func (p phase) String() string {
	return [...]string{"opening", "open", "draining", "closing", "closed"}[p]
}

// goAways is which GOAWAYs were sent to the peer.
type goAways uint8

const (
	nothing goAways = iota
	oneMore         // by a server, with the highest id: the last one follows
	theLast         // with the id of the last stream that is accepted; a client sends only this one
)

// socket is the state of the connection's socket.
type socket uint8

const (
	inUse    socket = iota
	shutting        // a goroutine waits to close it
	shut            // the reader has closed it
)

// life is the phase of a connection, and how it came to it. Guarded by Conn.mu,
// except what is atomic.
type life struct {
	phase  phase
	reason error      // from closing on
	said   goAways    // sent by this side
	told   *ConnError // the peer's GOAWAY, if it had an error code
	socket socket
	// unusable is set once no more streams can be opened, for code that does not hold
	// the lock.
	unusable atomic.Bool
	closers  sync.WaitGroup // of closeSoon; Run waits for it
}

// become moves to a later phase, with its reason, and reports whether it did.
func (l *life) become(p phase, reason error) bool {
	if p <= l.phase {
		return false
	}
	l.phase, l.reason = p, reason
	if p >= draining {
		l.unusable.Store(true)
	}
	return true
}
