package h2

import (
	"slices"
	"time"
)

// What the peer may send: window for streams and for the connection, as fast as
// consumers read, and for large messages as far as the ledger has room.

// credit returns the window to grant. inc is ordinary window; large is what the
// message that is coming needs beyond it, subject to the connection's assembly
// budget. s.mu is held.
func (s *Stream) credit() (inc, large int) {
	in := &s.in
	if in.ended || in.err != nil || in.failed != nil {
		return 0, 0
	}
	share := int(s.c.recv.share.Load())
	want := share - in.queue.bytes - in.partial
	// The message that is coming is blocked, or its end would be.
	next := in.queue.bytes == 0 && in.need > 0 && in.need+endRoom > in.window
	if inc = want - in.window; inc < share/2 && !next {
		inc = 0
	}
	inc = max(inc, 0)
	in.window += inc
	if next && in.need+endRoom > in.window {
		large = in.need + endRoom - in.window
	}
	return inc, large
}

// grant sends WINDOW_UPDATE for a stream, as credit has decided.
func (c *Conn) grant(s *Stream, inc, large int) {
	if inc == 0 && large == 0 {
		return
	}
	c.mu.Lock()
	c.grantLocked(s, inc, large)
	c.mu.Unlock()
}

func (c *Conn) grantLocked(s *Stream, inc, large int) {
	if s.gone || s.recv.ended {
		return
	}
	switch {
	case large > 0 && s.recv.reserved > 0:
		// Its window has shrunk meanwhile. If it had to wait for others now, each of them
		// might wait for all.
		if n := s.lacks(); n > 0 {
			s.recv.claim.add(n)
			c.reserve(s, n)
		}
	case large > 0:
		if s.recv.wanted == 0 {
			c.recv.waiting = append(c.recv.waiting, s)
			s.recv.assembled = true
		}
		s.recv.wanted = large
	}
	if inc > 0 {
		c.out.pending = appendWindowUpdate(c.out.pending, s.ID, inc)
	}
	c.grantLarge()
}

// grantLarge grants window for large messages, oldest first, as far as the budget and
// the shared account allow.
func (c *Conn) grantLarge() {
	for len(c.recv.waiting) > 0 {
		s := c.recv.waiting[0]
		if n := s.lacks(); n > 0 && s.recv.wanted > 0 {
			if c.recv.reserved > 0 && c.recv.reserved+int64(n) > assemblyBudget {
				if w := &c.ledger.awaits; w.stream != s || w.request != nil && w.request.a.has(w.request) {
					c.ledger.notAwaited()
				}
				return
			}
			cl, ok := c.ledger.coming(s, n)
			if !ok {
				return
			}
			if cl.l != nil {
				s.recv.claim, s.recv.since, s.recv.then, s.recv.account = cl, time.Now(), 0, cl.account
			}
			c.reserve(s, n)
		}
		c.recv.waiting = c.recv.waiting[1:]
		s.recv.wanted = 0
	}
	c.ledger.notAwaited()
}

// grantAgain is grantLarge after a wait for the account.
func (c *Conn) grantAgain() {
	c.mu.Lock()
	c.grantLarge()
	c.flushLocked()
	c.mu.Unlock()
}

// lacks returns how much window the message that is coming lacks. c.mu is held.
func (s *Stream) lacks() int {
	if s.gone || s.recv.ended {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.need + endRoom - s.in.window
}

// reserve grants n bytes of window to the message that is coming.
func (c *Conn) reserve(s *Stream, n int) {
	s.mu.Lock()
	s.in.window += n
	s.in.large = true
	s.mu.Unlock()
	s.recv.reserved += n
	c.recv.reserved += int64(n)
	c.out.pending = appendWindowUpdate(c.out.pending, s.ID, n)
}

// unreserve gives back a stream's part of the assembly budget.
func (c *Conn) unreserve(s *Stream) {
	waited := s.recv.wanted > 0
	if waited {
		// Nothing of it may stay: the next streams to end may be as many as there are ids.
		c.recv.waiting = slices.DeleteFunc(c.recv.waiting, func(o *Stream) bool { return o == s })
	}
	s.recv.wanted = 0
	s.recv.claim.Drop()
	s.recv.claim = Claim{}
	c.recv.reserved -= int64(s.recv.reserved)
	if s.recv.reserved > 0 || waited {
		s.recv.reserved = 0
		c.grantLarge()
	}
}

// received accounts for a message of n bytes that the consumer has taken.
func (c *Conn) received(s *Stream, n, inc, large int) {
	left := c.recv.buffered.Add(int64(-n))
	most := c.bufferedMost()
	crossed := left < most && left+int64(n) >= most
	c.noneLarge(n, left)
	if inc == 0 && large == 0 && !crossed {
		return
	}
	c.mu.Lock()
	c.creditConn()
	c.mu.Unlock()
	c.grant(s, inc, large)
	c.Flush()
}

// consumed accounts for bytes that were dropped.
func (c *Conn) consumed(n int) {
	if n > 0 {
		c.noneLarge(n, c.recv.buffered.Add(int64(-n)))
		c.mu.Lock()
		c.creditConn()
		c.flushLocked()
		c.mu.Unlock()
	}
}

// noneLarge forgets the largest message once n bytes were taken and so little is left
// that it makes no difference.
func (c *Conn) noneLarge(n int, left int64) {
	if n > loneWindow && left < bufferedBudget {
		c.recv.largest.Store(0)
	}
}

// bufferedMost returns how many bytes of whole messages may wait for consumers.
func (c *Conn) bufferedMost() int64 { return c.recv.largest.Load() + bufferedBudget }

// takeWindow subtracts n bytes of DATA from the connection's window, which has room
// for them. c.mu is held.
func (c *Conn) takeWindow(n int) {
	c.recv.window -= n
	c.recv.credit += n
	c.creditConn()
}

// creditConn renews the connection's window when half of it is used, unless too much
// waits for consumers.
func (c *Conn) creditConn() {
	if c.recv.credit >= connWindow/2 && c.recv.shrinking == 0 && c.recv.buffered.Load() < c.bufferedMost() && c.life.phase < closed {
		c.out.pending = appendWindowUpdate(c.out.pending, 0, c.recv.credit)
		c.recv.window += c.recv.credit
		c.recv.credit = 0
	}
}

// withheld reports that the connection's window is not renewed, so that no DATA
// comes.
func (c *Conn) withheld() bool { return c.recv.buffered.Load() >= c.bufferedMost() }
