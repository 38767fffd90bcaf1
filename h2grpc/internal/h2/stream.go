package h2

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Stream is one call on a connection.
//
// One goroutine may send while another receives; neither side may be used by
// two at once. The reader goroutine owns the fields under reader; mu guards
// what it hands to the consumer; Conn.mu guards the rest. Whoever holds
// Stream.mu does not take Conn.mu.
type Stream struct {
	c  *Conn
	ID uint32
	// Head is a request's header block on the server. It does not change, and
	// other streams may have the same.
	Head *Head
	// MaxMessage limits received messages; Handler.Open and Open may lower or
	// raise the connection's limit.
	MaxMessage int
	// Data is the handler's, for finding its own state again.
	Data any

	// A server makes a stream for each call: their order saves room.
	whole   bool // the consumer is woken only when everything has arrived
	gotHead bool // reader: response headers are there, and more is to come
	handled bool // the handler's: Done is needed for the connection no more
	own     own

	reader assembler
	held   atomic.Int64 // client: counted in Conn.headerBytes, or forgotten

	// guarded by Conn.mu
	sendWindow int
	sendEnded  bool // we sent END_STREAM, or can send no more
	recvEnded  bool // the peer sent END_STREAM; written by the reader
	started    bool // server: Ready was called, Done is due
	gone       bool // no longer in Conn.streams
	blocked    bool // in Conn.blocked
	sent       bool // something was sent and nothing received since
	assembled  bool // has been in Conn.assembling
	maySend    bool // counted in Conn.receiving
	heard      bool // the peer has granted window since a message was begun
	reserved   int  // of Conn.assembly
	wanted     int  // of Conn.assembly, while in Conn.assembling
	headerCost int  // server: counted in Conn.headerBytes
	sendReady  chan struct{}
	// coming is the claim of the message that has window of its own, since comingSince,
	// or that has come then, and sending that of the one that waits for window, which
	// lacks unsent bytes.
	coming                    Claim
	keeps                     *Account // the last that it had a claim of, for a message received
	sending                   *Claim
	comingSince, sendingSince time.Time
	excused                   time.Time // the message could not come, because of us
	unsent                    int
	comeThen, sentThen        int // bytes of them that had moved at comingSince and sendingSince

	mu     sync.Mutex
	in     inbound
	notify chan struct{} // nil if nobody will wait

	taken *taken // nil: never any
}

// inbound is what has been received for a stream's consumer. Guarded by
// Stream.mu.
type inbound struct {
	head, trailer *Head // of a response
	queue         queue
	taken         int // bytes of messages that the consumer has taken and maybe not used
	partial       int // bytes of the message that is still coming
	need          int // bytes it still lacks
	window        int // what the peer may send before we grant more
	base          int // the part of it that SETTINGS gave
	trailersOnly  bool
	large         bool   // the message that is coming has window of its own
	ended         bool   // END_STREAM
	err           error  // why nothing more comes; after the queue
	failed        error  // a message error
	body          []byte // beginning of a body that is not gRPC
	headWait      chan struct{}
}

// spareStream returns a stream for a client's next call.
func (c *Conn) spareStream() *Stream {
	if s, ok := c.spareStreams.Get().(*Stream); ok {
		return s
	}
	return &Stream{notify: make(chan struct{}, 1)}
}

func (s *Stream) init(c *Conn, id uint32) {
	s.c, s.ID, s.MaxMessage = c, id, c.cfg.MaxMessage
	s.reader.left = -1
}

// Recycle lets another call use the stream of a client whose consumer wanted the
// whole response. The caller has no other use for it; what Response returned
// stays valid. It does nothing unless the call ended as it should, and nobody
// else can still have a use for the stream.
func (s *Stream) Recycle() {
	s.mu.Lock()
	in := &s.in
	over := in.ended && in.err == nil && in.failed == nil && in.queue.first == nil && in.taken == 0
	s.mu.Unlock()
	// The reader was done with the stream when it set in.ended.
	if !over || !s.whole || s.sendReady != nil || s.assembled {
		return
	}
	select {
	case <-s.notify:
	default:
	}
	c := s.c
	s.c, s.ID, s.MaxMessage = nil, 0, 0
	s.whole, s.gotHead = false, false
	s.reader = assembler{}
	s.sendWindow, s.sendEnded, s.recvEnded, s.gone, s.sent, s.heard = 0, false, false, false, false, false
	s.held.Store(0)
	s.in = inbound{}
	c.spareStreams.Put(s)
}

