package h2

import (
	"net"
	"runtime"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// appendData queues a DATA frame. If from is not nil, the payload, which is not empty
// then, is written from that buffer.
func (c *Conn) appendData(id uint32, payload []byte, from *Buffer, end bool) {
	c.out.progress, c.pings.answered = true, true
	fh := FrameHeader{Length: len(payload), Type: FrameData, StreamID: id}
	if end {
		fh.Flags = FlagEndStream
	}
	c.out.pending = fh.append(c.out.pending)
	if from == nil {
		c.out.pending = append(c.out.pending, payload...)
		return
	}
	from.hold()
	c.out.parts = append(c.out.parts, part{len(c.out.pending), payload, from})
	c.out.partBytes += len(payload)
}

// appendBlock queues a header block.
func (c *Conn) appendBlock(id uint32, block []byte, end bool) {
	c.out.progress, c.pings.answered = true, true
	c.out.pending = appendHeaders(c.out.pending, id, block, end, c.send.maxFrame)
	if cap(c.send.block) > spareCap {
		c.send.block = nil
	}
}

// Flush writes what is queued.
func (c *Conn) Flush() {
	c.mu.Lock()
	c.flushLocked()
	c.mu.Unlock()
}

// flushLocked makes the caller the writer if there is none. It never waits for the
// socket: if the socket accepts no more, or cannot be written to without waiting, a
// goroutine goes on. c.mu is held, and released in between.
func (c *Conn) flushLocked() {
	if c.out.writing || len(c.out.pending) == 0 {
		return
	}
	c.out.writing = true
	if c.out.try == nil {
		go c.writeOn()
		return
	}
	if fastpath.Gathering && len(c.out.pending) < yieldBelow && len(c.out.parts) == 0 && c.table.calls.Load() > 1 {
		c.yield()
	}
	for len(c.out.pending) > 0 {
		c.takePending()
		for p := c.out.now.next(partMost); len(p) > 0; p = c.out.now.next(partMost) {
			c.mu.Unlock()
			n, err := c.tryWrite(p)
			c.mu.Lock()
			if err != nil {
				c.writeFailed(err)
				c.endWriting()
				return
			}
			c.wrote(n)
			if n < len(p) || c.out.try.behind() {
				go c.writeOn()
				return // it is the writer now
			}
		}
		c.keepSpare()
	}
	c.endWriting()
}

// yield lets others add to a write that is about to begin, unless recently nothing
// was added and it took long: goroutines that compute run for ten milliseconds each.
// c.mu is held, and released while yielding.
func (c *Conn) yield() {
	begun, had := time.Now(), len(c.out.pending)
	if begun.Sub(c.out.crowded) < crowdedFor {
		return
	}
	c.mu.Unlock()
	runtime.Gosched()
	c.mu.Lock()
	if len(c.out.pending) == had && time.Since(begun) > gatherMost {
		c.out.crowded = begun
	}
}

// tryWrite writes what the socket accepts of p without waiting. Over TLS tryConn
// keeps the rest, encrypted.
func (c *Conn) tryWrite(p []byte) (n int, err error) {
	if c.nc != net.Conn(c.out.try) {
		return c.nc.Write(p)
	}
	return c.out.try.TryWrite(p)
}

// flushSoon lets more gather before it is written: a goroutine writes as soon as it
// is scheduled.
func (c *Conn) flushSoon() {
	if c.out.writing || c.out.deferred || len(c.out.pending) == 0 {
		return
	}
	c.out.deferred = true
	go func() {
		c.mu.Lock()
		c.out.deferred = false
		c.flushLocked()
		c.mu.Unlock()
	}()
}

// writeOn is the writer on a goroutine that may wait: it writes what tryConn has
// kept, the rest of c.out.now, and then what is pending.
func (c *Conn) writeOn() {
	var err error
	if c.out.try != nil {
		if err = c.out.try.drain(); err == nil {
			c.out.try.mayWait(true)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for err == nil {
		p := c.out.now.next(partMost)
		if len(p) == 0 {
			c.keepSpare()
			if len(c.out.pending) == 0 {
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
	if c.out.try != nil {
		c.out.try.mayWait(false)
	}
	c.endWriting()
}

// takePending takes what is pending for the writer, which has written everything
// before, and wakes those that wait for room.
func (c *Conn) takePending() {
	parts := c.out.now.parts[:0]
	c.out.now = output{buf: c.out.pending, parts: c.out.parts, moved: c.out.now.moved, since: c.out.now.since}
	c.out.pending, c.out.parts, c.out.spare = c.out.spare[:0], parts, nil
	if c.out.answers = 0; c.out.unread.Load() {
		c.out.unread.Store(false)
	}
	c.wakeBlocked()
	c.roomAgain()
}

// wrote records that the first n bytes of c.out.now's next are written.
func (c *Conn) wrote(n int) {
	c.out.now.moved += n
	if n = c.out.now.wrote(n); n > 0 {
		c.out.partBytes -= n
		c.wakeBlocked()
	}
}

// stuck reports whether the peer has been reading at less than slowRate for
// slowAfter, with something to write all the while. It has to be called twice to find
// out.
func (c *Conn) stuck() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.out.writing:
	case c.out.now.since.IsZero(), time.Since(c.out.now.since) >= slowAfter && !slow(c.out.now.moved, c.out.now.since, slowAfter):
		c.out.now.since, c.out.now.moved = time.Now(), 0 // bytes read until now do not count from now on
	default:
		return slow(c.out.now.moved, c.out.now.since, slowAfter)
	}
	return false
}

// keepSpare keeps the buffer of c.out.now, which was written, for reuse.
func (c *Conn) keepSpare() {
	if buf := c.out.now.buf; cap(buf) <= spareCap && cap(buf) > cap(c.out.spare) {
		c.out.spare = buf[:0]
	}
	c.out.now.buf, c.out.now.off = nil, 0
}

func (c *Conn) endWriting() {
	c.out.writing, c.out.now.since = false, time.Time{}
	if c.out.idle != nil {
		close(c.out.idle)
		c.out.idle = nil
	}
}

// writeFailed ends the connection after a write error. The reader gets a moment,
// since there may be unread data with the reason (a GOAWAY).
func (c *Conn) writeFailed(err error) {
	c.out.now.drop()
	(&output{buf: c.out.pending, parts: c.out.parts}).drop()
	c.out.pending, c.out.parts, c.out.partBytes = c.out.pending[:0], c.out.parts[:0], 0
	c.roomAgain()
	if c.life.become(closing, &ConnError{Err: err}) {
		c.nc.SetReadDeadline(time.Now().Add(lingerTime))
		c.wantReader()
	}
}

// waitForRoom waits until the peer has read enough for more to be queued. c.mu is
// held, and released while waiting.
func (c *Conn) waitForRoom(done <-chan struct{}) error {
	for len(c.out.pending) >= pendingCap {
		if c.flushLocked(); len(c.out.pending) < pendingCap {
			return nil
		}
		if c.life.phase >= closing {
			return ErrStreamEnded
		}
		if c.out.room == nil {
			c.out.room = make(chan struct{})
		}
		room := c.out.room
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

// roomAgain wakes those that wait in waitForRoom. c.mu is held.
func (c *Conn) roomAgain() {
	if c.out.room != nil {
		close(c.out.room)
		c.out.room = nil
	}
}

// wakeBlocked wakes the oldest sender that waits for the connection, which wakes the
// next when it has taken what it needs.
func (c *Conn) wakeBlocked() {
	for len(c.send.blocked) > 0 && c.send.window > 0 && len(c.out.pending) < pendingCap && c.out.partBytes <= partsCap-partMost {
		s := c.send.blocked[0]
		c.send.blocked = c.send.blocked[1:]
		s.send.blocked = false
		if !s.gone {
			s.wakeSender()
			return
		}
	}
}

// waitIdle waits until nothing is being written, or for most, and reports whether
// nothing is.
func (c *Conn) waitIdle(most time.Duration) bool {
	c.mu.Lock()
	if !c.out.writing {
		c.mu.Unlock()
		return true
	}
	if c.out.idle == nil {
		c.out.idle = make(chan struct{})
	}
	idle := c.out.idle
	c.mu.Unlock()
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-idle:
		return true
	case <-t.C:
		return false
	}
}

// sentUnflushed reports whether the stream's consumer may be waiting for an answer to
// something that is still queued. The consumer is about to wait, which sentUnflushed
// records for stepBack.
func (c *Conn) sentUnflushed(s *Stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.send.sent, s.own.asked = false, true
	return len(c.out.pending) > 0
}
