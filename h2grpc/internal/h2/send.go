package h2

import (
	"slices"
	"time"
)

// Block is a header block to send.
type Block struct {
	// Key names Fixed in the connection's cache of encoded blocks: the same
	// key always goes with the same fields.
	Key   string
	Fixed []Field
	// Timeout is the value of grpc-timeout; nil: none.
	Timeout []byte
	// Extra is what differs from call to call: it leaves the compression table
	// alone. Names are lower case, values as they go on the wire.
	Extra []Field
	// Always sends it also if the peer would rather not take it: what it says of
	// that is advice (RFC 9113 §6.5.2).
	Always bool
}

// Frames is what a stream sends in one go: any of a header block, a message and
// trailers.
type Frames struct {
	Header  *Block // nil: none
	Message []byte // gRPC prefix and payload; nil: none
	// From is the buffer that Message is in, if it is in one. It is held until a
	// large message is written, which may be after Write has returned.
	From    *Buffer
	Trailer *Block // nil: none; ends the stream
	End     bool   // end the stream after Message
	// Last says that the handler does nothing after Trailer but call Done, which
	// costs less then.
	Last bool
	// Reader says that the caller is the connection's reader: it does not wait,
	// and what it sends counts against a budget instead. Message is nil.
	Reader bool
}

// Flush says when what was queued is written.
type Flush int

const (
	// FlushNow writes at once, or leaves it to whoever is writing.
	FlushNow Flush = iota
	// FlushLater lets messages of a stream gather while the sender goes on.
	// The first message after something was received goes out at once, since
	// the peer is probably waiting for it.
	FlushLater
	// FlushSoon leaves the write to whoever gets to it first: more is about to
	// follow.
	FlushSoon
)

// Open opens a stream on a client and sends f. It waits while the server's
// MAX_CONCURRENT_STREAMS are in use, at most until done is closed. whole says
// that the consumer wants to be woken only when the whole response is there.
//
// An error means that nothing was sent: ErrGoingAway, a HeaderListError,
// ErrStreamEnded (done is closed) or the connection's error.
func (c *Conn) Open(done <-chan struct{}, f *Frames, whole bool, maxMessage int) (*Stream, error) {
	c.mu.Lock()
	for {
		switch {
		case c.life.phase == closed:
			defer c.mu.Unlock()
			return nil, c.life.reason
		case c.life.phase >= draining, c.nextID > maxStreamID:
			c.mu.Unlock()
			return nil, ErrGoingAway
		}
		if c.live < c.peerStreams && len(c.pending) < pendingCap {
			break
		}
		if c.live < c.peerStreams {
			if err := c.waitForRoom(done); err != nil && c.life.phase < closing {
				c.mu.Unlock()
				return nil, err
			}
			continue
		}
		wait := make(chan struct{})
		c.opening = append(c.opening, wait)
		c.mu.Unlock()
		if !c.awaitSlot(wait, done) {
			c.mu.Lock()
			c.opening = slices.DeleteFunc(c.opening, func(ch chan struct{}) bool { return ch == wait })
			c.admit() // the token may have been ours already
			c.mu.Unlock()
			return nil, ErrStreamEnded
		}
		c.mu.Lock()
	}
	block, err := c.encode(f.Header)
	if err != nil {
		c.mu.Unlock()
		return nil, err
	}
	s := c.spareStream()
	s.init(c, c.nextID)
	s.whole, s.MaxMessage = whole, maxMessage
	s.sendWindow = c.peerWindow
	if c.nextID += 2; c.nextID > maxStreamID {
		c.life.unusable.Store(true)
	}
	c.streams[s.ID] = s
	c.peerMaySend(s)
	c.live++
	if whole {
		c.calls.Add(1)
	}
	noBody := f.Message == nil && f.End
	c.appendBlock(s.ID, block, noBody)
	if noBody {
		s.sendEnded = true
		c.flushLocked()
		c.mu.Unlock()
		return s, nil
	}
	rest := *f
	rest.Header = nil
	err = s.writeLocked(done, &rest, FlushNow)
	c.mu.Unlock()
	if err != nil && err != ErrStreamEnded {
		return nil, err
	}
	return s, nil // if it has ended, Recv says why
}

