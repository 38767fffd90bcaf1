package h2

import (
	"sync"
	"sync/atomic"
)

// phase is how far the life of a connection has come. It only grows.
//
//	opening ── the peer's SETTINGS ──> open ── Shutdown, or a server's GOAWAY ──> draining
//	   any of them ── Close, Abort, a lost connection ──> closing ──> closed
type phase uint8

const (
	opening phase = iota
	open
	// draining: it ends with its last stream. A client opens no more; a server takes
	// those that are on their way until it has said the last GOAWAY.
	draining
	closing // the reader has been told to end with the reason
	closed  // the streams have ended with the reason
)

func (p phase) String() string {
	return [...]string{"opening", "open", "draining", "closing", "closed"}[p]
}

// goAways is what has been said to the peer with GOAWAY.
type goAways uint8

const (
	nothing goAways = iota
	oneMore         // a server's, with the highest id: the last one follows
	theLast         // with the id of the last stream that is taken; a client says only this
)

// socket is what is done to the connection's socket.
type socket uint8

const (
	inUse    socket = iota
	shutting        // a goroutine waits to close it
	shut            // the reader has closed it
)

// life is the phase of a connection and what has become of it. Guarded by Conn.mu,
// but for what is atomic.
type life struct {
	phase  phase
	reason error      // from closing on
	said   goAways    // by us
	told   *ConnError // the peer's GOAWAY, if it had an error code
	socket socket
	// unusable is set once no more streams can be opened, for those without the lock.
	unusable atomic.Bool
	closers  sync.WaitGroup // of closeSoon; Run waits for it
}

// become says whether the phase has become a later one, with its reason.
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
