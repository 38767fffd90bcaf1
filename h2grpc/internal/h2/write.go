package h2

import (
	"net"
	"runtime"
	"time"
)

// appendData queues a DATA frame. If the payload, which is not empty then, is in
// from, it is written from there.
func (c *Conn) appendData(id uint32, payload []byte, from *Buffer, end bool) {
	c.progress, c.answered = true, true
	fh := FrameHeader{Length: len(payload), Type: FrameData, StreamID: id}
	if end {
		fh.Flags = FlagEndStream
	}
	c.pending = fh.append(c.pending)
	if from == nil {
		c.pending = append(c.pending, payload...)
		return
	}
	from.hold()
	c.parts = append(c.parts, part{len(c.pending), payload, from})
	c.partBytes += len(payload)
}

// appendBlock queues a header block.
func (c *Conn) appendBlock(id uint32, block []byte, end bool) {
	c.progress, c.answered = true, true
	c.pending = appendHeaders(c.pending, id, block, end, c.peerFrame)
	if cap(c.block) > spareCap {
		c.block = nil
	}
}

// appendReset queues an RST_STREAM. Like every answer that a peer can provoke
// it counts against controlBytes.
func (c *Conn) appendReset(id uint32, code ErrCode) {
	before := len(c.pending)
	c.pending = appendRSTStream(c.pending, id, code)
	c.countControl(len(c.pending) - before)
}

// countControl counts an answer of n bytes that did not wait for room.
func (c *Conn) countControl(n int) {
	if c.controlSize += n; c.controlSize > controlBytes {
		c.unread.Store(true)
	}
}

// awaitPeer waits until the peer has read of the answers that it has provoked. The
// reader calls it before it reads more.
func (c *Conn) awaitPeer() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := time.NewTimer(stoppedTime)
	defer t.Stop()
	for c.controlSize > controlBytes && c.life.phase < closing {
		if c.flushLocked(); c.controlSize <= controlBytes {
			break
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		late := false
		select {
		case <-room:
		case <-t.C:
			late = true
		}
		c.mu.Lock()
		if late {
			return fault(ErrCodeEnhanceYourCalm, "the peer has not read for %v what it asked for", stoppedTime)
		}
	}
	return nil
}

// Flush sends what is queued.
func (c *Conn) Flush() {
	c.mu.Lock()
	c.flushLocked()
	c.mu.Unlock()
}

