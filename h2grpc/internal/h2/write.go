package h2

import (
	"encoding/binary"
	"net"
	"runtime"
	"time"

	"golang.org/x/net/http2"
)

// pendingWriter lets the Framer write to Conn.pending. Conn.mu is held.
type pendingWriter struct{ c *Conn }

func (w pendingWriter) Write(p []byte) (int, error) {
	w.c.pending = append(w.c.pending, p...)
	return len(p), nil
}

// appendData queues a DATA frame. The Framer would copy the payload twice.
func (c *Conn) appendData(id uint32, payload []byte, end bool) {
	n := len(payload)
	c.progress, c.answered = true, true
	var flags http2.Flags
	if end {
		flags = http2.FlagDataEndStream
	}
	c.pending = append(c.pending, byte(n>>16), byte(n>>8), byte(n), byte(http2.FrameData), byte(flags))
	c.pending = binary.BigEndian.AppendUint32(c.pending, id)
	c.pending = append(c.pending, payload...)
}

// appendBlock queues a header block as HEADERS and, if it is longer than the
// peer's frames may be, CONTINUATION.
func (c *Conn) appendBlock(id uint32, block []byte, end bool) {
	c.progress, c.answered = true, true
	first := block[:min(len(block), c.peerFrame)]
	rest := block[len(first):]
	c.wf.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(rest) == 0,
	})
	for len(rest) > 0 {
		part := rest[:min(len(rest), c.peerFrame)]
		rest = rest[len(part):]
		c.wf.WriteContinuation(id, len(rest) == 0, part)
	}
}

// appendReset queues an RST_STREAM. Like every answer that a peer can provoke
// it counts against controlBudget.
func (c *Conn) appendReset(id uint32, code http2.ErrCode) {
	before := len(c.pending)
	c.wf.WriteRSTStream(id, code)
	c.countControl(len(c.pending) - before)
}

// countControl counts an answer of n bytes that did not wait for room.
func (c *Conn) countControl(n int) {
	c.control++
	c.controlSize += n
	if (c.control > controlBudget || c.controlSize > controlBytes) && c.aborted == nil {
		c.abortLocked(&connFault{http2.ErrCodeEnhanceYourCalm, "too many answers are waiting for a peer that does not read them"})
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
		go c.writeOn(nil)
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
			go c.writeOn(rest)
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

// writeOn is the writer on a goroutine that may wait: it writes rest, what
// tryConn has kept, and then whatever is pending.
func (c *Conn) writeOn(rest []byte) {
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
	for err == nil && len(c.pending) > 0 {
		buf := c.takePending()
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
	if cap(buf) <= spareCap {
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
		c.nc.SetReadDeadline(time.Now().Add(lingerTime))
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
