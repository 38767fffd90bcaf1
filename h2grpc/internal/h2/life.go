package h2

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// phase is how far the life of a connection has come. It only grows.
//
//	opening ── the peer's SETTINGS ──> open ── GOAWAY, Shutdown ──> draining
//	   any of them ── Close, Abort, a lost connection ──> closing ──> closed
type phase uint8

const (
	opening phase = iota
	open
	// draining: it ends with its last stream. A client opens no more; a server takes
	// those that are on their way until it has said the last GOAWAY.
	draining
	closing // the reader has been told to end with the reason
	closed  // the streams have ended with the reason
)

func (p phase) String() string {
	return [...]string{"opening", "open", "draining", "closing", "closed"}[p]
}

// goAways is what has been said to the peer with GOAWAY.
type goAways uint8

const (
	nothing goAways = iota
	oneMore         // a server's, with the highest id: the last one follows
	theLast         // of a server: with the id of the last stream that it takes
)

// socket is what is done to the connection's socket.
type socket uint8

const (
	inUse    socket = iota
	shutting        // a goroutine waits to close it
	shut            // the reader has closed it
)

// life is the phase of a connection and what has become of it. Guarded by Conn.mu,
// but for what is atomic.
type life struct {
	phase  phase
	reason error      // from closing on
	said   goAways    // by us
	told   *ConnError // the peer's GOAWAY, if it had an error code
	socket socket
	// unusable is set once no more streams can be opened, for those without the lock.
	unusable atomic.Bool
	closers  sync.WaitGroup // of closeSoon; Run waits for it
}

// become says whether the phase has become a later one, with its reason.
func (l *life) become(p phase, reason error) bool {
	if p <= l.phase {
		return false
	}
	l.phase, l.reason = p, reason
	if p >= draining {
		l.unusable.Store(true)
	}
	return true
}

// Err returns why the connection ended or is about to; nil while it works.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.life.reason
}

// Usable says whether a client may open streams on the connection.
func (c *Conn) Usable() bool { return !c.life.unusable.Load() }

// finish ends all streams with the reader's error and says whether the peer is
// owed a GOAWAY.
func (c *Conn) finish(err error) (fatal bool) {
	c.mu.Lock()
	c.settings.Stop()
	if c.life.phase == closing && !isAlert(err) {
		err = c.life.reason
	}
	if ce, ok := err.(*ConnError); c.life.told != nil && (!ok || ce.Err != nil) && err != ErrClosed {
		if _, ours := err.(*connFault); !ours {
			err = c.life.told // says more than a lost connection
		}
	}
	var reason error
	switch e := err.(type) {
	case *connFault:
		fatal = true
		reason = &ConnError{Code: e.code, Local: true, Reason: e.reason}
		c.sendGoAway(c.lastPeer, e.code, e.reason)
		c.flushLocked()
	default:
		reason = err
		if hungUp(err) && c.life.said == nothing {
			// The peer may have ended its own side alone.
			c.pending = appendGoAway(c.pending, c.lastPeer, ErrCodeNo, "")
			c.flushLocked()
		}
		if err == nil || (err == io.EOF && c.life.phase == draining && len(c.streams) == 0) {
			reason = ErrClosed
		} else if _, ok := err.(*ConnError); !ok && err != ErrClosed {
			reason = &ConnError{Err: err}
		}
	}
	c.life.become(closed, reason)
	streams := c.streams
	c.streams = map[uint32]*Stream{}
	for _, s := range streams {
		s.sendEnded, s.gone = true, true
		s.wakeSender()
	}
	c.blocked = nil
	c.roomAgain()
	c.assembling = nil
	c.ledger.close()
	for _, ch := range c.opening {
		close(ch)
	}
	c.opening = nil
	c.mu.Unlock()
	for _, s := range streams {
		s.reader.drop() // its handler may be there for long
		s.terminate(reason, false)
	}
	return fatal
}

// hungUp says whether err is the end of what the peer sends. It may still read.
func hungUp(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

// isAlert says whether err is a TLS alert of the peer, which says why it hung up
// where our own failed write does not.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// linger gives the peer time to read our GOAWAY: closing a socket with unread
// data would throw it away.
func (c *Conn) linger() {
	deadline := time.Now().Add(lingerTime)
	if !c.waitIdle(lingerTime) {
		return // the peer does not read; CloseWrite of TLS would wait for it, too
	}
	if closeWrite(c.nc) != nil {
		return
	}
	c.nc.SetReadDeadline(deadline)
	io.CopyN(io.Discard, c.br, lingerBytes)
}

// waitIdle waits until nothing is being written, and says whether that is so.
func (c *Conn) waitIdle(most time.Duration) bool {
	c.mu.Lock()
	if !c.writing {
		c.mu.Unlock()
		return true
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
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

// Abort ends the connection with a GOAWAY that carries code and reason.
func (c *Conn) Abort(code ErrCode, reason string) {
	c.abort(&connFault{code, reason})
}

// Close ends the connection and all its streams at once. It does not wait for
// Run.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abortLocked(ErrClosed)
	c.closeSoon() // also if the reader lingers, or heeds no deadline
}

// closeSoon closes the socket when nothing is being written. It does not wait.
// c.mu is held.
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

// closeSocket closes the socket. TLS says good-bye first, which a peer that does
// not read could hold up.
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

// abortLocked makes the reader end with err.
func (c *Conn) abortLocked(err error) {
	if !c.life.become(closing, err) {
		return
	}
	c.roomAgain() // the reader may be waiting for it
	if err == ErrClosed {
		if c.life.said == nothing {
			c.sendGoAway(c.lastPeer, ErrCodeNo, "")
		}
		c.flushLocked() // a last response may be left for the reader to write
		// Not the reader's business: it may be waiting for a frame's rest.
		c.closeSoon()
		c.wantReader()
		return
	}
	c.nc.SetReadDeadline(time.Now())
	c.wantReader()
}

// sendGoAway queues a GOAWAY and takes no new streams.
func (c *Conn) sendGoAway(last uint32, code ErrCode, reason string) {
	c.life.said = theLast
	c.life.unusable.Store(true)
	c.pending = appendGoAway(c.pending, last, code, quote([]byte(reason)))
}

// Shutdown begins a graceful end: no new streams, those that are open may
// finish, then the connection closes. It does not wait; Done says when.
//
// A server first says GOAWAY with the highest id and learns from a PING when
// the client knows of it, so that streams on their way are not lost
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
	c.pending = appendGoAway(c.pending, maxStreamID, ErrCodeNo, "")
	var timer *time.Timer
	last := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		timer.Stop()
		if c.life.said == theLast || c.life.phase == closed {
			return
		}
		c.sendGoAway(c.lastPeer, ErrCodeNo, "")
		c.flushLocked()
		c.endIfDrained()
	}
	timer = time.AfterFunc(drainPing, last)
	c.ping(last)
	c.flushLocked()
}

// endIfDrained closes a connection that waits for its last stream.
func (c *Conn) endIfDrained() {
	if c.life.phase == draining && (c.client || c.life.said == theLast) && len(c.streams) == 0 && c.live == 0 {
		c.abortLocked(ErrClosed)
	}
}
