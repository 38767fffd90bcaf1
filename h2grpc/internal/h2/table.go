package h2

import "time"

// The streams that exist, may be opened and were closed: which are accepted, how one
// ends, and what is remembered of closed ones, for which frames arrive for a while.

// isIdle reports whether a stream was never opened (RFC 9113 §5.1). Streams above the
// last id of our final GOAWAY were opened although we did not record it (§6.8).
func (c *Conn) isIdle(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isIdleLocked(id)
}

func (c *Conn) isIdleLocked(id uint32) bool {
	if c.client {
		return id%2 == 0 || id >= c.table.nextID
	}
	return id%2 == 0 || (id > c.table.lastPeer && c.life.said != theLast)
}

// rememberReset, forgetReset and wasReset manage the streams that this side reset:
// see recentResets.
func (c *Conn) rememberReset(id uint32) {
	c.table.resets[c.table.resetPos] = id
	c.table.resetPos = (c.table.resetPos + 1) % recentResets
}

func (c *Conn) forgetReset(id uint32) {
	for i, r := range c.table.resets {
		if r == id {
			c.table.resets[i] = 0
		}
	}
}

func (c *Conn) wasReset(id uint32) bool {
	for _, r := range c.table.resets {
		if r == id {
			return true
		}
	}
	return false
}

// rememberClose records that the server closed a stream of this client.
func (c *Conn) rememberClose(id uint32, how closure) {
	c.table.closes[c.table.closePos].id, c.table.closes[c.table.closePos].how = id, how
	c.table.closePos = (c.table.closePos + 1) % recentResets
}

// resetAfterEnd records that the server has reset a stream that it had ended. What it
// sends after that is an error of the stream alone: gRPC's C core (1.51) sends both
// at the end of a deadline, and both again when its handler returns. c.mu is held.
func (c *Conn) resetAfterEnd(id uint32) {
	for i := range c.table.closes {
		if c.table.closes[i].id == id {
			c.table.closes[i].how = byReset
		}
	}
}

func (c *Conn) closedByServer(id uint32) closure {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.table.closes {
		if e.id == id {
			return e.how
		}
	}
	return notClosed
}

// afterClose handles a frame on a stream that the server itself has closed: RFC 9113
// §5.1 closed. After END_STREAM that may be treated as a connection error, and a
// server that does this has lost track of its streams.
func (c *Conn) afterClose(id uint32, what string) error {
	if c.closedByServer(id) == byEnd {
		return fault(ErrCodeStreamClosed, "%s for stream %d after its end", what, id)
	}
	c.resetStream(id, ErrCodeStreamClosed, what+" after RST_STREAM")
	return nil
}

// unheard reports whether a client opened a stream after our final GOAWAY.
func (c *Conn) unheard(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.client && id > c.table.lastPeer
}

// remove is removeLocked, and ends the connection if that was waiting for its last
// stream.
func (c *Conn) remove(s *Stream) {
	s.gone, s.send.ended = true, true
	delete(c.table.streams, s.ID)
	c.peerHasSent(s)
	c.unreserve(s)
	s.wakeSender()
	if c.client {
		c.table.live--
		if s.whole {
			c.table.calls.Add(-1)
		}
		c.admit()
	} else if !s.started {
		c.endHandling(s)
	}
}

// removeLocked removes a stream from the table.
func (c *Conn) removeLocked(s *Stream) {
	if !s.gone {
		c.remove(s)
		c.endIfDrained()
	}
}

// resetStream answers a fault of one stream, which may be unknown. Reader only.
func (c *Conn) resetStream(id uint32, code ErrCode, reason string) {
	c.useless(resetCost)
	c.mu.Lock()
	s := c.table.streams[id]
	c.rememberReset(id)
	c.appendReset(id, code)
	if s != nil {
		c.removeLocked(s)
	}
	c.mu.Unlock()
	if s != nil {
		s.reader.drop() // its handler may hold it for long
		s.terminate(&ResetError{Code: code, Local: true, Reason: reason}, false)
	}
}

// admit lets one waiting caller open a stream if there is room. It is called again
// when a stream was opened, and when one has ended.
func (c *Conn) admit() {
	for n := c.table.most - c.table.live; n > 0 && len(c.table.opening) > 0; n-- {
		close(c.table.opening[0])
		c.table.opening = c.table.opening[1:]
	}
}

