package h2

import (
	"net"
	"runtime"
	"time"
)

// appendData queues a DATA frame.
func (c *Conn) appendData(id uint32, payload []byte, end bool) {
	c.progress, c.answered = true, true
	fh := FrameHeader{Length: len(payload), Type: FrameData, StreamID: id}
	if end {
		fh.Flags = FlagEndStream
	}
	c.pending = append(fh.append(c.pending), payload...)
}

// appendBlock queues a header block.
func (c *Conn) appendBlock(id uint32, block []byte, end bool) {
	c.progress, c.answered = true, true
	c.pending = appendHeaders(c.pending, id, block, end, c.peerFrame)
}

// appendReset queues an RST_STREAM. Like every answer that a peer can provoke
// it counts against controlBudget.
func (c *Conn) appendReset(id uint32, code ErrCode) {
	before := len(c.pending)
	c.pending = appendRSTStream(c.pending, id, code)
	c.countControl(len(c.pending) - before)
}

// countControl counts an answer of n bytes that did not wait for room.
func (c *Conn) countControl(n int) {
	c.control++
	c.controlSize += n
	if (c.control > controlBudget || c.controlSize > controlBytes) && c.aborted == nil {
		c.abortLocked(&connFault{ErrCodeEnhanceYourCalm, "too many answers are waiting for a peer that does not read them"})
	}
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
		go c.writeOn(nil, nil)
		return
	}
	if len(c.pending) < yieldBelow && c.calls.Load() > 1 {
		// Others are about to add to this write.
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	for len(c.pending) > 0 {
		buf := c.takePending()
		c.mu.Unlock()
		rest, err := c.tryWrite(buf)
		c.mu.Lock()
		if err != nil {
			c.writeFailed(err)
			break
		}
		if len(rest) > 0 || c.try.behind() {
			go c.writeOn(buf, rest)
			return // it is the writer now
		}
		c.keepSpare(buf)
	}
	c.endWriting()
}

// tryWrite writes buf without waiting and returns what the socket did not take.
// Over TLS the rest is with tryConn, encrypted.
func (c *Conn) tryWrite(buf []byte) (rest []byte, err error) {
	if c.nc != net.Conn(c.try) {
		_, err := c.nc.Write(buf)
		return nil, err
	}
	n, err := c.try.TryWrite(buf)
	return buf[n:], err
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

// writeOn is the writer on a goroutine that may wait: it writes rest, which is the
// end of buf, what tryConn has kept, and then whatever is pending.
func (c *Conn) writeOn(buf, rest []byte) {
	var err error
	if c.try != nil {
		if err = c.try.drain(); err == nil {
			c.try.mayWait(true)
		}
	}
	if err == nil && len(rest) > 0 {
		_, err = c.nc.Write(rest)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keepSpare(buf)
	for err == nil && len(c.pending) > 0 {
		buf = c.takePending()
		c.mu.Unlock()
		_, err = c.nc.Write(buf)
		c.mu.Lock()
		c.keepSpare(buf)
	}
	if err != nil {
		c.writeFailed(err)
	}
	if c.try != nil {
		c.try.mayWait(false)
	}
	c.endWriting()
}

// takePending takes what is pending for the writer, and lets those who wait for
// room go on.
func (c *Conn) takePending() []byte {
	buf := c.pending
	c.pending, c.spare = c.spare[:0], nil
	c.control, c.controlSize = 0, 0
	c.wakeBlocked()
	c.roomAgain()
	return buf
}

func (c *Conn) keepSpare(buf []byte) {
	if cap(buf) <= spareCap && cap(buf) > cap(c.spare) {
		c.spare = buf[:0]
	}
}

func (c *Conn) endWriting() {
	c.writing = false
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// writeFailed ends the connection after a write error. The reader may have
// unread data that says why (a GOAWAY), so it is given a moment.
func (c *Conn) writeFailed(err error) {
	c.pending = c.pending[:0]
	c.roomAgain()
	if c.aborted == nil && c.err == nil {
		c.aborted = &ConnError{Err: err}
		c.unusable.Store(true)
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
		if c.err != nil || c.aborted != nil {
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
	for len(c.blocked) > 0 && c.sendWindow > 0 && len(c.pending) < pendingCap {
		s := c.blocked[0]
		c.blocked = c.blocked[1:]
		s.blocked = false
		if !s.gone {
			s.wakeSender()
			return
		}
	}
}