// awaitSlot waits until wait is closed, or done is, which it reports. If it takes
// long it says so.
func (c *Conn) awaitSlot(wait, done <-chan struct{}) bool {
	c.wantReader()
	t := time.NewTimer(crowdedAfter)
	defer t.Stop()
	for {
		select {
		case <-wait:
			return true
		case <-done:
			return false
		case now := <-t.C:
			c.mu.Lock()
			say := c.cfg.Crowded != nil && now.Sub(c.crowdedSaid) >= crowdedEvery
			if say {
				c.crowdedSaid = now
			}
			limit, waiting := c.peerStreams, len(c.opening)
			c.mu.Unlock()
			if say {
				c.cfg.Crowded(limit, waiting)
			}
		}
	}
}

// admit lets one waiting caller open a stream if there is room; opening one and
// losing one both call it again.
func (c *Conn) admit() {
	for n := c.peerStreams - c.live; n > 0 && len(c.opening) > 0; n-- {
		close(c.opening[0])
		c.opening = c.opening[1:]
	}
}

// Write sends f on the stream. f.Header is nil afterwards if it was sent. It waits for flow control and for the
// connection, at most until done is closed. It returns ErrStreamEnded if the
// stream can send no more (Recv has the reason) or done is closed, and a
// HeaderListError.
func (s *Stream) Write(done <-chan struct{}, f *Frames, flush Flush) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.writeLocked(done, f, flush)
}

func (s *Stream) writeLocked(done <-chan struct{}, f *Frames, flush Flush) error {
	c := s.c
	if s.sendEnded {
		return ErrStreamEnded
	}
	if err := s.headerRoom(done, f); err != nil {
		return err
	}
	if f.Header != nil {
		block, err := c.encode(f.Header)
		if err != nil {
			return err
		}
		c.appendBlock(s.ID, block, false)
		f.Header = nil
	}
	if f.Message != nil || (f.End && f.Trailer == nil) {
		if err := s.sendData(done, f.Message, f.From, f.End && f.Trailer == nil); err != nil {
			return err
		}
	}
	if f.Trailer != nil {
		if err := s.headerRoom(done, f); err != nil {
			return err
		}
		block, err := c.encode(f.Trailer)
		if err != nil {
			return err
		}
		c.appendBlock(s.ID, block, true)
		if f.Reader {
			c.countControl(len(block))
		}
		s.endSend()
		if !s.recvEnded {
			// Nobody will read the rest of the request (RFC 9113 §8.1).
			c.rememberReset(s.ID)
			c.appendReset(s.ID, ErrCodeNo)
			c.removeLocked(s)
		}
	}
	if flush == FlushNow && len(c.pending) < deferFlush && s.flushedByReader() {
		// More is about to follow.
	} else if flush == FlushNow || (flush == FlushLater && !s.sent) || len(c.pending) >= deferFlush {
		c.flushLocked()
	} else {
		c.flushSoon()
	}
	s.sent, s.own.sent = true, true
	if f.Last && f.Trailer != nil {
		s.handled = true
		c.endHandling(s)
		c.endIfDrained()
	}
	return nil
}

// headerRoom waits until a header block may be queued: flow control does not
// hold blocks up. c.mu is held, and released meanwhile.
func (s *Stream) headerRoom(done <-chan struct{}, f *Frames) error {
	if len(s.c.pending) < pendingCap || f.Reader {
		return nil
	}
	s.MayWait()
	if err := s.c.waitForRoom(done); err != nil {
		return err
	}
	if s.sendEnded {
		return ErrStreamEnded
	}
	return nil
}

// endSend marks our side as ended.
func (s *Stream) endSend() {
	s.sendEnded = true
	if s.recvEnded {
		s.c.removeLocked(s)
	}
}

