package yamux

import (
	"context"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Session is one end of a connection that carries streams. Its methods may be called
// concurrently.
type Session struct {
	conn       net.Conn
	done       chan struct{} // closed when the session has ended
	readerDone chan struct{}
	allowance  atomic.Int64  // how many bytes the peer may still send; negative: any number
	writerDone chan struct{} // closed when conn is closed as well

	mu sync.Mutex
	// guarded by mu, as is the state of all streams
	err     error // why the session has ended; nil before
	streams map[uint32]*Stream
	nextID  uint32
	unacked int // streams of ours that the peer has not accepted yet

	backlog    []*Stream // streams of the peer that wait for Accept, oldest first
	acceptable sync.Cond // backlog or err has changed
	openable   sync.Cond // unacked, peerLeaves or err has changed

	weLeave    bool // GoAway was called
	peerLeaves bool // the peer has sent a go away
	refused    int  // streams refused in a row
	buffered   int  // the size of all streams' buffers

	out       outgoing
	keepAlive keepAlive
}

// outgoing is what the writer is to write. Callers that hold the session's mu add to
// pending; only the writer takes from it, always all of it.
type outgoing struct {
	pending []byte    // what the writer writes next
	replies int       // answers to the peer in pending
	wake    sync.Cond // pending or the session's err has changed; the writer waits for it
	blocked []*Stream // waiting until pending has room, in this order
}

// keepAlive is the state of the pings. At most one ping of ours is unanswered, and the
// timer runs as long as the session: until the next ping, or until the answer is late. It
// is guarded by the session's mu.
type keepAlive struct {
	timer   *time.Timer
	waiting bool      // our last ping has not been answered
	id      uint32    // of our last ping
	peers   int       // pings of the peer since from
	from    time.Time // the start of a pingPeriod
}

// Client returns a session on conn, for the side that opened the connection. The session
// owns conn from then on. Close must be called when the session is no longer needed, even
// after it has ended by itself.
func Client(conn net.Conn) *Session { return newSession(conn, 1) }

// Server is Client for the side that accepted the connection.
func Server(conn net.Conn) *Session { return newSession(conn, 2) }

func newSession(conn net.Conn, firstID uint32) *Session {
	s := &Session{
		conn:       conn,
		done:       make(chan struct{}),
		readerDone: make(chan struct{}),
		writerDone: make(chan struct{}),
		streams:    make(map[uint32]*Stream),
		nextID:     firstID,
	}
	s.allowance.Store(-1)
	s.acceptable.L, s.openable.L, s.out.wake.L = &s.mu, &s.mu, &s.mu
	s.mu.Lock()
	s.keepAlive.timer = time.AfterFunc(keepAliveInterval, s.tick)
	s.mu.Unlock()
	go s.read()
	go s.write()
	return s
}

// Allow sets how many more bytes the peer may send before the session ends. A negative
// number means any, which is the default. It bounds what is stored for a peer that has
// not authenticated yet.
func (s *Session) Allow(bytes int64) { s.allowance.Store(bytes) }

// Done returns a channel that is closed when the session has ended, for whatever reason.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns why the session has ended: net.ErrClosed if Close was called, an error that
// wraps io.ErrUnexpectedEOF if the peer closed the connection, a *ProtocolError, or
// another error. It returns nil before the end.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// NumStreams returns the number of streams that are not closed on both sides.
func (s *Session) NumStreams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// Open opens a stream, which may be written to at once. The peer need not have accepted
// it; see Stream.Accepted. While 256 streams wait to be accepted, Open waits, until ctx
// ends.
func (s *Session) Open(ctx context.Context) (*Stream, error) {
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		s.openable.Broadcast()
		s.mu.Unlock()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.err != nil:
			return nil, &sessionError{s.err}
		case s.peerLeaves:
			return nil, ErrGoAway
		case ctx.Err() != nil:
			return nil, fmt.Errorf("yamux: opening a stream: %w", context.Cause(ctx))
		case len(s.streams) >= maxStreams:
			return nil, ErrTooMany
		case s.unacked >= maxBacklog:
			s.openable.Wait()
			continue
		}
		break
	}
	// The peer may choose ids of any parity.
	for ; ; s.nextID += 2 {
		if s.nextID >= math.MaxUint32-1 {
			return nil, ErrExhausted
		}
		if s.streams[s.nextID] == nil {
			break
		}
	}
	st := newStream(s, s.nextID)
	s.nextID += 2
	st.accepted = make(chan struct{})
	st.timer = time.AfterFunc(acceptTimeout, st.notAccepted)
	s.streams[st.id] = st
	s.unacked++
	s.send(Header{Type: WindowUpdate, Flags: SYN, StreamID: st.id})
	return st, nil
}

// Accept waits for a stream of the peer and accepts it. Streams come in the order in
// which the peer opened them. One that the peer has reset in the meantime is returned
// too, because the order may have a meaning. Accept fails once the session has ended.
func (s *Session) Accept() (*Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.err != nil {
			return nil, &sessionError{s.err}
		}
		if len(s.backlog) == 0 {
			s.acceptable.Wait()
			continue
		}
		st := s.backlog[0]
		s.backlog[0] = nil
		s.backlog = s.backlog[1:]
		if st.state != stateReset {
			// Exactly once, because the peer counts.
			s.send(Header{Type: WindowUpdate, Flags: ACK, StreamID: st.id})
		}
		s.refused = 0
		return st, nil
	}
}

// GoAway tells the peer to open no more streams. Any that it opens nevertheless are
// reset; open streams stay.
func (s *Session) GoAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.weLeave {
		s.weLeave = true
		s.send(Header{Type: GoAway, Length: GoAwayNormal})
	}
}

// Close ends the session and all its streams. Earlier writes are still sent, unless the
// peer does not read them at once. Close returns when the connection is closed, and may
// be called more than once.
func (s *Session) Close() error {
	s.end(net.ErrClosed)
	<-s.writerDone
	<-s.readerDone
	return nil
}

// End is Close without waiting for the connection to be closed. Close must still be
// called.
func (s *Session) End() { s.end(net.ErrClosed) }

// end ends the session because of err, unless it has ended already.
func (s *Session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(err)
}

func (s *Session) endLocked(err error) {
	if s.err != nil {
		return
	}
	if _, ok := err.(*ProtocolError); ok {
		s.send(Header{Type: GoAway, Length: GoAwayProtocolError})
	}
	s.err = err
	s.keepAlive.timer.Stop()
	for _, st := range s.streams {
		st.stopTimer()
		st.settle()
		st.notify()
	}
	clear(s.streams)
	s.backlog, s.out.blocked = nil, nil
	s.acceptable.Broadcast()
	s.openable.Broadcast()
	s.out.wake.Signal()
	// A write that waits for the peer must not wait much longer.
	s.conn.SetWriteDeadline(time.Now().Add(flushTimeout))
	close(s.done)
}

// remove forgets a stream that both sides have finished with.
func (s *Session) remove(st *Stream) {
	if s.streams[st.id] != st {
		return // the session has ended
	}
	delete(s.streams, st.id)
	st.stopTimer()
	st.settle()
	st.notify()
}

// tick is called when it is time to ping, and when the answer is late.
func (s *Session) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	k := &s.keepAlive
	if k.waiting {
		s.endLocked(fmt.Errorf("%w: no answer to a ping within %v", ErrUnresponsive, pingTimeout))
		return
	}
	k.waiting, k.id = true, k.id+1
	s.send(Header{Type: Ping, Flags: SYN, Length: k.id})
	k.timer.Reset(pingTimeout)
}
