package h2

import (
	"encoding/binary"
	"time"
)

// frame handles one frame. The contents of DATA and HEADERS are read from the
// connection's buffer in parts, those of other frames as a whole.
func (c *Conn) frame(fh FrameHeader) error {
	if !c.in.sawPeer && (fh.Type != FrameSettings || fh.Flags.Has(FlagAck)) {
		// RFC 9113 §3.4: the preface ends with a SETTINGS frame.
		return fault(ErrCodeProtocol, "first frame is %v, not SETTINGS", fh.Type)
	}
	if fh.Type == FrameData {
		return c.data(fh)
	}
	if fh.Type > FrameContinuation { // RFC 9113 §5.5: unknown types are ignored
		c.idleFrame()
		return c.discard(fh.Length)
	}
	if fh.Length > controlFrameSize && fh.Type != FrameHeaders {
		return fault(ErrCodeEnhanceYourCalm, "%v frame of %d bytes", fh.Type, fh.Length)
	}
	if streamOnly, err := checkFrame(fh); streamOnly {
		if err := c.discard(fh.Length); err != nil {
			return err
		}
		return c.streamFault(fh, ErrCodeFrameSize)
	} else if err != nil {
		return err
	}
	if fh.Type == FrameHeaders {
		if !c.client {
			c.role.streak = 0 // nothing waits for a call that begins
		}
		if c.takeWhole(fh) {
			return nil
		}
		return c.headers(fh)
	}
	p, err := c.payload(fh.Length)
	if err != nil {
		return err
	}
	switch fh.Type {
	case FrameSettings:
		return c.onSettings(fh, p)
	case FramePing:
		return c.onPingFrame(fh, [8]byte(p))
	case FrameWindowUpdate:
		return c.onWindowUpdate(fh, binary.BigEndian.Uint32(p)&^(1<<31))
	case FrameRSTStream:
		return c.onReset(fh.StreamID, ErrCode(binary.BigEndian.Uint32(p)))
	case FrameGoAway:
		return c.onGoAway(binary.BigEndian.Uint32(p)&^(1<<31), ErrCode(binary.BigEndian.Uint32(p[4:])), p[8:])
	case FramePriority:
		// RFC 9113 §5.3.2: priority is obsolete and ignored, but its errors are not.
		if binary.BigEndian.Uint32(p)&^(1<<31) == fh.StreamID {
			return c.streamFault(fh, ErrCodeProtocol)
		}
		c.idleFrame()
		return nil
	}
	// PUSH_PROMISE: a client disables it, a server never receives it (RFC 9113 §8.4).
	// CONTINUATION without a header block: §6.10.
	return fault(ErrCodeProtocol, "unexpected %v frame", fh.Type)
}

