package h2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// read is the reader goroutine's loop: one inbound switch for all frames. It ends
// with an error, or when its goroutine is the reader no more.
func (c *Conn) read() (err error, reader bool) {
	if !c.begun {
		c.begun = true
		if err := c.begin(); err != nil {
			return err, true
		}
	}
	if c.role.failed != nil {
		return c.role.failed, true
	}
	for c.role.streak = 0; ; {
		if s := c.lone; s != nil {
			c.lone = nil
			switch {
			case !c.cfg.Handler.Quick(s, c.alone()):
				c.cfg.Handler.Ready(s)
			case !c.runHere(s):
				return nil, false
			}
		}
		if c.br.Buffered() < frameHeaderLen {
			c.Flush() // answers gathered while frames were at hand
			if c.stepBack() {
				return nil, false
			}
		}
		if c.unread.Load() {
			if err := c.awaitPeer(); err != nil {
				return err, true
			}
		}
		fh, err := c.readFrameHeader()
		if err != nil {
			return c.readError(err), true
		}
		if c.br.Buffered() < fh.Length {
			c.Flush() // its rest may be long in coming
		}
		if err := c.frame(fh); err != nil {
			return c.readError(err), true
		}
	}
}

// begin reads what a connection begins with.
func (c *Conn) begin() error {
	if c.cfg.HandshakeTimeout > 0 {
		c.setReadDeadline(time.Now().Add(c.cfg.HandshakeTimeout))
	}
	if !c.client {
		if err := c.readPreface(); err != nil {
			return c.readError(err)
		}
	}
	return c.speaksHTTP2()
}

// readFrameHeader reads what a frame begins with.
func (c *Conn) readFrameHeader() (FrameHeader, error) {
	fh, err := c.peekFrameHeader()
	if err == nil {
		c.br.Discard(frameHeaderLen)
	}
	return fh, err
}

// peekFrameHeader is readFrameHeader for a frame that somebody else may read.
func (c *Conn) peekFrameHeader() (FrameHeader, error) {
	b, err := c.br.Peek(frameHeaderLen)
	if err != nil {
		if err == io.EOF && len(b) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return FrameHeader{}, err
	}
	fh := parseFrameHeader(b)
	if fh.Length > c.maxFrame {
		return FrameHeader{}, fault(ErrCodeFrameSize, "%v frame of %d bytes is larger than this side's SETTINGS_MAX_FRAME_SIZE of %d", fh.Type, fh.Length, c.maxFrame)
	}
	return fh, nil
}

// payload reads n bytes of a frame, at most readBuffer. They are valid until the
// next read.
func (c *Conn) payload(n int) ([]byte, error) {
	b, err := c.br.Peek(n)
	if err != nil {
		return nil, cutShort(err)
	}
	c.br.Discard(n)
	return b, nil
}

// cutShort is the error of a read in the middle of a frame.
func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// speaksHTTP2 recognizes the usual mistakes of configuration by the first bytes,
// which as a frame's would say nothing to a reader.
func (c *Conn) speaksHTTP2() error {
	b, _ := c.br.Peek(frameHeaderLen) // an error comes again
	switch {
	case bytes.HasPrefix(b, []byte("HTTP/")):
		return fault(ErrCodeHTTP11Required, "the peer speaks HTTP/1 and not HTTP/2")
	case isTLS(b):
		return fault(ErrCodeProtocol, "the peer speaks TLS and this side does not")
	}
	return nil
}

// isTLS says whether b begins a TLS record: an alert or a handshake message.
func isTLS(b []byte) bool {
	return len(b) >= 2 && (b[0] == 21 || b[0] == 22) && b[1] == 3
}

func (c *Conn) readPreface() error {
	var got [len(ClientPreface)]byte
	if _, err := io.ReadFull(c.br, got[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fault(ErrCodeProtocol, "client preface is incomplete")
		}
		return err
	}
	if isTLS(got[:]) {
		return fault(ErrCodeProtocol, "the client speaks TLS and this server does not")
	}
	if string(got[:]) != ClientPreface {
		return fault(ErrCodeProtocol, "not an HTTP/2 client preface: %q", got[:])
	}
	return nil
}