// Conn returns the stream's connection.
func (s *Stream) Conn() *Conn { return s.c }

// wake tells the consumer that something has changed. The channel holds one
// token: a consumer that is not waiting finds it later.
func (s *Stream) wake() {
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

// terminate ends the receiving side with err. What was received before stays
// readable unless drop is set.
func (s *Stream) terminate(err error, drop bool) {
	s.mu.Lock()
	first := s.in.err == nil && !(s.in.ended && s.in.trailer != nil)
	if s.in.err == nil {
		s.in.err = err
	}
	s.headKnown()
	freed := 0
	if drop {
		freed = s.dropAll()
	}
	s.mu.Unlock()
	s.c.consumed(freed)
	s.wake()
	if first && !s.c.client {
		s.c.cfg.Handler.Reset(s)
	}
}

// Recv returns the next message. It waits until one is there, the stream has
// ended (io.EOF), was reset or lost (an error), or done is closed
// (ErrStreamEnded; the caller knows why). The caller owns the message.
func (s *Stream) Recv(done <-chan struct{}) (*Buffer, error) {
	for {
		if b, err := s.tryRecv(); b != nil || err != nil {
			return b, err
		}
		if s.c.sentUnflushed(s) {
			s.c.Flush() // the peer may be waiting for what we hold back
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

// tryRecv is Recv without waiting: (nil, nil) means that nothing is there yet.
func (s *Stream) tryRecv() (*Buffer, error) {
	if b := s.next(); b != nil {
		return b, nil
	}
	s.mu.Lock()
	if s.in.queue.messages > 1 {
		s.takeAll()
		s.mu.Unlock()
		return s.next(), nil
	}
	b := s.in.queue.pop()
	if b == nil {
		err := s.in.end()
		s.mu.Unlock()
		return nil, err
	}
	n := len(b.B) + prefixLen
	inc, large := s.credit()
	s.mu.Unlock()
	s.c.received(s, n, inc, large)
	return b, nil
}

// end is why nothing more comes, io.EOF after an orderly end, or nil.
func (in *inbound) end() error {
	switch {
	case in.err != nil:
		return in.err
	case in.failed != nil:
		return in.failed
	case in.ended:
		return io.EOF
	}
	return nil
}

// WaitHead waits for the response headers, at most until done is closed. It
// returns nil if the stream ended without any. Unlike the other methods that
// wait it may be called by any number of goroutines.
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

// headKnown wakes those who wait for the head: it is there, or will not come.
// s.mu is held.
func (s *Stream) headKnown() {
	if s.in.headWait != nil {
		close(s.in.headWait)
		s.in.headWait = nil
	}
}

// Wait waits until the stream has ended. It is for streams whose consumer
// wants everything at once. If done is closed and the stream has ended as well,
// the stream counts. With own, the caller may read the connection meanwhile, and
// then sees that done is closed up to twice watchPeriod later.
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

// over says whether nothing more comes.
func (s *Stream) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.end() != nil
}

// Complete says whether the peer has ended the stream in order and the consumer
// has taken all messages.
func (s *Stream) Complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.in.ended && s.in.err == nil && s.in.failed == nil && s.in.queue.messages == 0 && s.in.taken == 0
}

// WaitEnd waits until the peer has ended its side, the stream is gone or done is
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

// Starved returns why the stream was reset because it kept memory from others; nil
// if it was not.
func (s *Stream) Starved() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.in.err.(*ResetError); ok && e.Local && e.Code == ErrCodeEnhanceYourCalm {
		return e
	}
	return nil
}

// Response is what has been received besides messages.
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

// Reset ends the stream at once with an RST_STREAM, unless it has already
// ended, and drops what was received and not read.
func (s *Stream) Reset(code ErrCode, reason string) {
	s.c.mu.Lock()
	if !s.gone {
		s.c.rememberReset(s.ID)
		s.c.appendReset(s.ID, code)
		s.c.removeLocked(s)
		s.c.abandon(s)
		s.c.flushLocked()
	}
	s.c.mu.Unlock()
	s.terminate(&ResetError{Code: code, Local: true, Reason: reason}, true)
}

// Done says that a server's handler has returned. It frees what was not read.
// If the response was not ended, the stream is reset.
func (s *Stream) Done() {
	c := s.c
	if !s.handled {
		c.mu.Lock()
		if !s.gone && !s.sendEnded {
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
	freed := s.dropAll()
	if s.in.err == nil {
		s.in.err = ErrStreamEnded // what the reader is still assembling is for nobody
	}
	s.mu.Unlock()
	c.consumed(freed)
	c.wantReader() // the stream will not
}

// endHandling is the end of what a server does for a stream. c.mu is held.
func (c *Conn) endHandling(s *Stream) {
	c.live--
	c.headerBytes -= s.headerCost
	if s.whole {
		c.calls.Add(-1)
	}
	c.handlerLate = false
	if c.handlerEnds != nil {
		close(c.handlerEnds)
		c.handlerEnds = nil
	}
}

// awaitHandler waits until a handler returns whose stream has ended, and says
// whether one did: see handlerWait. c.mu is held, and released meanwhile. Reader
// only.
func (c *Conn) awaitHandler() bool {
	if c.live <= len(c.streams) || c.handlerLate {
		return false
	}
	c.flushLocked()
	if c.live <= len(c.streams) {
		return true // one has returned meanwhile
	}
	c.handlerLate = true
	ends := make(chan struct{})
	c.handlerEnds = ends
	c.mu.Unlock()
	t := time.NewTimer(handlerWait)
	select {
	case <-ends:
	case <-t.C:
	}
	t.Stop()
	c.mu.Lock()
	c.handlerEnds = nil
	return !c.handlerLate
}

// removeLocked takes a stream off the connection.
func (c *Conn) removeLocked(s *Stream) {
	if !s.gone {
		c.remove(s)
		c.endIfDrained()
	}
}

// remove is removeLocked but for what follows from its having been the last stream.
func (c *Conn) remove(s *Stream) {
	s.gone, s.sendEnded = true, true
	delete(c.streams, s.ID)
	c.peerHasSent(s)
	c.unreserve(s)
	s.wakeSender()
	if c.client {
		c.live--
		if s.whole {
			c.calls.Add(-1)
		}
		c.admit()
	} else if !s.started {
		c.endHandling(s)
	}
}

// resetStream answers a fault of one stream, known or not. Reader only.
func (c *Conn) resetStream(id uint32, code ErrCode, reason string) {
	c.useless(resetCost)
	c.mu.Lock()
	s := c.streams[id]
	c.rememberReset(id)
	c.appendReset(id, code)
	if s != nil {
		c.removeLocked(s)
	}
	c.mu.Unlock()
	if s != nil {
		s.reader.drop() // its handler may be there for long
		s.terminate(&ResetError{Code: code, Local: true, Reason: reason}, false)
	}
}

// endReceive handles END_STREAM. Reader only.
func (c *Conn) endReceive(s *Stream) {
	if s.reader.left > 0 {
		c.resetStream(s.ID, ErrCodeProtocol, "body is shorter than its content-length")
		return
	}
	c.mu.Lock()
	s.recvEnded = true
	c.peerHasSent(s)
	if c.client && !s.sendEnded {
		// The server has said all it will; what we would send is of no use to
		// it (RFC 9113 §8.1).
		c.rememberReset(s.ID)
		c.appendReset(s.ID, ErrCodeNo)
		s.sendEnded = true
	}
	if c.client {
		c.rememberClose(s.ID, byEnd)
	}
	if s.sendEnded {
		c.removeLocked(s)
	}
	c.role.got(0, s.whole && c.calls.Load() == 0)
	start := !c.client && s.whole && !s.gone && !s.started
	if start {
		s.started = true
	}
	c.mu.Unlock()
	truncated := s.reader.cur != nil || s.reader.nprefix > 0
	s.mu.Lock()
	s.headKnown()
	if truncated && s.in.failed == nil {
		s.in.failed = &MessageError{Reason: "the stream ended inside a message"}
	}
	s.in.ended = true
	s.wake() // before the consumer can see the end, and recycle the stream
	s.mu.Unlock()
	if start {
		c.lone = s
	}
}

// start hands a whole request to the handler, once.
func (c *Conn) start(s *Stream) {
	c.mu.Lock()
	ok := !s.gone && !s.started
	if ok {
		s.started = true
	}
	c.mu.Unlock()
	if ok {
		c.cfg.Handler.Ready(s)
	}
}

// Streams returns how many streams are open.
func (c *Conn) Streams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams)
}
