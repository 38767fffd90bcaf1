package yamux

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"
)

// read is the reader: the only goroutine that reads from the connection. It waits for
// nothing but the connection.
func (s *Session) read() {
	defer close(s.readerDone)
	br := bufio.NewReaderSize(s.conn, readSize)
	s.end(s.readFrames(br))
	// The writer still has data to write, and the peer may have to write before it reads
	// that. The writer sets a deadline.
	io.Copy(io.Discard, s.conn)
}

// readFrames reads until the connection or the session ends, and returns the reason.
func (s *Session) readFrames(br *bufio.Reader) error {
	var b [HeaderLen]byte
	for frames := 1; ; frames++ {
		if frames%giveWay == 0 {
			runtime.Gosched()
		}
		if n, err := io.ReadFull(br, b[:]); err != nil {
			if n == 0 && err == io.EOF {
				return errHangup
			}
			return fmt.Errorf("yamux: reading: %w", err)
		}
		h, err := ParseHeader(b[:])
		if err != nil {
			return faultf(0, "%v", err)
		}
		if may := s.allowance.Load(); may >= 0 {
			left := may - HeaderLen
			if h.Type == Data {
				left -= int64(h.Length)
			}
			if left < 0 {
				return faultf(h.StreamID, "too much data before it has proved who it is")
			}
			s.allowance.CompareAndSwap(may, left) // or Allow was called
		}
		switch h.Type {
		case Data:
			err = s.readData(h, br)
		case WindowUpdate:
			err = s.windowUpdate(h)
		case Ping:
			err = s.ping(h)
		case GoAway:
			err = s.goAway(h)
		}
		if err != nil {
			return err
		}
		select {
		case <-s.done:
			return nil
		default:
		}
	}
}

// stream returns the stream of a frame, which the frame may open, or nil if there is
// none. It is called with mu held.
func (s *Session) stream(h Header) (*Stream, error) {
	if h.Flags&SYN == 0 {
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
		return nil, s.reply(Header{Type: WindowUpdate, Flags: RST, StreamID: h.StreamID})
	}
	st := newStream(s, h.StreamID)
	s.streams[st.id] = st
	s.backlog = append(s.backlog, st)
	s.acceptable.Signal()
	return st, nil
}

func (s *Session) windowUpdate(h Header) error {
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
func (s *Session) readData(h Header, br *bufio.Reader) error {
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
		err = st.received(h.Flags &^ (FIN | RST))
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for st != nil && left > 0 {
		p := s.space(st, left)
		if p == nil {
			break // it will not be read
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
	return st.received(h.Flags & (FIN | RST))
}

func readError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("yamux: reading a frame's data: %w", err)
}

// space returns where the next bytes of a stream go, or nil if they are not needed any
// more. filled must be called with their number.
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

// ping answers a ping, or records an answer.
func (s *Session) ping(h Header) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := &s.keepAlive
	if h.Flags&SYN != 0 {
		if now := time.Now(); now.Sub(k.from) >= pingPeriod {
			k.from, k.peers = now, 0
		}
		if k.peers++; k.peers > maxPings {
			return faultf(0, "more than %d pings within %v", maxPings, pingPeriod)
		}
		return s.reply(Header{Type: Ping, Flags: ACK, Length: h.Length})
	}
	if k.waiting && h.Length == k.id && s.err == nil {
		k.waiting = false
		k.timer.Reset(keepAliveInterval)
	}
	return nil
}

func (s *Session) goAway(h Header) error {
	switch h.Length {
	case GoAwayNormal:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.peerLeaves = true
		s.openable.Broadcast()
		return nil
	case GoAwayProtocolError:
		return errors.New("yamux: the other side ended the session, saying that this side violated the protocol")
	case GoAwayInternalError:
		return errors.New("yamux: the other side ended the session because of an internal error")
	}
	return faultf(0, "its GoAway has the unknown code %d", h.Length)
}