func (c *Conn) onSettings(fh FrameHeader, p []byte) error {
	if fh.Flags.Has(FlagAck) {
		c.mu.Lock()
		c.settingsAcked()
		c.mu.Unlock()
		c.idleFrame()
		return nil
	}
	c.idleFrame()
	if n := len(p) / settingLen; n > maxSettings {
		return fault(ErrCodeEnhanceYourCalm, "SETTINGS frame with %d settings", n)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	streamsKnown, window := false, c.send.initial
	for ; len(p) > 0; p = p[settingLen:] {
		s := setting{settingID(binary.BigEndian.Uint16(p)), binary.BigEndian.Uint32(p[2:])}
		if err := s.check(); err != nil {
			return err
		}
		switch s.id {
		case settingHeaderTableSize:
			c.send.enc.setTableSize(s.val)
		case settingMaxConcurrentStreams:
			c.table.most, streamsKnown = int(min(s.val, maxWindow)), true
		case settingInitialWindowSize:
			window = int(s.val) // the last one counts; there may be many streams
		case settingMaxFrameSize:
			c.send.maxFrame = int(s.val)
		case settingMaxHeaderListSize:
			c.send.maxList = int(min(s.val, maxWindow))
		case settingEnablePush:
			if c.client && s.val != 0 { // RFC 9113 §6.5.2
				return fault(ErrCodeProtocol, "a server's SETTINGS_ENABLE_PUSH of %d", s.val)
			}
		}
	}
	if err := c.setPeerWindow(window); err != nil {
		return err
	}
	c.out.pending = appendSettingsAck(c.out.pending)
	c.countControl(frameHeaderLen)
	if !c.in.sawPeer {
		c.in.sawPeer = true
		c.life.become(open, nil)
		c.nc.SetReadDeadline(time.Time{})
		if !streamsKnown {
			c.table.most = maxWindow // RFC 9113 §6.5.2: no limit unless one is sent
		}
		if c.life.phase >= closing { // the deadline is that of the end
			c.nc.SetReadDeadline(time.Now())
		}
		close(c.ready)
		if c.cfg.Greeted != nil {
			c.cfg.Greeted()
		}
	}
	c.admit()
	return nil
}

// grows reports whether adding n makes a window larger than 2^31-1, even where that
// is the largest int.
func grows(window, n int) bool { return int64(window)+int64(n) > maxWindow }

// setPeerWindow changes the send window of all streams: RFC 9113 §6.9.2.
func (c *Conn) setPeerWindow(n int) error {
	delta := n - c.send.initial
	if delta == 0 {
		return nil
	}
	c.send.initial = n
	for _, s := range c.table.streams {
		if grows(s.send.window, delta) {
			return fault(ErrCodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE of %d makes a stream's window larger than 2^31-1", n)
		}
		s.send.window += delta
		if delta > 0 {
			s.wakeSender()
		}
	}
	return nil
}

func (c *Conn) onPingFrame(fh FrameHeader, data [8]byte) error {
	if fh.Flags.Has(FlagAck) {
		c.mu.Lock()
		onAck := c.pings.onAck[data]
		delete(c.pings.onAck, data)
		c.mu.Unlock()
		if onAck != nil {
			onAck()
			return nil
		}
		c.idleFrame()
		return nil
	}
	c.idleFrame()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tooManyPings() {
		return fault(ErrCodeEnhanceYourCalm, "too_many_pings")
	}
	c.out.pending = appendPing(c.out.pending, FlagAck, data)
	c.countControl(frameHeaderLen + len(data))
	return nil
}

func (c *Conn) onWindowUpdate(fh FrameHeader, n uint32) error {
	id := fh.StreamID
	switch {
	case n == 0 && id == 0:
		return fault(ErrCodeProtocol, "WINDOW_UPDATE of zero")
	case n == 0:
		return c.streamFault(fh, ErrCodeProtocol)
	}
	if id != 0 && c.isIdle(id) {
		return fault(ErrCodeProtocol, "WINDOW_UPDATE for a stream that was not opened")
	}
	c.idleFrame()
	c.mu.Lock()
	if id == 0 {
		defer c.mu.Unlock()
		if grows(c.send.window, int(n)) {
			return fault(ErrCodeFlowControl, "the connection's window grew past 2^31-1")
		}
		c.send.window += int(n)
		c.wakeBlocked()
		return nil
	}
	s := c.table.streams[id]
	if s == nil {
		c.mu.Unlock()
		return nil
	}
	over := grows(s.send.window, int(n))
	if !over {
		s.send.window += int(n)
		s.send.heard = true
		s.wakeSender()
	}
	c.mu.Unlock()
	if over {
		c.resetStream(id, ErrCodeFlowControl, "the stream's window grew past 2^31-1")
	}
	return nil
}

func (c *Conn) onReset(id uint32, code ErrCode) error {
	if c.isIdle(id) {
		return fault(ErrCodeProtocol, "RST_STREAM for a stream that was not opened")
	}
	c.useless(resetCost)
	c.mu.Lock()
	s := c.table.streams[id]
	if s == nil {
		// What the peer sends after its own RST_STREAM is an error, whether or not the two
		// resets crossed (RFC 9113 §5.1 closed).
		c.forgetReset(id)
		c.resetAfterEnd(id)
		c.mu.Unlock()
		return nil
	}
	if code == ErrCodeNo && s.send.ended && !c.client {
		// A client resets when it has everything it wanted (RFC 9113 §8.1).
		c.removeLocked(s)
		c.mu.Unlock()
		s.terminate(&ResetError{Code: code}, false)
		return nil
	}
	if c.client {
		c.rememberClose(id, byReset)
	}
	c.removeLocked(s)
	c.mu.Unlock()
	s.reader.drop() // its handler may hold it for long
	s.terminate(&ResetError{Code: code}, false)
	return nil
}

// onGoAway handles a GOAWAY: RFC 9113 §6.8. Streams above the last id were not
// processed; the others may finish.
func (c *Conn) onGoAway(last uint32, code ErrCode, debug []byte) error {
	c.idleFrame()
	if c.client && last != 0 && last%2 == 0 {
		return fault(ErrCodeProtocol, "GOAWAY names stream %d, which is not ours", last)
	}
	e := &ConnError{Code: code, Reason: quote(debug), Unprocessed: true}
	var lost []*Stream
	c.mu.Lock()
	if c.client {
		for id, s := range c.table.streams {
			if id > last {
				lost = append(lost, s)
				c.removeLocked(s)
			}
		}
		for _, ch := range c.table.opening {
			close(ch)
		}
		c.table.opening = nil
		c.life.become(draining, nil)
	}
	if code != ErrCodeNo {
		known := *e
		known.Unprocessed = false
		c.life.told = &known
	}
	c.endIfDrained()
	c.mu.Unlock()
	for _, s := range lost {
		s.reader.drop()
		s.terminate(e, false)
	}
	return nil
}
