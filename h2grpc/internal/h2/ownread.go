package h2

import (
	"errors"
	"os"
	"time"
)

// A client's call reads its own response if it is alone: to be woken by another
// goroutine would cost more than the call. The goroutine of Run, which reads
// otherwise, steps back once it has read nothing but the responses of unary calls
// one at a time for a while. Whoever then waits for one, while no other call is
// under way, takes the role of the reader for as long as that lasts.
//
// A call that reads cannot see that its context has ended, and between two calls
// nobody reads. So a watch gives the role back to Run when it finds the same call
// reading twice, or nobody. A call reads at a frame's beginning only, and only
// frames that are in the buffer as a whole, so it can always be stopped: on
// connections of the standard library, of which it is known that a read can be
// ended by a deadline and repeated. Others may have errors of their own for that.
//
// Conn.role holds who reads, and above it a number that grows whenever a call
// begins to read.
const (
	runReads  = iota // Run reads, or has been told to
	nobody           // Run waits to be told
	callReads        // a call does
	stopping         // a call does and is being stopped
	roleBits  = 2
	roleMask  = 1<<roleBits - 1
)

// stepBack lets calls read, and returns when Run is to read again. Run only.
func (c *Conn) stepBack() {
	if !c.client || c.streak < stepBackAfter || !c.stoppable || c.br.Buffered() > 0 || c.calls.Load() > 0 || c.life.unusable.Load() {
		return
	}
	turn := c.role.Load() &^ roleMask
	c.role.Store(turn | nobody)
	if c.life.unusable.Load() || c.calls.Load() > 0 {
		// Whoever came before the role was free did not take it or ask for it.
		c.wantReader()
	}
	c.mu.Lock()
	c.watchSeen = turn | nobody
	if c.watchTimer == nil {
		c.watchTimer = time.AfterFunc(watchPeriod, c.watchRole)
	} else {
		c.watchTimer.Reset(watchPeriod)
	}
	c.mu.Unlock()
	<-c.runAgain
	c.streak = 0
}

// wantReader makes Run the reader if nobody is. Everybody calls it before waiting
// for something that is to be read.
func (c *Conn) wantReader() {
	if r := c.role.Load(); r&roleMask == nobody && c.role.CompareAndSwap(r, r-nobody) {
		c.runAgain <- struct{}{} // has room: it is sent to once for each time that Run waits
	}
}

// watchRole is what the watch does in each period.
func (c *Conn) watchRole() {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.role.Load()
	if r&roleMask == runReads || r&roleMask == stopping {
		return // Run sees to the next watch
	}
	if r == c.watchSeen {
		switch {
		case r&roleMask == nobody:
			c.wantReader()
			return
		case c.role.CompareAndSwap(r, r+stopping-callReads):
			if c.life.phase < closing { // otherwise it will end by that
				c.nc.SetReadDeadline(time.Now())
			}
			return
		}
	}
	c.watchSeen = r
	c.watchTimer.Reset(watchPeriod)
}

// readOwn reads the connection until the response of s is there, if nobody reads
// and no other call is under way. It may return before.
func (s *Stream) readOwn() {
	c := s.c
	r := c.role.Load()
	if r&roleMask != nobody {
		return
	}
	mine := r - nobody + callReads + 1<<roleBits
	if c.calls.Load() != 1 || !c.role.CompareAndSwap(r, mine) {
		c.wantReader()
		return
	}
	err := c.readFor(s)
	c.Flush() // what has been answered while reading
	if err == nil && c.streak > 0 && c.br.Buffered() == 0 && c.role.CompareAndSwap(mine, mine-callReads+nobody) {
		if c.calls.Load() > 0 || c.life.unusable.Load() {
			c.wantReader() // who came meanwhile saw that there was a reader
		}
		return
	}
	c.readFailed = err
	c.mu.Lock()
	if c.role.Swap(mine-callReads+runReads)&roleMask == stopping && c.life.phase < closing {
		c.nc.SetReadDeadline(time.Time{})
	}
	c.mu.Unlock()
	c.runAgain <- struct{}{}
}

// readFor handles frames until the response of s is there, or Run should go on,
// which is told an error if there is one.
func (c *Conn) readFor(s *Stream) error {
	for !s.over() {
		if c.unread.Load() {
			c.streak = 0 // to wait for the peer is Run's
			return nil
		}
		if c.br.Buffered() < frameHeaderLen {
			c.Flush()
		}
		fh, err := c.peekFrameHeader()
		whole := frameHeaderLen + fh.Length
		if err == nil && (whole > c.br.Size() || fh.Type == FrameHeaders && !fh.Flags.Has(FlagEndHeaders)) {
			c.streak = 0 // not whole in the buffer
			return nil
		}
		if err == nil && c.br.Buffered() < whole {
			_, err = c.br.Peek(whole)
			err = cutShort(err)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.streak = 0 // stopped; if the connection is being ended, Run finds out
			return nil
		}
		if err == nil {
			c.br.Discard(frameHeaderLen)
			err = c.frame(fh)
		}
		if err != nil {
			return c.readError(err)
		}
	}
	return nil
}
