package yamux

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// send queues a frame without data. It is called with mu held, never waits, and does
// nothing once the session has ended.
func (s *Session) send(h Header) {
	if s.err != nil {
		return
	}
	s.out.pending = h.Append(s.out.pending)
	s.out.wake.Signal()
}

// reply is send for answers that the peer can request any number of times.
func (s *Session) reply(h Header) error {
	if s.out.replies++; s.out.replies > maxReplies {
		return faultf(0, "more than %d pings and refused streams, without reading the answers", maxReplies)
	}
	s.send(h)
	return nil
}

// write is the writer: the only goroutine that writes to the connection. When the session
// ends it writes what is left, and then closes the connection.
func (s *Session) write() {
	defer close(s.writerDone)
	var spare []byte
	for {
		out, ok := s.take(spare)
		if !ok {
			break
		}
		if _, err := s.conn.Write(out); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = fmt.Errorf("%w: nothing could be written for %v", ErrUnresponsive, writeTimeout)
			}
			s.end(fmt.Errorf("yamux: writing: %w", err))
			break
		}
		if spare = out; cap(spare) > 2*maxPending {
			spare = nil
		}
	}
	s.hangUp()
}

// take waits until there is something to write, and takes it in exchange for an empty
// buffer. It reports false when the session has ended and nothing is left.
func (s *Session) take(spare []byte) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.out.pending) == 0 {
		if s.err != nil {
			return nil, false
		}
		s.out.wake.Wait()
	}
	out := s.out.pending
	s.out.pending, s.out.replies = spare[:0], 0
	for _, st := range s.out.blocked {
		st.blocked = false
		st.writable.Broadcast()
	}
	s.out.blocked = s.out.blocked[:0]
	if s.err == nil { // otherwise end has set a deadline
		s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	return out, true
}

// hangUp closes the connection when everything is written. If possible, it closes our
// half first and lets the reader wait for the peer's.
func (s *Session) hangUp() {
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		s.conn.SetReadDeadline(time.Now().Add(lingerTimeout))
		<-s.readerDone
	}
	s.conn.Close()
}
