package h2

import (
	"bytes"
	"errors"
	"io"
	"time"

	"golang.org/x/net/http2"
)

const frameHeaderLen = 9

// read is the reader goroutine's loop: one inbound switch for all frames.
func (c *Conn) read() error {
	if c.cfg.HandshakeTimeout > 0 {
		c.setReadDeadline(time.Now().Add(c.cfg.HandshakeTimeout))
	}
	if !c.client {
		if err := c.readPreface(); err != nil {
			return c.readError(err)
		}
	}
	if err := c.speaksHTTP2(); err != nil {
		return err
	}
	for {
		if c.br.Buffered() < frameHeaderLen {
			c.Flush() // answers gathered while frames were at hand
		}
		fh, err := c.rf.ReadFrameHeader()
		if err != nil {
			return c.readError(err)
		}
		if err := c.frame(fh); err != nil {
			return c.readError(err)
		}
	}
}

// speaksHTTP2 recognizes the usual mistakes of configuration by the first bytes,
// which as a frame's would say nothing to a reader.
func (c *Conn) speaksHTTP2() error {
	b, _ := c.br.Peek(frameHeaderLen) // an error comes again
	switch {
	case bytes.HasPrefix(b, []byte("HTTP/")):
		return fault(http2.ErrCodeHTTP11Required, "the peer speaks HTTP/1 and not HTTP/2")
	case isTLS(b):
		return fault(http2.ErrCodeProtocol, "the peer speaks TLS and this side does not")
	}
	return nil
}

// isTLS says whether b begins a TLS record: an alert or a handshake message.
func isTLS(b []byte) bool {
	return len(b) >= 2 && (b[0] == 21 || b[0] == 22) && b[1] == 3
}

func (c *Conn) readPreface() error {
	var got [len(http2.ClientPreface)]byte
	if _, err := io.ReadFull(c.br, got[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fault(http2.ErrCodeProtocol, "client preface is incomplete")
		}
		return err
	}
	if isTLS(got[:]) {
		return fault(http2.ErrCodeProtocol, "the client speaks TLS and this server does not")
	}
	if string(got[:]) != http2.ClientPreface {
		return fault(http2.ErrCodeProtocol, "not an HTTP/2 client preface: %q", got[:])
	}
	return nil
}

// readError turns the Framer's errors into ours.
func (c *Conn) readError(err error) error {
	var ce http2.ConnectionError
	switch {
	case !c.sawPeer && c.timedOut(err):
		return fault(http2.ErrCodeSettingsTimeout, "the peer's preface and SETTINGS did not come within %v", c.cfg.HandshakeTimeout)
	case errors.Is(err, http2.ErrFrameTooLarge):
		return fault(http2.ErrCodeFrameSize, "frame is larger than this side's SETTINGS_MAX_FRAME_SIZE")
	case errors.As(err, &ce):
		reason := "broken frame"
		if d := c.rf.ErrorDetail(); d != nil {
			reason = d.Error()
		}
		return fault(http2.ErrCode(ce), "%s", reason)
	}
	return err
}

// frame handles one frame. DATA is read straight from the connection, other
// frames are parsed by the Framer.
func (c *Conn) frame(fh http2.FrameHeader) error {
	if !c.sawPeer && (fh.Type != http2.FrameSettings || fh.Flags.Has(http2.FlagSettingsAck)) {
		// RFC 9113 §3.4: the preface ends with a SETTINGS frame.
		return fault(http2.ErrCodeProtocol, "first frame is %v and not SETTINGS", fh.Type)
	}
	if fh.Type == http2.FrameData {
		return c.data(fh)
	}
	if fh.Type > http2.FrameContinuation { // RFC 9113 §5.5: unknown types are ignored
		if err := c.idleFrame(); err != nil {
			return err
		}
		_, err := c.br.Discard(int(fh.Length))
		return err
	}
	if fh.Length > controlFrameSize && fh.Type != http2.FrameHeaders {
		return fault(http2.ErrCodeEnhanceYourCalm, "%v frame of %d bytes", fh.Type, fh.Length)
	}
	f, err := c.rf.ReadFrameForHeader(fh)
	var se http2.StreamError
	if errors.As(err, &se) {
		return c.streamFault(fh, se)
	}
	if err != nil {
		return err
	}
	switch f := f.(type) {
	case *http2.HeadersFrame:
		return c.headers(f)
	case *http2.SettingsFrame:
		return c.onSettings(f)
	case *http2.PingFrame:
		return c.onPingFrame(f)
	case *http2.WindowUpdateFrame:
		return c.onWindowUpdate(f.StreamID, f.Increment)
	case *http2.RSTStreamFrame:
		return c.onReset(f.StreamID, f.ErrCode)
	case *http2.GoAwayFrame:
		return c.onGoAway(f)
	case *http2.PriorityFrame:
		// RFC 9113 §5.3.2: priority is obsolete and ignored, its errors are not.
		if f.StreamDep == f.StreamID {
			return c.streamFault(fh, http2.StreamError{StreamID: f.StreamID, Code: http2.ErrCodeProtocol})
		}
		return c.idleFrame()
	case *http2.PushPromiseFrame:
		return fault(http2.ErrCodeProtocol, "PUSH_PROMISE") // §8.4: a client disabled it, a server never gets it
	}
	return fault(http2.ErrCodeProtocol, "unexpected %v frame", fh.Type)
}

