package h2

import (
	"time"
)

// Err returns why the connection ended or is about to end; nil while it works.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.reason
}

// Usable reports whether a client may open streams on the connection.
func (c *Conn) Usable() bool { return !c.life.unusable.Load() }

// Abort ends the connection with a GOAWAY that carries code and reason.
func (c *Conn) Abort(code ErrCode, reason string) {
	c.abort(&connFault{code, reason})
}

// Close ends the connection and all its streams at once. It does not wait for Run.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abortLocked(ErrClosed)
	c.closeSoon() // even if the reader lingers, or the connection ignores deadlines
}

// closeSoon closes the socket when nothing is being written. It does not wait. c.mu
// is held.
func (c *Conn) closeSoon() {
	if c.life.socket != inUse {
		return
	}
	c.life.socket = shutting
	c.life.closers.Go(func() {
		c.waitIdle(lingerTime)
		c.closeSocket()
	})
}

// closeSocket closes the socket. TLS sends an alert first, which a peer that does not
// read could delay.
func (c *Conn) closeSocket() {
	t := time.AfterFunc(lingerTime, func() { c.raw.Close() })
	defer t.Stop()
	c.nc.Close()
}

func (c *Conn) abort(err error) {
	c.mu.Lock()
	c.abortLocked(err)
	c.mu.Unlock()
}

// abortLocked makes the reader end with err. c.mu is held.
func (c *Conn) abortLocked(err error) {
	if !c.life.become(closing, err) {
		return
	}
	c.roomAgain() // the reader may be waiting for room
	if err == ErrClosed {
		if c.life.said == nothing {
			c.sendGoAway(c.table.lastPeer, ErrCodeNo, "")
		}
		c.flushLocked() // a last response may have been left for the reader to write
		// Not left to the reader: it may be waiting for the rest of a frame.
		c.closeSoon()
		c.wantReader()
		return
	}
	c.nc.SetReadDeadline(time.Now())
	c.wantReader()
}

// sendGoAway queues a GOAWAY; no new streams are accepted from then on.
func (c *Conn) sendGoAway(last uint32, code ErrCode, reason string) {
	c.life.said = theLast
	c.life.unusable.Store(true)
	c.out.pending = appendGoAway(c.out.pending, last, code, quote([]byte(reason)))
}

// Shutdown begins a graceful end: no new streams, those that are open may finish, and
// then the connection closes. It does not wait; Done is closed at the end.
//
// A server first sends a GOAWAY with the highest id, and learns from the answer to a
// PING that the client has received it, so that streams on their way are not lost
// (RFC 9113 §6.8).
func (c *Conn) Shutdown() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.life.become(draining, nil) {
		return
	}
	if c.client {
		c.sendGoAway(0, ErrCodeNo, "")
		c.flushLocked()
		c.endIfDrained()
		return
	}
	c.life.said = oneMore
	c.out.pending = appendGoAway(c.out.pending, maxStreamID, ErrCodeNo, "")
	var timer *time.Timer
	last := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		timer.Stop()
		if c.life.said == theLast || c.life.phase == closed {
			return
		}
		c.sendGoAway(c.table.lastPeer, ErrCodeNo, "")
		c.flushLocked()
		c.endIfDrained()
	}
	timer = time.AfterFunc(drainPing, last)
	c.ping(last)
	c.flushLocked()
}

// endIfDrained closes a connection that was waiting for its last stream to end.
func (c *Conn) endIfDrained() {
	if c.life.phase == draining && (c.client || c.life.said == theLast) && len(c.table.streams) == 0 && c.table.live == 0 {
		c.abortLocked(ErrClosed)
	}
}