// flushLocked makes the caller the writer if nobody is. It never waits for the
// socket: where the socket takes no more, or cannot be asked, a goroutine goes
// on. c.mu is released in between.
func (c *Conn) flushLocked() {
	if c.writing || len(c.pending) == 0 {
		return
	}
	c.writing = true
	if c.try == nil {
		go c.writeOn()
		return
	}
	if len(c.pending) < yieldBelow && len(c.parts) == 0 && c.calls.Load() > 1 {
		// Others are about to add to this write.
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	for len(c.pending) > 0 {
		c.takePending()
		for p := c.out.next(partMost); len(p) > 0; p = c.out.next(partMost) {
			c.mu.Unlock()
			n, err := c.tryWrite(p)
			c.mu.Lock()
			if err != nil {
				c.writeFailed(err)
				c.endWriting()
				return
			}
			c.wrote(n)
			if n < len(p) || c.try.behind() {
				go c.writeOn()
				return // it is the writer now
			}
		}
		c.keepSpare()
	}
	c.endWriting()
}

// tryWrite writes what the socket takes of p without waiting. Over TLS the rest
// is with tryConn, encrypted.
func (c *Conn) tryWrite(p []byte) (n int, err error) {
	if c.nc != net.Conn(c.try) {
		return c.nc.Write(p)
	}
	return c.try.TryWrite(p)
}

// flushSoon lets more gather before it is written: a goroutine writes as soon
// as it gets to run.
func (c *Conn) flushSoon() {
	if c.writing || c.deferred || len(c.pending) == 0 {
		return
	}
	c.deferred = true
	go func() {
		c.mu.Lock()
		c.deferred = false
		c.flushLocked()
		c.mu.Unlock()
	}()
}

// writeOn is the writer on a goroutine that may wait: it writes what tryConn has
// kept, the rest of out, and then whatever is pending.
func (c *Conn) writeOn() {
	var err error
	if c.try != nil {
		if err = c.try.drain(); err == nil {
			c.try.mayWait(true)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for err == nil {
		p := c.out.next(partMost)
		if len(p) == 0 {
			c.keepSpare()
			if len(c.pending) == 0 {
				break
			}
			c.takePending()
			continue
		}
		c.mu.Unlock()
		var n int
		n, err = c.nc.Write(p)
		c.mu.Lock()
		c.wrote(n)
	}
	if err != nil {
		c.writeFailed(err)
	}
	if c.try != nil {
		c.try.mayWait(false)
	}
	c.endWriting()
}

// takePending takes what is pending for the writer, which has written everything
// before, and lets those who wait for room go on.
func (c *Conn) takePending() {
	parts := c.out.parts[:0]
	c.out = output{buf: c.pending, parts: c.parts, moved: c.out.moved, since: c.out.since}
	c.pending, c.parts, c.spare = c.spare[:0], parts, nil
	if c.controlSize = 0; c.unread.Load() {
		c.unread.Store(false)
	}
	c.wakeBlocked()
	c.roomAgain()
}

// wrote takes note that the first n bytes of what out has next are written.
func (c *Conn) wrote(n int) {
	c.out.moved += n
	if n = c.out.wrote(n); n > 0 {
		c.partBytes -= n
		c.wakeBlocked()
	}
}

// stuck says whether the peer has been reading at less than slowRate for slowAfter,
// with something to be written all the while. It has to be asked twice to know.
func (c *Conn) stuck() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.writing:
	case c.out.since.IsZero(), time.Since(c.out.since) >= slowAfter && !slow(c.out.moved, c.out.since, slowAfter):
		c.out.since, c.out.moved = time.Now(), 0 // what was read until now does not count later
	default:
		return slow(c.out.moved, c.out.since, slowAfter)
	}
	return false
}

// keepSpare keeps the buffer of out, which has been written.
func (c *Conn) keepSpare() {
	if buf := c.out.buf; cap(buf) <= spareCap && cap(buf) > cap(c.spare) {
		c.spare = buf[:0]
	}
	c.out.buf, c.out.off = nil, 0
}

func (c *Conn) endWriting() {
	c.writing, c.out.since = false, time.Time{}
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// writeFailed ends the connection after a write error. The reader may have
// unread data that says why (a GOAWAY), so it is given a moment.
func (c *Conn) writeFailed(err error) {
	c.out.drop()
	(&output{buf: c.pending, parts: c.parts}).drop()
	c.pending, c.parts, c.partBytes = c.pending[:0], c.parts[:0], 0
	c.roomAgain()
	if c.life.become(closing, &ConnError{Err: err}) {
		c.nc.SetReadDeadline(time.Now().Add(lingerTime))
		c.wantReader()
	}
}

// waitForRoom waits until the peer has read enough for more to be queued. c.mu
// is held, and released meanwhile.
func (c *Conn) waitForRoom(done <-chan struct{}) error {
	for len(c.pending) >= pendingCap {
		if c.flushLocked(); len(c.pending) < pendingCap {
			return nil
		}
		if c.life.phase >= closing {
			return ErrStreamEnded
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		stop := false
		select {
		case <-room:
		case <-done:
			stop = true
		}
		c.mu.Lock()
		if stop {
			return ErrStreamEnded
		}
	}
	return nil
}

// roomAgain wakes those in waitForRoom. c.mu is held.
func (c *Conn) roomAgain() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// wakeBlocked lets the oldest sender that waits for the connection go on; it
// wakes the next when it has taken what it needs.
func (c *Conn) wakeBlocked() {
	for len(c.blocked) > 0 && c.sendWindow > 0 && len(c.pending) < pendingCap && c.partBytes <= partsCap-partMost {
		s := c.blocked[0]
		c.blocked = c.blocked[1:]
		s.blocked = false
		if !s.gone {
			s.wakeSender()
			return
		}
	}
}