// endHandling ends the handling of a stream on a server. c.mu is held.
func (c *Conn) endHandling(s *Stream) {
	c.table.live--
	c.table.headerBytes -= s.headerCost
	if s.whole {
		c.table.calls.Add(-1)
	}
	c.table.handlerLate = false
	if c.table.handlerEnds != nil {
		close(c.table.handlerEnds)
		c.table.handlerEnds = nil
	}
}

// awaitHandler waits for the return of a handler whose stream has ended, and reports
// whether one has returned: see handlerWait. c.mu is held, and released while
// waiting. Reader only.
func (c *Conn) awaitHandler() bool {
	if c.table.live <= len(c.table.streams) || c.table.handlerLate {
		return false
	}
	c.flushLocked()
	if c.table.live <= len(c.table.streams) {
		return true // one has returned meanwhile
	}
	c.table.handlerLate = true
	ends := make(chan struct{})
	c.table.handlerEnds = ends
	c.mu.Unlock()
	t := time.NewTimer(handlerWait)
	select {
	case <-ends:
	case <-t.C:
	}
	t.Stop()
	c.mu.Lock()
	c.table.handlerEnds = nil
	return !c.table.handlerLate
}

// hasRoom is awaitRoom without waiting.
func (c *Conn) hasRoom(cost int) bool {
	return c.table.live < int(c.cfg.MaxStreams) && c.table.headerBytes+cost <= c.headersMost()
}

// awaitRoom reports whether there is room for another stream, whose headers take
// cost, possibly after waiting for a handler. c.mu is held, and may be released while
// waiting.
func (c *Conn) awaitRoom(cost int) bool {
	for !c.hasRoom(cost) {
		if !c.awaitHandler() {
			return false
		}
	}
	return true
}

// headersMost returns how much memory the headers of all calls together may take,
// until the calls have ended or their consumers have taken the headers: see
// headerBudget. There is always room for one block of the limit's size.
func (c *Conn) headersMost() int {
	d := c.in.dec
	return max(headerBudget, d.limit+d.maxFields*(fieldCost-32))
}

// noRoom is the error text of a request for which awaitRoom returns false.
const noRoom = "the limit on concurrent streams is reached"

// terminate ends the receiving side with err. Messages received before can still be
// read, unless drop is set.
func (s *Stream) terminate(err error, drop bool) {
	s.mu.Lock()
	first := s.in.err == nil && !(s.in.ended && s.in.trailer != nil)
	if s.in.err == nil {
		s.in.err = err
	}
	s.headKnown()
	freed := 0
	if drop {
		freed = s.in.queue.drop()
	}
	s.mu.Unlock()
	s.c.consumed(freed)
	s.wake()
	if first && !s.c.client {
		s.c.cfg.Handler.Reset(s)
	}
}

// headKnown wakes those that wait for the head: it has arrived, or will not come.
// s.mu is held.
func (s *Stream) headKnown() {
	if s.in.headWait != nil {
		close(s.in.headWait)
		s.in.headWait = nil
	}
}

func (s *Stream) init(c *Conn, id uint32) {
	s.c, s.ID, s.MaxMessage = c, id, c.cfg.MaxMessage
	s.reader.left = -1
}

// spareStream returns a stream for a client's next call.
func (c *Conn) spareStream() *Stream {
	if s, ok := c.table.spare.Get().(*Stream); ok {
		return s
	}
	return &Stream{notify: make(chan struct{}, 1)}
}

// streamFault resets the stream of a malformed frame.
func (c *Conn) streamFault(fh FrameHeader, code ErrCode) error {
	if c.isIdle(fh.StreamID) && fh.Type != FramePriority {
		return fault(code, "broken %v frame for a stream that was not opened", fh.Type)
	}
	c.resetStream(fh.StreamID, code, "broken "+fh.Type.String()+" frame")
	return nil
}

// enter returns the stream whose frame is about to be read; its assembler belongs to
// the reader until leave. c.mu is held. Reader only.
func (c *Conn) enter(id uint32) *Stream {
	s := c.table.streams[id]
	c.in.reading.Store(s)
	return s
}

// leave ends what enter began.
func (c *Conn) leave(s *Stream) {
	if s != nil && !c.in.reading.CompareAndSwap(s, nil) {
		s.reader.drop()
	}
}

// abandon drops the received part of a message of a stream that has ended: its
// handler may hold the stream for long. c.mu is held.
func (c *Conn) abandon(s *Stream) {
	if !c.in.reading.CompareAndSwap(s, &condemned) {
		s.reader.drop()
	}
}

// condemned is the value of inbox.reading after its stream was reset.
var condemned Stream
