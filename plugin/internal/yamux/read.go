package yamux

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tenonrpc/tenon/wire"
)

// read is the reader: the one goroutine that reads from the connection. It never
// waits for anything but the connection.
func (s *Session) read() {
	defer close(s.readerDone)
	br := bufio.NewReaderSize(s.conn, readSize)
	s.end(s.readFrames(br))
	// The writer still has things to write, and the peer may have to be rid of
	// what it writes before it reads them. The writer sets a deadline.
	io.Copy(io.Discard, s.conn)
}

// readFrames reads until the connection or the session ends, and says why.
func (s *Session) readFrames(br *bufio.Reader) error {
	var b [wire.YamuxHeaderLen]byte
	for {
		if n, err := io.ReadFull(br, b[:]); err != nil {
			if n == 0 && err == io.EOF {
				return errHangup
			}
			return fmt.Errorf("yamux: reading: %w", err)
		}
		h, err := wire.ParseYamuxHeader(b[:])
		if err != nil {
			return faultf(0, "%v", err)
		}
		if may := s.allowance.Load(); may >= 0 {
			left := may - wire.YamuxHeaderLen
			if h.Type == wire.YamuxData {
				left -= int64(h.Length)
			}
			if left < 0 {
				return faultf(h.StreamID, "too much before it proved who it is")
			}
			s.allowance.CompareAndSwap(may, left) // or Allow was called
		}
		switch h.Type {
		case wire.YamuxData:
			err = s.readData(h, br)
		case wire.YamuxWindowUpdate:
			err = s.windowUpdate(h)
		case wire.YamuxPing:
			err = s.ping(h)
		case wire.YamuxGoAway:
			err = s.goAway(h)
		}
		if err != nil {
			return err
		}
		if s.hasEnded() {
			return nil
		}
	}
}

func (s *Session) hasEnded() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stream returns the stream that a frame is about, which the frame may open. It
// is nil if there is none. It is called with mu held.
func (s *Session) stream(h wire.YamuxHeader) (*Stream, error) {
	if h.Flags&wire.YamuxSYN == 0 {
		return s.streams[h.StreamID], nil
	}
	switch {
	case h.StreamID == 0:
		return nil, faultf(0, "it opens stream 0")
	case s.streams[h.StreamID] != nil:
		return nil, faultf(h.StreamID, "opened twice")
	case s.err != nil:
		return nil, nil
	}
	if s.weLeave || len(s.backlog) >= maxBacklog || len(s.streams) >= maxStreams {
		if s.refused++; s.refused > maxRefused {
			return nil, faultf(h.StreamID, "the %dth in a row that is opened and cannot be accepted", s.refused)
		}
		return nil, s.reply(wire.YamuxHeader{Type: wire.YamuxWindowUpdate, Flags: wire.YamuxRST, StreamID: h.StreamID})
	}
	st := newStream(s, h.StreamID)
	s.streams[st.id] = st
	s.backlog = append(s.backlog, st)
	s.acceptable.Signal()
	return st, nil
}

func (s *Session) windowUpdate(h wire.YamuxHeader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.stream(h)
	if st == nil {
		return err // often nil: the peer does not know yet that the stream is gone
	}
	if st.sendWindow += uint64(h.Length); st.sendWindow > maxSendWindow {
		return faultf(st.id, "its window update of %d bytes makes the window larger than %d", h.Length, uint32(maxSendWindow))
	}
	st.writable.Broadcast()
	return st.received(h.Flags)
}

// readData reads a data frame into its stream's buffer, as it arrives.
func (s *Session) readData(h wire.YamuxHeader, br *bufio.Reader) error {
	s.mu.Lock()
	st, err := s.stream(h)
	left := int64(h.Length)
	switch {
	case err != nil:
	case st == nil && left > window:
		err = faultf(h.StreamID, "%d bytes of data, more than any stream's window", left)
	case st != nil && left > int64(st.recvWindow):
		err = faultf(st.id, "%d bytes of data, and the window has %d left", left, st.recvWindow)
	case st != nil:
		st.recvWindow -= h.Length
		err = st.received(h.Flags &^ (wire.YamuxFIN | wire.YamuxRST))
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for st != nil && left > 0 {
		p := s.space(st, left)
		if p == nil {
			break // nobody will read it
		}
		n, err := br.Read(p)
		s.filled(st, n)
		if err != nil {
			return readError(err)
		}
		left -= int64(n)
	}
	if _, err := io.CopyN(io.Discard, br, left); err != nil {
		return readError(err)
	}
	if st == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return st.received(h.Flags & (wire.YamuxFIN | wire.YamuxRST))
}

func readError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("yamux: reading a frame's data: %w", err)
}

// space returns where the next bytes of a stream go, or nil if they are of no
// use any more. filled must be called with their number.
func (s *Session) space(st *Stream, left int64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.closed || st.finReceived() || st.state == stateReset || s.err != nil {
		return nil
	}
	want := int(min(left, bufferStep))
	more := st.recv.sizeFor(want) - len(st.recv.buf)
	if s.buffered+more > maxBuffered {
		st.reset(errBuffered)
		return nil
	}
	s.buffered += more
	p := st.recv.space(want)
	st.filling = true
	return p
}

func (s *Session) filled(st *Stream, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st.filling = false
	st.recv.filled(n)
	if st.closed || st.state == stateReset {
		st.freeBuffer()
		return
	}
	st.readable.Broadcast()
}

// ping answers a ping, or notes an answer.
func (s *Session) ping(h wire.YamuxHeader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.Flags&wire.YamuxSYN != 0 {
		now := time.Now()
		if now.Sub(s.pingFrom) >= pingPeriod {
			s.pingFrom, s.pings = now, 0
		}
		if s.pings++; s.pings > maxPings {
			return faultf(0, "more than %d pings within %v", maxPings, pingPeriod)
		}
		return s.reply(wire.YamuxHeader{Type: wire.YamuxPing, Flags: wire.YamuxACK, Length: h.Length})
	}
	if s.pinging && h.Length == s.pingID && s.err == nil {
		s.pinging = false
		s.pinger.Reset(keepAliveInterval)
	}
	return nil
}

func (s *Session) goAway(h wire.YamuxHeader) error {
	switch h.Length {
	case wire.YamuxGoAwayNormal:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.peerLeaves = true
		s.openable.Broadcast()
		return nil
	case wire.YamuxGoAwayProtocolError:
		return errors.New("yamux: the other side ends the session and says that this side broke the protocol")
	case wire.YamuxGoAwayInternalError:
		return errors.New("yamux: the other side ends the session because of an error of its own")
	}
	return faultf(0, "it goes away with the unknown code %d", h.Length)
}