// idleFrame counts a frame that brings nothing.
func (c *Conn) idleFrame() error {
	if c.idleLeft--; c.idleLeft >= 0 {
		return nil
	}
	c.mu.Lock()
	progress := c.progress
	c.progress = false
	c.mu.Unlock()
	now := time.Now()
	if !progress && now.Sub(c.idleSince) < idlePeriod {
		return fault(http2.ErrCodeEnhanceYourCalm, "too many frames that carry nothing")
	}
	c.idleLeft, c.idleSince = idleFrameBudget, now
	return nil
}

// useful gives the budget for idle frames back.
func (c *Conn) useful() { c.idleLeft = idleFrameBudget }

// streamFault resets the stream whose frame the Framer refused.
func (c *Conn) streamFault(fh http2.FrameHeader, se http2.StreamError) error {
	if c.isIdle(fh.StreamID) && fh.Type != http2.FramePriority {
		return fault(se.Code, "broken %v frame for a stream that was not opened", fh.Type)
	}
	if err := c.idleFrame(); err != nil {
		return err
	}
	c.resetStream(fh.StreamID, se.Code, "broken "+fh.Type.String()+" frame")
	return nil
}

// isIdle says whether a stream was never opened (RFC 9113 §5.1). Streams above
// the last id of our final GOAWAY were, without our taking note (§6.8).
func (c *Conn) isIdle(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.client {
		return id%2 == 0 || id >= c.nextID
	}
	return id%2 == 0 || (id > c.lastPeer && !c.finalGoAway)
}

func (c *Conn) onSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		c.mu.Lock()
		c.settingsAcked()
		c.mu.Unlock()
		return c.idleFrame()
	}
	if err := c.idleFrame(); err != nil {
		return err
	}
	if f.NumSettings() > maxSettings {
		return fault(http2.ErrCodeEnhanceYourCalm, "SETTINGS frame with %d settings", f.NumSettings())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	streamsKnown, window := false, c.peerWindow
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingHeaderTableSize:
			c.henc.setTableSize(s.Val)
		case http2.SettingMaxConcurrentStreams:
			c.peerStreams, streamsKnown = int(min(s.Val, maxWindow)), true
		case http2.SettingInitialWindowSize:
			window = int(s.Val) // the last one counts; streams may be many
		case http2.SettingMaxFrameSize:
			c.peerFrame = int(s.Val)
		case http2.SettingMaxHeaderListSize:
			c.peerList = int(min(s.Val, maxWindow))
		case http2.SettingEnablePush:
			if c.client && s.Val != 0 { // RFC 9113 §6.5.2
				return http2.ConnectionError(http2.ErrCodeProtocol)
			}
		}
		return nil
	})
	if err == nil {
		err = c.setPeerWindow(window)
	}
	if err != nil {
		return err
	}
	c.wf.WriteSettingsAck()
	c.countControl(frameHeaderLen)
	if !c.sawPeer {
		c.sawPeer = true
		c.nc.SetReadDeadline(time.Time{})
		if !streamsKnown {
			c.peerStreams = maxWindow // RFC 9113 §6.5.2: no limit unless one is sent
		}
		if c.aborted != nil { // the deadline was its doing
			c.nc.SetReadDeadline(time.Now())
		}
		close(c.ready)
	}
	c.admit()
	return nil
}

