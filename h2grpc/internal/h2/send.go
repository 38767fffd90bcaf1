package h2

import (
	"slices"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// Frames is what a stream sends in one step: any of a header block, a message and
// trailers.
type Frames struct {
	Header  *Block // nil: none
	Message []byte // gRPC prefix and payload; nil: none
	// From is the buffer that contains Message, if any. It is held until a large message
	// is written, which may be after Write has returned.
	From    *Buffer
	Trailer *Block // nil: none; ends the stream
	End     bool   // end the stream after Message
	// Last reports that the handler does nothing after Trailer except call Done, which
	// then costs less.
	Last bool
	// Reader reports that the caller is the connection's reader: it does not wait, and
	// what it sends counts against controlBytes instead. Message is nil.
	Reader bool
}

// Flush is when queued frames are written.
type Flush int

const (
	// FlushNow writes at once, or leaves it to the present writer.
	FlushNow Flush = iota
	// FlushLater lets messages of a stream gather while the sender goes on. The first
	// message after something was received is written at once, since the peer is
	// probably waiting for it.
	FlushLater
	// FlushSoon leaves the write to whichever flush comes first: more will follow.
	FlushSoon
)

// Open opens a stream on a client and sends f. It waits while the server's
// MAX_CONCURRENT_STREAMS are in use, or until done is closed. whole means that the
// consumer is woken only when the whole response has arrived.
//
// An error means that nothing was sent: ErrGoingAway, a HeaderListError,
// ErrStreamEnded (done is closed) or the error of the connection.
func (c *Conn) Open(done <-chan struct{}, f *Frames, whole bool, maxMessage int) (*Stream, error) {
	c.mu.Lock()
	for {
		switch {
		case c.life.phase == closed:
			defer c.mu.Unlock()
			return nil, c.life.reason
		case c.life.phase >= draining, c.table.nextID > maxStreamID:
			c.mu.Unlock()
			return nil, ErrGoingAway
		}
		if c.table.live < c.table.most && len(c.out.pending) < pendingCap {
			break
		}
		if c.table.live < c.table.most {
			if err := c.waitForRoom(done); err != nil && c.life.phase < closing {
				c.mu.Unlock()
				return nil, err
			}
			continue
		}
		wait := make(chan struct{})
		c.table.opening = append(c.table.opening, wait)
		c.mu.Unlock()
		if !c.awaitSlot(wait, done) {
			c.mu.Lock()
			c.table.opening = slices.DeleteFunc(c.table.opening, func(ch chan struct{}) bool { return ch == wait })
			c.admit() // the token may have been received already
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
	s.init(c, c.table.nextID)
	s.whole, s.MaxMessage = whole, maxMessage
	s.send.window = c.send.initial
	if c.table.nextID += 2; c.table.nextID > maxStreamID {
		c.life.unusable.Store(true)
	}
	c.table.streams[s.ID] = s
	c.peerMaySend(s)
	c.table.live++
	if whole {
		c.table.calls.Add(1)
	}
	noBody := f.Message == nil && f.End
	c.appendBlock(s.ID, block, noBody)
	if noBody {
		s.send.ended = true
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

// awaitSlot waits until wait or done is closed, and reports whether done is. It calls
// Config.Crowded if that takes long.
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
			say := c.cfg.Crowded != nil && now.Sub(c.table.crowdedSaid) >= crowdedEvery
			if say {
				c.table.crowdedSaid = now
			}
			limit, waiting := c.table.most, len(c.table.opening)
			c.mu.Unlock()
			if say {
				c.cfg.Crowded(limit, waiting)
			}
		}
	}
}

// Write sends f on the stream. f.Header is nil afterwards if it was sent. It waits
// for flow control and for the connection, or until done is closed. It returns
// ErrStreamEnded if the stream can send no more (Recv returns the reason) or done is
// closed, and a HeaderListError if the peer does not accept a header block.
func (s *Stream) Write(done <-chan struct{}, f *Frames, flush Flush) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.writeLocked(done, f, flush)
}

func (s *Stream) writeLocked(done <-chan struct{}, f *Frames, flush Flush) error {
	c := s.c
	if s.send.ended {
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
		if !s.recv.ended {
			// The rest of the request will not be read (RFC 9113 §8.1).
			c.rememberReset(s.ID)
			c.appendReset(s.ID, ErrCodeNo)
			c.removeLocked(s)
		}
	}
	if flush == FlushNow && len(c.out.pending) < deferFlush && s.flushedByReader() {
		// More will follow.
	} else if flush == FlushNow || (flush == FlushLater && !s.send.sent) || len(c.out.pending) >= deferFlush {
		c.flushLocked()
	} else {
		c.flushSoon()
	}
	s.send.sent, s.own.sent = true, true
	if f.Last && f.Trailer != nil {
		s.handled = true
		c.endHandling(s)
		c.endIfDrained()
	}
	return nil
}

// headerRoom waits until a header block may be queued: flow control does not apply to
// blocks. c.mu is held, and released while waiting.
func (s *Stream) headerRoom(done <-chan struct{}, f *Frames) error {
	if len(s.c.out.pending) < pendingCap || f.Reader {
		return nil
	}
	s.MayWait()
	if err := s.c.waitForRoom(done); err != nil {
		return err
	}
	if s.send.ended {
		return ErrStreamEnded
	}
	return nil
}

// endSend marks the sending side as ended.
func (s *Stream) endSend() {
	s.send.ended = true
	if s.recv.ended {
		s.c.removeLocked(s)
	}
}

// sendData queues b, which is in from, as DATA frames, as flow control allows. c.mu
// is held, and released while waiting.
func (s *Stream) sendData(done <-chan struct{}, b []byte, from *Buffer, end bool) error {
	c := s.c
	inParts := fastpath.Parts && from != nil && len(b) > copyMost && c.send.maxFrame > copyMost
	for {
		room := pendingCap - len(c.out.pending)
		if inParts && room > 0 {
			if room = partsCap - c.out.partBytes; room < min(len(b), partMost) {
				room = 0 // writing many small frames takes longer
			}
		}
		n := min(len(b), s.send.window, c.send.window, c.send.maxFrame, room)
		if n > 0 || len(b) == 0 {
			var whence *Buffer
			if inParts && n > copyMost {
				whence = from
			}
			c.appendData(s.ID, b[:n], whence, end && n == len(b))
			s.send.window -= n
			c.send.window -= n
			if b = b[n:]; len(b) == 0 {
				break
			}
			continue
		}
		if from != nil && from.claim != nil {
			if s.send.unsent == 0 {
				s.send.claim, s.send.since, s.send.then = from.claim, time.Now(), 0
			}
			s.send.unsent = len(b)
		}
		if err := s.waitToSend(done); err != nil {
			s.send.claim, s.send.unsent = nil, 0
			return err
		}
	}
	if s.send.unsent > 0 {
		s.send.claim, s.send.unsent = nil, 0
	}
	c.wakeBlocked() // there may be room for the next sender
	if end {
		s.endSend()
	}
	return nil
}

// waitToSend waits until the stream may be able to send. c.mu is held, and released
// while waiting.
func (s *Stream) waitToSend(done <-chan struct{}) error {
	s.MayWait()
	c := s.c
	if s.send.window > 0 && !s.send.blocked {
		s.send.blocked = true
		c.send.blocked = append(c.send.blocked, s)
	}
	if s.send.ready == nil {
		s.send.ready = make(chan struct{}, 1)
	}
	c.flushLocked() // what fills the buffer, or the window, has to be written first
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
	case <-s.send.ready:
	case <-done:
		stop = true
	case <-stalled:
		s.Reset(ErrCodeCancel, "the client does not read the response")
		stop = true
	}
	c.mu.Lock()
	if stop || s.send.ended {
		if s.send.blocked {
			s.send.blocked = false
			c.send.blocked = slices.DeleteFunc(c.send.blocked, func(b *Stream) bool { return b == s })
		}
		c.wakeBlocked()
		return ErrStreamEnded
	}
	return nil
}

// encode encodes a header block into c.send.block.
func (c *Conn) encode(b *Block) ([]byte, error) {
	cached, ok := c.send.enc.cached(b.Key)
	size := listSize(b.Extra)
	if ok {
		size += cached.size
	} else {
		size += listSize(b.Fixed)
	}
	if b.Timeout != nil {
		size += len(timeoutName) + len(b.Timeout) + 32
	}
	if size > c.send.maxList && !b.Always {
		return nil, &HeaderListError{size, c.send.maxList}
	}
	if ok {
		c.send.block = append(c.send.block[:0], cached.block...)
	} else {
		c.send.block = c.send.enc.appendNew(c.send.block[:0], b.Key, b.Fixed)
	}
	if b.Timeout != nil {
		c.send.block = appendLiteral(c.send.block, timeoutName, b.Timeout)
	}
	for _, f := range b.Extra {
		c.send.block = appendLiteral(c.send.block, f.Name, f.Value)
	}
	return c.send.block, nil
}
