package h2

import (
	"slices"
	"time"
)

// windowFor is the receive window of a stream while n streams may send.
func windowFor(n int) int {
	if n <= loneStreams {
		return loneWindow
	}
	w := streamWindow
	for m := fewStreams; n > m && w > minStreamWindow; m *= 4 {
		w /= 4
	}
	return w
}

// roomyFor is the window to which a smaller one grows again while n streams may
// send. Of few streams one more does not undo it, of many more do not soon.
func roomyFor(n int) int {
	if n < loneStreams {
		return loneWindow
	}
	return windowFor(4 * n)
}

// peerMaySend counts a stream on which the peer may send. c.mu is held.
//
// The window that it begins with is the one that the peer knows of: a server's
// client may not have heard of a smaller one, a client has sent its SETTINGS
// before the stream.
func (c *Conn) peerMaySend(s *Stream) {
	c.receiving++
	s.maySend = true
	s.in.base = c.granted
	if c.client {
		s.in.base = c.window
	}
	s.in.window = s.in.base
	if windowFor(c.receiving) < c.window {
		c.fitWindow()
	}
}

// peerHasSent is the end of peerMaySend. c.mu is held.
func (c *Conn) peerHasSent(s *Stream) {
	if !s.maySend {
		return
	}
	s.maySend = false
	c.receiving--
	c.growWindow()
}

// growWindow makes a window that has shrunk larger again if it may be. c.mu is held.
func (c *Conn) growWindow() {
	if roomyFor(c.receiving) > c.window {
		c.fitWindow()
	}
}

// fitWindow changes SETTINGS_INITIAL_WINDOW_SIZE to what the number of streams
// asks for. A larger window counts at once. A smaller one counts when the peer
// has acknowledged it (RFC 9113 §6.9.2), and until then the connection's window
// is not renewed. c.mu is held.
func (c *Conn) fitWindow() {
	if c.shrinking > 0 || c.life.phase >= closing {
		return
	}
	w := windowFor(c.receiving)
	if w >= c.window {
		if w = roomyFor(c.receiving); w <= c.window || time.Since(c.windowSince) < windowPeriod {
			return
		}
	}
	c.pending = appendSettings(c.pending, setting{settingInitialWindowSize, uint32(w)})
	c.settingsSent()
	c.windowSince = time.Now()
	if w < c.window {
		c.shrinking = c.unacked
	}
	c.window = w
	c.share.Store(int32(w))
	if c.shrinking == 0 {
		c.applyWindow()
	}
	c.flushSoon()
}

// settingsSent takes note of SETTINGS that follow the first. Time runs for the oldest
// that are not acknowledged. c.mu is held.
func (c *Conn) settingsSent() {
	if c.unacked++; c.unacked == 1 {
		c.settings.Reset(stoppedTime)
	}
}

// settingsAcked takes note of an acknowledgement. c.mu is held.
func (c *Conn) settingsAcked() {
	if c.unacked == 0 {
		return
	}
	if c.unacked--; c.unacked == 0 {
		c.settings.Stop()
	} else {
		c.settings.Reset(stoppedTime)
	}
	if c.shrinking == 0 {
		return
	}
	if c.shrinking--; c.shrinking == 0 {
		c.applyWindow()
		c.creditConn()
		c.fitWindow()
	}
}

// applyWindow makes c.window the initial window of the streams that are open,
// the oldest first: messages that came to lack window by that get it in this
// order.
func (c *Conn) applyWindow() {
	c.granted = c.window
	ids := make([]int, 0, len(c.streams))
	for id := range c.streams {
		ids = append(ids, int(id))
	}
	slices.Sort(ids)
	for _, id := range ids {
		s := c.streams[uint32(id)]
		if !s.maySend {
			continue
		}
		s.mu.Lock()
		s.in.window += c.window - s.in.base
		s.in.base = c.window
		inc, large := s.credit()
		s.mu.Unlock()
		if inc > 0 || large > 0 {
			c.grantLocked(s, inc, large)
		}
	}
}
