package h2

import "time"

// What a peer may waste: processor time with frames that carry nothing, and memory
// with answers that it does not read.

// idleFrame counts a frame that carries nothing; useless counts n of them, for
// something that costs as much; see idleFrames. Reader only.
func (c *Conn) idleFrame() { c.useless(1) }

func (c *Conn) useless(n int) {
	if c.in.idleLeft -= n; c.in.idleLeft > 0 {
		return
	}
	c.in.idleLeft = idleFrames
	c.mu.Lock()
	rest := !c.out.progress
	c.out.progress = false
	c.flushLocked()
	c.mu.Unlock()
	if rest {
		<-time.NewTimer(idleRest).C // too short to be worth interrupting
	}
}

// awaitPeer waits until the peer has read some of the answers that it caused. The
// reader calls it before it reads more.
func (c *Conn) awaitPeer() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := time.NewTimer(stoppedTime)
	defer t.Stop()
	for c.out.answers > controlBytes && c.life.phase < closing {
		if c.flushLocked(); c.out.answers <= controlBytes {
			break
		}
		if c.out.room == nil {
			c.out.room = make(chan struct{})
		}
		room := c.out.room
		c.mu.Unlock()
		late := false
		select {
		case <-room:
		case <-t.C:
			late = true
		}
		c.mu.Lock()
		if late {
			return fault(ErrCodeEnhanceYourCalm, "the peer has not read the answers to its frames for %v", stoppedTime)
		}
	}
	return nil
}

// countControl counts an answer of n bytes that was queued without waiting for room.
func (c *Conn) countControl(n int) {
	if c.out.answers += n; c.out.answers > controlBytes {
		c.out.unread.Store(true)
	}
}

// appendReset queues an RST_STREAM. Like every answer that a peer can cause, it
// counts against controlBytes.
func (c *Conn) appendReset(id uint32, code ErrCode) {
	before := len(c.out.pending)
	c.out.pending = appendRSTStream(c.out.pending, id, code)
	c.countControl(len(c.out.pending) - before)
}

// tooManyPings reports whether more PINGs have arrived than the time allows: gRPC's
// keepalive document. HEADERS and DATA that a server sends reset the count, so that
// clients that measure the connection whenever they receive something, as grpc-go's
// do, do not use it up. The average counts, not the time between two PINGs: a process
// that a debugger had stopped receives the PINGs of an hour at once. c.mu is held.
func (c *Conn) tooManyPings() bool {
	if c.client || c.cfg.MinPing <= 0 {
		return false
	}
	now := time.Now()
	if c.pings.answered || c.pings.due.IsZero() {
		c.pings.answered, c.pings.due = false, now
	}
	tooMany := c.pings.due.Sub(now) > pingStrikes*c.cfg.MinPing
	c.pings.due = c.pings.due.Add(c.cfg.MinPing)
	return tooMany
}
