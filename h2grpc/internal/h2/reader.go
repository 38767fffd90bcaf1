package h2

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"time"
)

// The readers: a goroutine of run, or a call or a stream that reads for itself
// (role.go).

// readOwn reads the connection until what the consumer of s waits for has arrived, if
// nothing else reads and s is alone, and reports whether it has arrived. It may
// return earlier.
func (s *Stream) readOwn() bool {
	c := s.c
	r := &c.role
	t := r.turn()
	if t.state() != free {
		return false
	}
	mine := t.begin(reading)
	if !r.now.CompareAndSwap(uint64(t), uint64(mine)) {
		c.wantReader()
		return false
	}
	calls := c.table.calls.Load()
	if alone := s.whole && calls == 1 || !s.whole && calls == 0 && r.last == s.ID; !alone {
		return c.handOver(mine, nil)
	}
	err := c.readFor(s)
	c.Flush() // answers queued while reading
	if err != nil || r.streak == 0 || c.in.br.Buffered() > 0 || !r.pass(mine, free) {
		return c.handOver(mine, err)
	}
	if c.table.calls.Load() > 0 || c.life.unusable.Load() {
		c.wantReader() // those that came meanwhile saw that there was a reader
	}
	return true
}

// handOver makes a goroutine of run the reader instead of one that read for itself,
// and passes it that one's error. It returns false.
func (c *Conn) handOver(mine turn, err error) bool {
	c.role.failed = err
	c.mu.Lock()
	old := turn(c.role.now.Swap(uint64(mine.in(running))))
	if old.state() == stopping && c.life.phase < closing {
		c.nc.SetReadDeadline(time.Time{})
	}
	c.mu.Unlock()
	go c.role.run()
	return false
}

// readFor handles frames until what the consumer of s waits for has arrived, or until
// run should go on.
func (c *Conn) readFor(s *Stream) error {
	for !s.served() {
		if c.out.unread.Load() {
			c.role.streak = 0 // waiting for the peer is left to run
			return nil
		}
		if c.in.br.Buffered() < frameHeaderLen {
			c.Flush()
		}
		fh, err := c.peekFrameHeader()
		whole := frameHeaderLen + fh.Length
		if err == nil && (whole > c.in.br.Size() || fh.Type == FrameHeaders && (!c.client || !fh.Flags.Has(FlagEndHeaders))) {
			c.role.streak = 0 // larger than the buffer, or a call that begins
			return nil
		}
		if err == nil && c.in.br.Buffered() < whole {
			_, err = c.in.br.Peek(whole)
			err = cutShort(err)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.role.streak = 0 // stopped by the watch; if the connection is being ended, run finds out
			return nil
		}
		if err == nil {
			c.in.br.Discard(frameHeaderLen)
			err = c.frame(fh)
		}
		if err != nil {
			return c.readError(err)
		}
	}
	return nil
}

// served reports whether what the consumer waits for has arrived, or will not come.
func (s *Stream) served() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.whole && s.in.queue.messages > 0 || s.in.end() != nil
}

// runHere runs the handler of s and reports whether the caller is still the reader.
// It is not if the handler was about to wait, as far as that is known (MayWait), or
// if the watch has found it running twice. run only.
func (c *Conn) runHere(s *Stream) (reader bool) {
	t := c.role.turn().begin(handling)
	s.own.turn, s.own.together = t, c.in.br.Buffered() > 0
	c.role.now.Store(uint64(t)) // the role may be lost from here on
	c.watchRole()
	returned := false
	defer func() {
		if !returned { // runtime.Goexit
			c.readElsewhere(t)
		}
	}()
	c.cfg.Handler.Run(s)
	returned = true
	return c.role.pass(t, running)
}