// setPeerWindow changes the send window of all streams: RFC 9113 §6.9.2.
func (c *Conn) setPeerWindow(n int) error {
	delta := n - c.peerWindow
	if delta == 0 {
		return nil
	}
	c.peerWindow = n
	for _, s := range c.streams {
		s.sendWindow += delta
		if s.sendWindow > maxWindow {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		if delta > 0 {
			s.wakeSender()
		}
	}
	return nil
}

func (c *Conn) onPingFrame(f *http2.PingFrame) error {
	if f.IsAck() {
		c.mu.Lock()
		onAck := c.onPing[f.Data]
		delete(c.onPing, f.Data)
		c.mu.Unlock()
		if onAck != nil {
			onAck()
			return nil
		}
		return c.idleFrame()
	}
	if err := c.idleFrame(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tooManyPings() {
		return fault(http2.ErrCodeEnhanceYourCalm, "too_many_pings")
	}
	c.wf.WritePing(true, f.Data)
	c.countControl(frameHeaderLen + len(f.Data))
	return nil
}

// tooManyPings counts a PING that came too soon: gRPC's keepalive document. What
// a server sends clears the count, so that clients that measure the connection
// whenever they receive something, as grpc-go's do, have no strikes. c.mu is
// held.
func (c *Conn) tooManyPings() bool {
	if c.client || c.cfg.MinPing <= 0 {
		return false
	}
	now := time.Now()
	soon := !c.lastPing.IsZero() && now.Sub(c.lastPing) < c.cfg.MinPing
	c.lastPing = now
	switch {
	case c.answered:
		c.answered, c.strikes = false, 0
	case soon:
		c.strikes++
	}
	return c.strikes > pingStrikes
}

func (c *Conn) onWindowUpdate(id, n uint32) error {
	if n == 0 { // the Framer reports it for streams and the connection alike
		return fault(http2.ErrCodeProtocol, "WINDOW_UPDATE of zero")
	}
	if id != 0 && c.isIdle(id) {
		return fault(http2.ErrCodeProtocol, "WINDOW_UPDATE for a stream that was not opened")
	}
	if err := c.idleFrame(); err != nil {
		return err
	}
	c.mu.Lock()
	if id == 0 {
		defer c.mu.Unlock()
		if c.sendWindow+int(n) > maxWindow {
			return fault(http2.ErrCodeFlowControl, "the connection's window grew past 2^31-1")
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
	over := s.sendWindow+int(n) > maxWindow
	if !over {
		s.sendWindow += int(n)
		s.wakeSender()
	}
	c.mu.Unlock()
	if over {
		c.resetStream(id, http2.ErrCodeFlowControl, "the stream's window grew past 2^31-1")
	}
	return nil
}

func (c *Conn) onReset(id uint32, code http2.ErrCode) error {
	if c.isIdle(id) {
		return fault(http2.ErrCodeProtocol, "RST_STREAM for a stream that was not opened")
	}
	if err := c.idleFrame(); err != nil {
		return err
	}
	c.mu.Lock()
	s := c.streams[id]
	if s == nil {
		// What the peer sends after its own RST_STREAM is an error, whether or
		// not it crossed ours (RFC 9113 §5.1 closed).
		c.forgetReset(id)
		c.mu.Unlock()
		return nil
	}
	if code == http2.ErrCodeNo && s.sendEnded && !c.client {
		// A client that has all it wanted says so (RFC 9113 §8.1).
		c.removeLocked(s, true)
		c.mu.Unlock()
		s.terminate(&ResetError{Code: code}, false)
		return nil
	}
	if c.client {
		c.rememberClose(id, byReset)
	}
	c.removeLocked(s, false)
	tooMany := c.tooMuchChurn()
	c.mu.Unlock()
	s.reader.drop() // its handler may be there for long
	s.terminate(&ResetError{Code: code}, false)
	if tooMany {
		return fault(http2.ErrCodeEnhanceYourCalm, "too many streams were reset")
	}
	return nil
}

// onGoAway: RFC 9113 §6.8. Streams above the last id were not processed; the
// rest may finish.
func (c *Conn) onGoAway(f *http2.GoAwayFrame) error {
	if err := c.idleFrame(); err != nil {
		return err
	}
	if c.client && f.LastStreamID != 0 && f.LastStreamID%2 == 0 {
		return fault(http2.ErrCodeProtocol, "GOAWAY names stream %d, which is not ours", f.LastStreamID)
	}
	e := &ConnError{Code: f.ErrCode, Reason: quote(f.DebugData()), Unprocessed: true}
	var lost []*Stream
	c.mu.Lock()
	if c.client {
		c.goAway = true
		for id, s := range c.streams {
			if id > f.LastStreamID {
				lost = append(lost, s)
				c.removeLocked(s, true)
			}
		}
		for _, ch := range c.opening {
			close(ch)
		}
		c.opening = nil
		c.draining = true
	}
	if f.ErrCode != http2.ErrCodeNo {
		known := *e
		known.Unprocessed = false
		c.goneAway = &known
	}
	c.endIfDrained()
	c.mu.Unlock()
	for _, s := range lost {
		s.terminate(e, false)
	}
	return nil
}