// sendData queues b, which is in from, as DATA frames as flow control allows.
// c.mu is held, and released while waiting.
func (s *Stream) sendData(done <-chan struct{}, b []byte, from *Buffer, end bool) error {
	c := s.c
	inParts := from != nil && len(b) > copyMost && c.peerFrame > copyMost
	for {
		room := pendingCap - len(c.pending)
		if inParts && room > 0 {
			if room = partsCap - c.partBytes; room < min(len(b), partMost) {
				room = 0 // many small frames take longer
			}
		}
		n := min(len(b), s.sendWindow, c.sendWindow, c.peerFrame, room)
		if n > 0 || len(b) == 0 {
			var whence *Buffer
			if inParts && n > copyMost {
				whence = from
			}
			c.appendData(s.ID, b[:n], whence, end && n == len(b))
			s.sendWindow -= n
			c.sendWindow -= n
			if b = b[n:]; len(b) == 0 {
				break
			}
			continue
		}
		if from != nil && from.claim != nil {
			if s.unsent == 0 {
				s.sending, s.sendingSince, s.sentThen = from.claim, time.Now(), 0
			}
			s.unsent = len(b)
		}
		if err := s.waitToSend(done); err != nil {
			s.sending = nil
			return err
		}
	}
	if s.unsent > 0 {
		s.sending, s.unsent = nil, 0
	}
	c.wakeBlocked() // there may be room for the next
	if end {
		s.endSend()
	}
	return nil
}

// waitToSend waits until the stream may be able to send. c.mu is held, and
// released meanwhile.
func (s *Stream) waitToSend(done <-chan struct{}) error {
	s.MayWait()
	c := s.c
	if s.sendWindow > 0 && !s.blocked {
		s.blocked = true
		c.blocked = append(c.blocked, s)
	}
	if s.sendReady == nil {
		s.sendReady = make(chan struct{}, 1)
	}
	c.flushLocked() // what fills the buffer, or the window, has to go first
	c.wantReader()
	c.wakeBlocked()
	c.mu.Unlock()
	var stalled <-chan time.Time
	if s.whole && c.cfg.Stall > 0 {
		t := time.NewTimer(c.cfg.Stall)
		defer t.Stop()
		stalled = t.C
	}
	var stop bool
	select {
	case <-s.sendReady:
	case <-done:
		stop = true
	case <-stalled:
		s.Reset(ErrCodeCancel, "the client takes nothing of the response")
		stop = true
	}
	c.mu.Lock()
	if stop || s.sendEnded {
		if s.blocked {
			s.blocked = false
			c.blocked = slices.DeleteFunc(c.blocked, func(b *Stream) bool { return b == s })
		}
		c.wakeBlocked()
		return ErrStreamEnded
	}
	return nil
}

// wakeSender lets a waiting sender look again. c.mu is held.
func (s *Stream) wakeSender() {
	if s.sendReady == nil {
		return
	}
	select {
	case s.sendReady <- struct{}{}:
	default: // it has not yet looked at the last one
	}
}

// sentUnflushed says whether the stream's consumer, which is about to wait and says
// so to stepBack, may be waiting for an answer to something that is still queued.
func (c *Conn) sentUnflushed(s *Stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.sent, s.own.asked = false, true
	return len(c.pending) > 0
}

const timeoutName = "grpc-timeout"

// encode makes a header block in c.block.
func (c *Conn) encode(b *Block) ([]byte, error) {
	cached, ok := c.henc.cached(b.Key)
	size := listSize(b.Extra)
	if ok {
		size += cached.size
	} else {
		size += listSize(b.Fixed)
	}
	if b.Timeout != nil {
		size += len(timeoutName) + len(b.Timeout) + 32
	}
	if size > c.peerList && !b.Always {
		return nil, &HeaderListError{size, c.peerList}
	}
	if ok {
		c.block = append(c.block[:0], cached.block...)
	} else {
		c.block = c.henc.appendNew(c.block[:0], b.Key, b.Fixed)
	}
	if b.Timeout != nil {
		c.block = appendLiteral(c.block, timeoutName, b.Timeout)
	}
	for _, f := range b.Extra {
		c.block = appendLiteral(c.block, f.Name, f.Value)
	}
	return c.block, nil
}