// readError says what a time-out before the peer's first SETTINGS means.
func (c *Conn) readError(err error) error {
	if !c.sawPeer && c.timedOut(err) {
		return fault(ErrCodeSettingsTimeout, "the peer's preface and SETTINGS did not come within %v", c.cfg.HandshakeTimeout)
	}
	return err
}

// frame handles one frame. What DATA and HEADERS carry is taken from the
// connection's buffer in parts, other frames as a whole.
func (c *Conn) frame(fh FrameHeader) error {
	if !c.sawPeer && (fh.Type != FrameSettings || fh.Flags.Has(FlagAck)) {
		// RFC 9113 §3.4: the preface ends with a SETTINGS frame.
		return fault(ErrCodeProtocol, "first frame is %v and not SETTINGS", fh.Type)
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
			c.role.streak = 0 // nobody waits for a call that begins
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
		// RFC 9113 §5.3.2: priority is obsolete and ignored, its errors are not.
		if binary.BigEndian.Uint32(p)&^(1<<31) == fh.StreamID {
			return c.streamFault(fh, ErrCodeProtocol)
		}
		c.idleFrame()
		return nil
	}
	// PUSH_PROMISE: a client disabled it, a server never gets it (RFC 9113
	// §8.4). CONTINUATION without a header block: §6.10.
	return fault(ErrCodeProtocol, "unexpected %v frame", fh.Type)
}

// idleFrame counts a frame that brings nothing, and useless what costs as much as n of
// them; see idleFrames. Reader only.
func (c *Conn) idleFrame() { c.useless(1) }

func (c *Conn) useless(n int) {
	if c.idleLeft -= n; c.idleLeft > 0 {
		return
	}
	c.idleLeft = idleFrames
	c.mu.Lock()
	rest := !c.progress
	c.progress = false
	c.flushLocked()
	c.mu.Unlock()
	if rest {
		<-time.NewTimer(idleRest).C // too short to be worth an end before its time
	}
}

// streamFault resets the stream of a broken frame.
func (c *Conn) streamFault(fh FrameHeader, code ErrCode) error {
	if c.isIdle(fh.StreamID) && fh.Type != FramePriority {
		return fault(code, "broken %v frame for a stream that was not opened", fh.Type)
	}
	c.resetStream(fh.StreamID, code, "broken "+fh.Type.String()+" frame")
	return nil
}

// isIdle says whether a stream was never opened (RFC 9113 §5.1). Streams above
// the last id of our final GOAWAY were, without our taking note (§6.8).
func (c *Conn) isIdle(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isIdleLocked(id)
}

