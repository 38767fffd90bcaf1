package h2

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"time"
)

// Those who read: a goroutine of run, or a call or a stream for itself (role.go).

// readOwn reads the connection until what the consumer of s waits for is there, if
// nobody reads and s is alone, and says whether it is. It may return before.
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
	c.Flush() // what has been answered while reading
	if err != nil || r.streak == 0 || c.in.br.Buffered() > 0 || !r.pass(mine, free) {
		return c.handOver(mine, err)
	}
	if c.table.calls.Load() > 0 || c.life.unusable.Load() {
		c.wantReader() // who came meanwhile saw that there was a reader
	}
	return true
}

// handOver makes a goroutine of run the reader in place of one who read for itself,
// and tells it an error if there is one. It returns false.
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

// readFor handles frames until what the consumer of s waits for is there, or run
// should go on.
func (c *Conn) readFor(s *Stream) error {
	for !s.served() {
		if c.out.unread.Load() {
			c.role.streak = 0 // to wait for the peer is for run
			return nil
		}
		if c.in.br.Buffered() < frameHeaderLen {
			c.Flush()
		}
		fh, err := c.peekFrameHeader()
		whole := frameHeaderLen + fh.Length
		if err == nil && (whole > c.in.br.Size() || fh.Type == FrameHeaders && (!c.client || !fh.Flags.Has(FlagEndHeaders))) {
			c.role.streak = 0 // not whole in the buffer, or a call that begins
			return nil
		}
		if err == nil && c.in.br.Buffered() < whole {
			_, err = c.in.br.Peek(whole)
			err = cutShort(err)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.role.streak = 0 // stopped; if the connection is being ended, run finds out
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

// served says whether what the consumer waits for is there, or will not come.
func (s *Stream) served() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.whole && s.in.queue.messages > 0 || s.in.end() != nil
}

// runHere runs the handler of s and says whether the caller still is the reader. It
// is not if the handler was about to wait, as far as we can know (MayWait), or the
// watch has found it twice. run only.
func (c *Conn) runHere(s *Stream) (reader bool) {
	t := c.role.turn().begin(handling)
	s.own.turn, s.own.together = t, c.in.br.Buffered() > 0
	c.role.now.Store(uint64(t)) // the role may be gone from here on
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

// stepBack lets others read, and says whether the caller is the reader no more.
// run only.
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
		// Whoever came before the role was free did not take it or ask for it.
		c.wantReader()
	}
	return true
}

// alone says whether a call should be run by the reader: no other unary call is
// under way and nothing else has been read.
func (c *Conn) alone() bool { return c.table.calls.Load() == 1 && c.in.br.Buffered() == 0 }

// read is the reader goroutine's loop: one inbound switch for all frames. It ends
// with an error, or when its goroutine is the reader no more.
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
			c.Flush() // answers gathered while frames were at hand
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
			c.Flush() // its rest may be long in coming
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

// begin reads what a connection begins with.
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

// readError says what a time-out before the peer's first SETTINGS means.
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

// speaksHTTP2 recognizes the usual mistakes of configuration by the first bytes,
// which as a frame's would say nothing to a reader.
func (c *Conn) speaksHTTP2() error {
	b, _ := c.in.br.Peek(frameHeaderLen) // an error comes again
	switch {
	case bytes.HasPrefix(b, []byte("HTTP/")):
		return fault(ErrCodeHTTP11Required, "the peer speaks HTTP/1 and not HTTP/2")
	case isTLS(b):
		return fault(ErrCodeProtocol, "the peer speaks TLS and this side does not")
	}
	return nil
}

// isTLS says whether b begins a TLS record: an alert or a handshake message.
func isTLS(b []byte) bool {
	return len(b) >= 2 && (b[0] == 21 || b[0] == 22) && b[1] == 3
}
