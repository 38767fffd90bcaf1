package h2

import "time"

// A message waits for room before it is encoded, and messages that keep room from
// others lose it.

// Congested reports whether so many responses of unary calls are unread by the client
// that no more should be made. Config.Freed is called when that may have changed.
func (c *Conn) Congested() bool { return c.ledger.congested.Load() }

// Reserve waits until a message of n bytes, with its prefix, may be encoded and
// written to the stream, or until done is closed. It returns ErrStreamEnded if the
// stream can send no more, or if done is closed. The caller gives the claim to the
// message's buffer, or drops it.
func (s *Stream) Reserve(done <-chan struct{}, n int) (Claim, error) {
	return s.reserve(done, n, false)
}

// ReserveStatus is Reserve for n bytes of trailers, which need no window. The caller
// drops the claim when they are written.
func (s *Stream) ReserveStatus(done <-chan struct{}, n int) (Claim, error) {
	return s.reserve(done, n, true)
}

func (s *Stream) reserve(done <-chan struct{}, n int, trailers bool) (Claim, error) {
	if !Counted(n) {
		return Claim{}, nil
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl, ok, err := s.reserveNow(n, trailers, nil); ok || err != nil {
		return cl, err
	}
	if s.send.ready == nil {
		s.send.ready = make(chan struct{}, 1)
	}
	w := &sendWaiter{class: received, ready: s.send.ready}
	defer c.ledger.quit(w)
	often := asideAfter
	if c.cfg.Stall > 0 {
		often = min(often, c.cfg.Stall)
	}
	late := time.NewTicker(often)
	defer late.Stop()
	begun := time.Now()
	s.MayWait()
	for {
		if cl, ok, err := s.reserveNow(n, trailers, w); ok || err != nil {
			return cl, err
		}
		c.flushLocked() // messages that use up the window have to be written first
		c.wantReader()
		c.mu.Unlock()
		stop, tick := false, false
		select {
		case <-s.send.ready:
		case <-done:
			stop = true
		case <-late.C:
			tick = true
		}
		if tick && c.cfg.Stall > 0 && time.Since(begun) >= c.cfg.Stall && c.ledger.first(w) {
			c.endSlow(c.cfg.Stall, func(cl *Claim) bool { return int(cl.class) == w.class || cl.class == aside },
				"the client does not read a message while others wait for its memory; see StallTimeout of the server's ServerConfig")
		}
		c.mu.Lock()
		if stop {
			return Claim{}, ErrStreamEnded
		}
		if tick {
			c.setAside(w)
		}
	}
}

// TryReserve is Reserve without waiting.
func (s *Stream) TryReserve(n int) (Claim, bool) {
	if !Counted(n) {
		return Claim{}, true
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	cl, ok, _ := s.reserveNow(n, false, nil)
	return cl, ok
}

// reserveNow is reserve without waiting; if there is no room, w waits, unless it is
// nil. c.mu is held.
func (s *Stream) reserveNow(n int, trailers bool, w *sendWaiter) (cl Claim, ok bool, err error) {
	if s.send.ended {
		return Claim{}, false, ErrStreamEnded
	}
	class := begun
	switch {
	case s.whole && !s.c.client, trailers:
		class = unary
	case s.send.window >= n:
		class = covered
	case s.send.window <= 0:
		if w != nil {
			s.c.ledger.quit(w)
		}
		return Claim{}, false, nil
	case s.send.heard:
		class = awaited
	}
	if cl, ok = s.c.ledger.take(class, n, w); ok {
		s.send.heard = false
	}
	return cl, ok, nil
}

// UnsizedSlot begins to encode a message of unknown size. It waits while the
// connection encodes several others.
func (c *Conn) UnsizedSlot() (t EncodeSlot) {
	t.l = &c.ledger
	if t.l.large.Load() {
		t.l.slots <- struct{}{}
		t.mine = true
	}
	return t
}

// setAside lets w, if it is the first in its class, no longer wait for messages that
// do not move: a peer may read its streams in any order, or some not for long, and
// one may depend on another. A server keeps no more than asideBudget of such
// messages, because clients open its streams; the messages that a client sends come
// from its own program. c.mu is held.
func (c *Conn) setAside(w *sendWaiter) {
	if w.class != awaited && w.class != begun || !c.ledger.first(w) {
		return
	}
	for _, s := range c.table.streams {
		cl := s.send.claim
		if cl == nil || int(cl.class) != w.class || !slow(cl.n-s.send.unsent-s.send.then, s.send.since, asideAfter) {
			continue
		}
		if !c.ledger.setAside(cl, c.client) {
			return
		}
	}
}

// endSlow resets the streams with a message which has been there for at least age,
// has moved at less than slowRate, and for whose claim which returns true. Other
// messages may be waiting for its memory.
func (c *Conn) endSlow(age time.Duration, which func(*Claim) bool, reason string) {
	var list []*Stream
	c.mu.Lock()
	withheld := c.withheld()
	for _, s := range c.table.streams {
		s.mu.Lock()
		come := s.in.partial
		s.mu.Unlock()
		switch {
		case s.send.claim != nil && which(s.send.claim):
			if slow(s.send.claim.n-s.send.unsent-s.send.then, s.send.since, age) {
				list = append(list, s)
			} else if age == slowAfter && time.Since(s.send.since) >= age {
				s.send.then, s.send.since = s.send.claim.n-s.send.unsent, time.Now()
			}
		case s.recv.claim.l == nil || !which(&s.recv.claim):
		case withheld: // the peer is not at fault
			s.recv.excused = time.Now()
		case slow(come-s.recv.then, s.recv.since, age):
			if time.Since(s.recv.excused) >= age {
				list = append(list, s)
			}
		case age == slowAfter && time.Since(s.recv.since) >= age:
			s.recv.then, s.recv.since = come, time.Now() // earlier bytes do not count from now on
		}
	}
	c.mu.Unlock()
	for _, s := range list {
		s.Reset(ErrCodeEnhanceYourCalm, reason)
	}
}

const starved = "other messages waited for the memory that this one occupies; MessageMemory of this side's configuration is the limit for all"

// giveUp ends what is slow of the connection's part of an account: streams with a
// message that the peer sends or reads slowly, and the connection if the peer reads
// nothing of what is written.
func (c *Conn) giveUp(a *Account) {
	c.endSlow(slowAfter, func(cl *Claim) bool { return cl.account == a }, starved)
	if t := c.cfg.Sent; t != nil && (a == t || a == t.giants) && c.stuck() {
		c.Abort(ErrCodeEnhanceYourCalm, starved)
	}
}

// keepers returns the streams that have held for heldMost a received message that
// counts for the account: it was not consumed, whichever side is at fault.
func (c *Conn) keepers(a *Account) (list []keeper) {
	c.mu.Lock()
	defer c.mu.Unlock()
	withheld := c.withheld()
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	for s := range c.ledger.holders {
		if s.recv.account == a && (s.recv.claim.l == nil || withheld) && time.Since(s.recv.since) >= heldMost {
			list = append(list, keeper{s.recv.since, func() { s.Reset(ErrCodeEnhanceYourCalm, starved) }})
		}
	}
	return list
}
