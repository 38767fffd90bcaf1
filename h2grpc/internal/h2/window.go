package h2

import (
	"slices"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// windowFor returns the receive window of a stream while n streams may send.
func windowFor(n int) int {
	if n <= loneStreams && fastpath.LoneWindow {
		return loneWindow
	}
	w := streamWindow
	for m := fewStreams; n > m && w > minStreamWindow; m *= 4 {
		w /= 4
	}
	return w
}

// roomyFor returns the window to which a smaller one grows again while n streams may
// send. It is chosen so that one more stream, if there are few, does not undo that,
// and so that many more do not do so soon.
func roomyFor(n int) int {
	if n < loneStreams && fastpath.LoneWindow {
		return loneWindow
	}
	return windowFor(4 * n)
}

// peerMaySend counts a stream on which the peer may send. c.mu is held.
//
// The stream begins with the window that the peer knows of: a server's client may not
// have received a smaller one yet, and a client has sent its SETTINGS before the
// stream.
func (c *Conn) peerMaySend(s *Stream) {
	c.recv.streams++
	s.recv.counted = true
	s.in.base = c.recv.granted
	if c.client {
		s.in.base = c.recv.initial
	}
	s.in.window = s.in.base
	if windowFor(c.recv.streams) < c.recv.initial {
		c.fitWindow()
	}
}

// peerHasSent undoes peerMaySend. c.mu is held.
func (c *Conn) peerHasSent(s *Stream) {
	if !s.recv.counted {
		return
	}
	s.recv.counted = false
	c.recv.streams--
	c.growWindow()
}

// growWindow enlarges a window that has shrunk, if that is allowed. c.mu is held.
func (c *Conn) growWindow() {
	if roomyFor(c.recv.streams) > c.recv.initial {
		c.fitWindow()
	}
}

// fitWindow changes SETTINGS_INITIAL_WINDOW_SIZE to suit the number of streams. A
// larger window counts at once. A smaller one counts when the peer has acknowledged
// it (RFC 9113 §6.9.2), and until then the connection's window is not renewed. c.mu
// is held.
func (c *Conn) fitWindow() {
	if c.recv.shrinking > 0 || c.life.phase >= closing {
		return
	}
	w := windowFor(c.recv.streams)
	if w >= c.recv.initial {
		if w = roomyFor(c.recv.streams); w <= c.recv.initial || time.Since(c.recv.since) < windowPeriod {
			return
		}
	}
	c.out.pending = appendSettings(c.out.pending, setting{settingInitialWindowSize, uint32(w)})
	c.settingsSent()
	c.recv.since = time.Now()
	if w < c.recv.initial {
		c.recv.shrinking = c.recv.unacked
	}
	c.recv.initial = w
	c.recv.share.Store(int32(w))
	if c.recv.shrinking == 0 {
		c.applyWindow()
	}
	c.flushSoon()
}

// settingsSent records that SETTINGS after the first were sent. The time limit
// applies to the oldest that are not acknowledged. c.mu is held.
func (c *Conn) settingsSent() {
	if c.recv.unacked++; c.recv.unacked == 1 {
		c.recv.settings.Reset(stoppedTime)
	}
}

// settingsAcked records an acknowledgement. c.mu is held.
func (c *Conn) settingsAcked() {
	if c.recv.unacked == 0 {
		return
	}
	if c.recv.unacked--; c.recv.unacked == 0 {
		c.recv.settings.Stop()
	} else {
		c.recv.settings.Reset(stoppedTime)
	}
	if c.recv.shrinking == 0 {
		return
	}
	if c.recv.shrinking--; c.recv.shrinking == 0 {
		c.applyWindow()
		c.creditConn()
		c.fitWindow()
	}
}

// applyWindow makes c.recv.initial the initial window of the streams that are open,
// the oldest first: messages that lack window after that get it in this order.
func (c *Conn) applyWindow() {
	c.recv.granted = c.recv.initial
	ids := make([]int, 0, len(c.table.streams))
	for id := range c.table.streams {
		ids = append(ids, int(id))
	}
	slices.Sort(ids)
	for _, id := range ids {
		s := c.table.streams[uint32(id)]
		if !s.recv.counted {
			continue
		}
		s.mu.Lock()
		s.in.window += c.recv.initial - s.in.base
		s.in.base = c.recv.initial
		inc, large := s.credit()
		s.mu.Unlock()
		if inc > 0 || large > 0 {
			c.grantLocked(s, inc, large)
		}
	}
}

// takeLargeFrames advertises readFrameSize, once. Reader only.
func (c *Conn) takeLargeFrames() {
	if c.in.largeFrames {
		return
	}
	c.in.largeFrames = true
	c.in.maxFrame = readFrameSize
	c.mu.Lock()
	c.out.pending = appendSettings(c.out.pending, setting{settingMaxFrameSize, readFrameSize})
	c.settingsSent()
	c.mu.Unlock()
}