func (c *Conn) isIdleLocked(id uint32) bool {
	if c.client {
		return id%2 == 0 || id >= c.nextID
	}
	return id%2 == 0 || (id > c.lastPeer && c.life.said != theLast)
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
	streamsKnown, window := false, c.peerWindow
	for ; len(p) > 0; p = p[settingLen:] {
		s := setting{settingID(binary.BigEndian.Uint16(p)), binary.BigEndian.Uint32(p[2:])}
		if err := s.check(); err != nil {
			return err
		}
		switch s.id {
		case settingHeaderTableSize:
			c.henc.setTableSize(s.val)
		case settingMaxConcurrentStreams:
			c.peerStreams, streamsKnown = int(min(s.val, maxWindow)), true
		case settingInitialWindowSize:
			window = int(s.val) // the last one counts; streams may be many
		case settingMaxFrameSize:
			c.peerFrame = int(s.val)
		case settingMaxHeaderListSize:
			c.peerList = int(min(s.val, maxWindow))
		case settingEnablePush:
			if c.client && s.val != 0 { // RFC 9113 §6.5.2
				return fault(ErrCodeProtocol, "a server's SETTINGS_ENABLE_PUSH of %d", s.val)
			}
		}
	}
	if err := c.setPeerWindow(window); err != nil {
		return err
	}
	c.pending = appendSettingsAck(c.pending)
	c.countControl(frameHeaderLen)
	if !c.sawPeer {
		c.sawPeer = true
		c.life.become(open, nil)
		c.nc.SetReadDeadline(time.Time{})
		if !streamsKnown {
			c.peerStreams = maxWindow // RFC 9113 §6.5.2: no limit unless one is sent
		}
		if c.life.phase >= closing { // the deadline was its doing
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

// grows reports whether a window grows past 2^31-1 by n, also where that is the
// largest int.
func grows(window, n int) bool { return int64(window)+int64(n) > maxWindow }

// setPeerWindow changes the send window of all streams: RFC 9113 §6.9.2.
func (c *Conn) setPeerWindow(n int) error {
	delta := n - c.peerWindow
	if delta == 0 {
		return nil
	}
	c.peerWindow = n
	for _, s := range c.streams {
		if grows(s.sendWindow, delta) {
			return fault(ErrCodeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE of %d makes a stream's window larger than 2^31-1", n)
		}
		s.sendWindow += delta
		if delta > 0 {
			s.wakeSender()
		}
	}
	return nil
}

func (c *Conn) onPingFrame(fh FrameHeader, data [8]byte) error {
	if fh.Flags.Has(FlagAck) {
		c.mu.Lock()
		onAck := c.onPing[data]
		delete(c.onPing, data)
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
	c.pending = appendPing(c.pending, FlagAck, data)
	c.countControl(frameHeaderLen + len(data))
	return nil
}

// tooManyPings says whether more PINGs have come than their time allows: gRPC's
// keepalive document. What a server sends gives the time back, so that clients that
// measure the connection whenever they receive something, as grpc-go's do, use none
// of it. What counts is the time since then and not that between two PINGs: those of
// an hour come at once to a process that a debugger had stopped. c.mu is held.
func (c *Conn) tooManyPings() bool {
	if c.client || c.cfg.MinPing <= 0 {
		return false
	}
	now := time.Now()
	if c.answered || c.pingDue.IsZero() {
		c.answered, c.pingDue = false, now
	}
	tooMany := c.pingDue.Sub(now) > pingStrikes*c.cfg.MinPing
	c.pingDue = c.pingDue.Add(c.cfg.MinPing)
	return tooMany
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
		if grows(c.sendWindow, int(n)) {
			return fault(ErrCodeFlowControl, "the connection's window grew past 2^31-1")
		}
		c.sendWindow += int(n)
		c.wakeBlocked()
		return nil
	}
	s := c.streams[id]
	if s == nil {
		c.mu.Unlock()
		return nil
	}
	over := grows(s.sendWindow, int(n))
	if !over {
		s.sendWindow += int(n)
		s.heard = true
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
	s := c.streams[id]
	if s == nil {
		// What the peer sends after its own RST_STREAM is an error, whether or
		// not it crossed ours (RFC 9113 §5.1 closed).
		c.forgetReset(id)
		c.resetAfterEnd(id)
		c.mu.Unlock()
		return nil
	}
	if code == ErrCodeNo && s.sendEnded && !c.client {
		// A client that has all it wanted says so (RFC 9113 §8.1).
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
	s.reader.drop() // its handler may be there for long
	s.terminate(&ResetError{Code: code}, false)
	return nil
}

// onGoAway: RFC 9113 §6.8. Streams above the last id were not processed; the
// rest may finish.
func (c *Conn) onGoAway(last uint32, code ErrCode, debug []byte) error {
	c.idleFrame()
	if c.client && last != 0 && last%2 == 0 {
		return fault(ErrCodeProtocol, "GOAWAY names stream %d, which is not ours", last)
	}
	e := &ConnError{Code: code, Reason: quote(debug), Unprocessed: true}
	var lost []*Stream
	c.mu.Lock()
	if c.client {
		for id, s := range c.streams {
			if id > last {
				lost = append(lost, s)
				c.removeLocked(s)
			}
		}
		for _, ch := range c.opening {
			close(ch)
		}
		c.opening = nil
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
		s.terminate(e, false)
	}
	return nil
}