// stepBack lets calls and streams read for themselves, and reports whether the caller
// is no longer the reader. run only.
func (c *Conn) stepBack() bool {
	r := &c.role
	if r.streak < stepBackAfter || !r.stoppable || c.in.br.Buffered() > 0 || c.table.calls.Load() > 0 || c.life.unusable.Load() {
		return false
	}
	last := r.last
	r.pass(r.turn(), free)
	c.watchRole()
	c.mu.Lock()
	s := c.table.streams[last]
	asked := c.table.calls.Load() > 0 || s != nil && s.own.asked
	c.mu.Unlock()
	if asked || c.life.unusable.Load() {
		// A consumer that came before the role was free has not taken it, nor asked for a
		// reader.
		c.wantReader()
	}
	return true
}

// alone reports whether the reader should run a call: no other unary call is in
// flight and nothing else has been read.
func (c *Conn) alone() bool { return c.table.calls.Load() == 1 && c.in.br.Buffered() == 0 }

// read is the loop of the reader's goroutine, with one switch for all frames. It
// returns an error, or when its goroutine is no longer the reader.
func (c *Conn) read() (err error, reader bool) {
	if !c.in.begun {
		c.in.begun = true
		if err := c.begin(); err != nil {
			return err, true
		}
	}
	if c.role.failed != nil {
		return c.role.failed, true
	}
	for c.role.streak = 0; ; {
		if s := c.in.lone; s != nil {
			c.in.lone = nil
			switch {
			case !c.cfg.Handler.Quick(s, c.alone()):
				c.cfg.Handler.Ready(s)
			case !c.runHere(s):
				return nil, false
			}
		}
		if c.in.br.Buffered() < frameHeaderLen {
			c.Flush() // answers that gathered while frames were in the buffer
			if c.stepBack() {
				return nil, false
			}
		}
		if c.out.unread.Load() {
			if err := c.awaitPeer(); err != nil {
				return err, true
			}
		}
		fh, err := c.readFrameHeader()
		if err != nil {
			return c.readError(err), true
		}
		if c.in.br.Buffered() < fh.Length {
			c.Flush() // the rest may take long to arrive
		}
		if err := c.frame(fh); err != nil {
			return c.readError(err), true
		}
		if c.in.frames++; c.in.frames%giveWay == 0 {
			c.Flush()
			runtime.Gosched()
		}
	}
}

// begin reads the beginning of a connection.
func (c *Conn) begin() error {
	if c.cfg.HandshakeTimeout > 0 {
		c.setReadDeadline(time.Now().Add(c.cfg.HandshakeTimeout))
	}
	if !c.client {
		if err := c.readPreface(); err != nil {
			return c.readError(err)
		}
	}
	return c.speaksHTTP2()
}

// readError replaces the error of a time-out before the peer's first SETTINGS.
func (c *Conn) readError(err error) error {
	if !c.in.sawPeer && c.timedOut(err) {
		return fault(ErrCodeSettingsTimeout, "the peer's preface and SETTINGS did not come within %v", c.cfg.HandshakeTimeout)
	}
	return err
}

func (c *Conn) readPreface() error {
	var got [len(ClientPreface)]byte
	if _, err := io.ReadFull(c.in.br, got[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fault(ErrCodeProtocol, "client preface is incomplete")
		}
		return err
	}
	if isTLS(got[:]) {
		return fault(ErrCodeProtocol, "the client speaks TLS and this server does not")
	}
	if string(got[:]) != ClientPreface {
		return fault(ErrCodeProtocol, "not an HTTP/2 client preface: %q", got[:])
	}
	return nil
}

// speaksHTTP2 recognizes common mistakes of configuration by the first bytes, which
// would give an unhelpful error if they were parsed as a frame.
func (c *Conn) speaksHTTP2() error {
	b, _ := c.in.br.Peek(frameHeaderLen) // the next read returns the error again
	switch {
	case bytes.HasPrefix(b, []byte("HTTP/")):
		return fault(ErrCodeHTTP11Required, "the peer speaks HTTP/1 and not HTTP/2")
	case isTLS(b):
		return fault(ErrCodeProtocol, "the peer speaks TLS and this side does not")
	}
	return nil
}

// isTLS reports whether b is the beginning of a TLS record: an alert or a handshake
// message.
func isTLS(b []byte) bool {
	return len(b) >= 2 && (b[0] == 21 || b[0] == 22) && b[1] == 3
}
