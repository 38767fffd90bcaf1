package h2

// Recycle lets another call of the client reuse the stream, whose consumer wanted the
// whole response. The caller must not use it afterwards; the result of Response stays
// valid. It does nothing unless the call ended normally and nothing else can still
// use the stream.
func (s *Stream) Recycle() {
	s.mu.Lock()
	in := &s.in
	over := in.ended && in.err == nil && in.failed == nil && in.queue.first == nil
	s.mu.Unlock()
	// The reader no longer used the stream when it set in.ended.
	if !over || !s.whole || s.send.ready != nil || s.recv.assembled {
		return
	}
	select {
	case <-s.notify:
	default:
	}
	c := s.c
	s.c, s.ID, s.MaxMessage = nil, 0, 0
	s.whole, s.gotHead = false, false
	s.reader, s.own = assembler{}, own{}
	s.send.window, s.send.ended, s.recv.ended, s.gone, s.send.sent, s.send.heard = 0, false, false, false, false, false
	s.held.Store(0)
	s.in = inbound{}
	c.table.spare.Put(s)
}

// Conn returns the stream's connection.
func (s *Stream) Conn() *Conn { return s.c }

// Recv returns the next message. It waits until one has arrived, the stream has ended
// (io.EOF), was reset or lost (an error), or done is closed (ErrStreamEnded; the
// caller knows the reason). The message belongs to the caller.
func (s *Stream) Recv(done <-chan struct{}) (*Buffer, error) {
	for {
		if b, err := s.tryRecv(); b != nil || err != nil {
			return b, err
		}
		if s.c.sentUnflushed(s) {
			s.c.Flush() // the peer may be waiting for what is queued
		}
		if s.readOwn() {
			continue
		}
		select {
		case <-s.notify:
		case <-done:
			return nil, ErrStreamEnded
		}
	}
}

// tryRecv is Recv without waiting: (nil, nil) means that nothing has arrived yet.
func (s *Stream) tryRecv() (*Buffer, error) {
	s.mu.Lock()
	b := s.in.queue.pop()
	if b == nil {
		err := s.in.end()
		s.mu.Unlock()
		return nil, err
	}
	inc, large := s.credit()
	s.mu.Unlock()
	s.c.received(s, len(b.B)+prefixLen, inc, large)
	return b, nil
}

// WaitHead waits for the response headers, or until done is closed. It returns nil if
// the stream ended without any. Unlike the other methods that wait, it may be called
// by any number of goroutines.
func (s *Stream) WaitHead(done <-chan struct{}) *Head {
	s.mu.Lock()
	h := s.in.head
	if h != nil || s.in.ended || s.in.err != nil || s.in.failed != nil {
		s.mu.Unlock()
		return h
	}
	if s.in.headWait == nil {
		s.in.headWait = make(chan struct{})
	}
	wait := s.in.headWait
	s.mu.Unlock()
	s.c.Flush()
	s.c.wantReader()
	select {
	case <-wait:
	case <-done:
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.head
}

// Wait waits until the stream has ended, for streams whose consumer wants everything
// at once. If done is closed and the stream has ended as well, the stream counts.
// With own, the caller may read the connection itself, and may then notice up to
// twice watchPeriod later that done is closed.
func (s *Stream) Wait(done <-chan struct{}, own bool) error {
	if own {
		s.readOwn()
	} else {
		s.c.wantReader()
	}
	for stop := false; ; {
		switch {
		case s.over():
			return nil
		case stop:
			return ErrStreamEnded
		}
		select {
		case <-s.notify:
		case <-done:
			stop = true
		}
	}
}

// over reports whether nothing more comes.
func (s *Stream) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.end() != nil
}

// Complete reports whether the peer has ended the stream in order and the consumer
// has taken all messages.
func (s *Stream) Complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.ended && s.in.err == nil && s.in.failed == nil && s.in.queue.messages == 0
}

// WaitEnd waits until the peer has ended its side, the stream has ended, or done is
// closed, whatever was wrong with its messages.
func (s *Stream) WaitEnd(done <-chan struct{}) {
	for {
		s.mu.Lock()
		over := s.in.ended || s.in.err != nil
		s.mu.Unlock()
		if over {
			return
		}
		s.c.wantReader()
		select {
		case <-s.notify:
		case <-done:
			return
		}
	}
}

// Starved returns the error of a stream that was reset because it kept memory from
// others, nil otherwise.
func (s *Stream) Starved() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.in.reset
	if e == nil {
		e, _ = s.in.err.(*ResetError)
	}
	if e != nil && e.Local && e.Code == ErrCodeEnhanceYourCalm {
		return e
	}
	return nil
}

// Response is what has been received, without messages.
type Response struct {
	Head, Trailer *Head // nil if absent
	TrailersOnly  bool  // Head is both
	Body          []byte
	Ended         bool // the peer ended the stream in order
}

// Response returns what has been received so far.
func (s *Stream) Response() Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.response()
}

// response is Response with s.mu held.
func (s *Stream) response() Response {
	return Response{s.in.head, s.in.trailer, s.in.trailersOnly, s.in.body, s.in.ended && s.in.err == nil}
}

// Reset ends the stream at once with an RST_STREAM, unless it has ended already, and
// drops what was received and not read.
func (s *Stream) Reset(code ErrCode, reason string) {
	err := &ResetError{Code: code, Local: true, Reason: reason}
	s.c.mu.Lock()
	if !s.gone {
		s.mu.Lock()
		s.in.reset = err // for a sender, which may notice the end before terminate runs
		s.mu.Unlock()
		s.c.rememberReset(s.ID)
		s.c.appendReset(s.ID, code)
		s.c.removeLocked(s)
		s.c.abandon(s)
		s.c.flushLocked()
	}
	s.c.mu.Unlock()
	s.terminate(err, true)
}

// Done must be called when a server's handler has returned. It frees what was not
// read. If the response was not ended, it resets the stream.
func (s *Stream) Done() {
	c := s.c
	if !s.handled {
		c.mu.Lock()
		if !s.gone && !s.send.ended {
			c.rememberReset(s.ID)
			c.appendReset(s.ID, ErrCodeInternal)
			c.removeLocked(s)
			c.flushLocked()
		}
		c.endHandling(s)
		c.endIfDrained()
		c.mu.Unlock()
	}
	s.mu.Lock()
	freed := s.in.queue.drop()
	if s.in.err == nil {
		s.in.err = ErrStreamEnded // what the reader is still assembling will not be read
	}
	s.mu.Unlock()
	c.consumed(freed)
	c.wantReader() // the stream will not read any more
}

// Streams returns how many streams are open.
func (c *Conn) Streams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.table.streams)
}
