package h2

import (
	"io"
	"strconv"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/wire"
)

// data handles a DATA frame. Its payload is read straight from the connection;
// padding is checked here (RFC 9113 §6.1).
func (c *Conn) data(fh FrameHeader) error {
	id, n := fh.StreamID, fh.Length
	if id == 0 {
		return fault(ErrCodeProtocol, "DATA for stream 0")
	}
	body, pad := n, 0
	if fh.Flags.Has(FlagPadded) {
		if n == 0 {
			return fault(ErrCodeFrameSize, "padded DATA without a pad length")
		}
		b, err := c.in.br.ReadByte()
		if err != nil {
			return err
		}
		if pad = int(b); pad > n-1 {
			return fault(ErrCodeProtocol, "DATA with padding of %d bytes in a frame of %d", pad, n)
		}
		body = n - 1 - pad
	}
	end := fh.Flags.Has(FlagEndStream)

	c.mu.Lock()
	if n > c.recv.window {
		c.mu.Unlock()
		return fault(ErrCodeFlowControl, "DATA beyond the connection's window")
	}
	c.takeWindow(n)
	room := c.recv.window
	s := c.enter(id)
	wasReset := s == nil && c.wasReset(id)
	sent := s != nil && s.own.sent
	if s != nil {
		s.own.sent, s.own.asked = false, false
	}
	c.mu.Unlock()
	defer c.leave(s)

	if s == nil || s.recv.ended || (c.client && !s.gotHead) {
		return c.strayData(s, id, body+pad, wasReset)
	}
	return c.dataOf(s, body, pad, n, room, end, sent)
}

// dataOf is data for a stream that expects it. n counts for flow control; sent
// reports that the stream has sent something since the last DATA.
func (c *Conn) dataOf(s *Stream, body, pad, n, room int, end, sent bool) error {
	id := s.ID
	if body == 0 && !end {
		c.idleFrame()
	}
	s.mu.Lock()
	over := n > max(s.in.window, 0) // an empty frame needs no window (RFC 9113 §6.9.1)
	s.in.window -= n
	room = min(room, s.in.window)
	s.mu.Unlock()
	if over {
		c.resetStream(id, ErrCodeFlowControl, "DATA beyond the stream's window")
		return c.discard(body + pad)
	}
	if s.reader.left >= 0 {
		if s.reader.left -= int64(body); s.reader.left < 0 {
			c.resetStream(id, ErrCodeProtocol, "body is longer than its content-length")
			return c.discard(body + pad)
		}
	}
	if err := c.assemble(s, body); err != nil {
		return err
	}
	if err := c.discard(pad); err != nil {
		return err
	}
	if fastpath.Bursts && !end && s.reader.left < 0 {
		var err error
		if end, err = c.more(s, room); err != nil {
			return err
		}
	}
	if !s.whole {
		c.role.got(id, sent && s.reader.ready.messages == 1 && c.table.calls.Load() == 0)
	}
	c.deliver(s, end)
	if end {
		c.endReceive(s)
	}
	return nil
}

// announce records a content-length (RFC 9113 §8.1.1), which gRPC does not use and
// other clients send.
func (a *assembler) announce(h *Head) (malformed string) {
	v, ok := h.Get("content-length")
	if !ok {
		return ""
	}
	n, err := strconv.ParseUint(v, 10, 62)
	if err != nil {
		return "content-length is not a number"
	}
	a.left = int64(n)
	return ""
}

// strayData handles DATA that no stream expects (RFC 9113 §5.1).
func (c *Conn) strayData(s *Stream, id uint32, n int, wasReset bool) error {
	switch {
	case s == nil && c.isIdle(id):
		return fault(ErrCodeProtocol, "DATA for stream %d, which was not opened", id)
	case s == nil && c.client && c.closedByServer(id) != notClosed:
		if err := c.afterClose(id, "DATA"); err != nil {
			return err
		}
	case s == nil && (wasReset || c.client || c.unheard(id)):
		// The peer sent it before it knew of the reset. It was within flow control, so only
		// an empty frame costs the peer nothing.
		if n == 0 {
			c.idleFrame()
		}
	case s == nil, s.recv.ended:
		c.resetStream(id, ErrCodeStreamClosed, "DATA after the end of the stream")
	default:
		c.resetStream(id, ErrCodeProtocol, "DATA before HEADERS")
	}
	return c.discard(n)
}

// assemble reads n bytes of the body of a stream.
func (c *Conn) assemble(s *Stream, n int) error {
	a := &s.reader
	for n > 0 {
		switch {
		case a.failed:
			return c.discard(n)
		case c.client && !a.asGRPC:
			return c.errorBody(s, n)
		case a.cur == nil:
			if fastpath.Packing && a.nprefix == 0 && a.ready.messages >= packAfter && n <= c.in.br.Buffered() {
				b, _ := c.in.br.Peek(n)
				if k := a.packWhole(s, b); k > 0 {
					n -= k
					c.in.br.Discard(k)
					continue
				}
			}
			k := min(n, prefixLen-int(a.nprefix))
			if _, err := io.ReadFull(c.in.br, a.prefix[a.nprefix:int(a.nprefix)+k]); err != nil {
				return err
			}
			n -= k
			if a.nprefix += uint8(k); a.nprefix == prefixLen {
				a.begin(s, n)
				if a.size > largeMessage {
					c.takeLargeFrames()
				}
				if a.size > streamWindow && a.cur != nil && a.ready.messages == 0 {
					c.announced(s, n) // request the rest while this frame arrives
				}
			}
		default:
			if a.got == len(a.cur.B) {
				a.cur = a.cur.grow(s.growth(n))
			}
			k := min(n, len(a.cur.B)-a.got)
			if _, err := io.ReadFull(c.in.br, a.cur.B[a.got:a.got+k]); err != nil {
				return err
			}
			n -= k
			if a.got += k; a.got == a.size {
				a.finish()
			}
		}
	}
	return nil
}

// growth returns the size to which the buffer of a message should grow when n more
// bytes of a frame have arrived: no more than the peer has window for, but at least
// twice its size. The last step leads from a small part to the whole, since both are
// in memory for a moment. Reader only.
func (s *Stream) growth(n int) int {
	a := &s.reader
	got, whole := int64(a.got), int64(a.size) // sums of these may exceed an int of 32 bits
	s.mu.Lock()
	most := got + int64(n) + int64(s.in.window) - int64(a.uncounted)
	s.mu.Unlock()
	size := min(most, 4*got)
	switch {
	case got >= wholeFrom && whole/wholeShare <= got && whole-got <= wholeMost,
		whole <= most && whole-size <= got: // sizes just above a power of two are common
		size = most
	}
	return int(min(whole, max(size, 2*got)))
}

// begin starts a message whose prefix is complete; n bytes of the frame are left.
func (a *assembler) begin(s *Stream, n int) {
	a.nprefix = 0
	flag, size, err := wire.ParsePrefix(a.prefix[:])
	switch {
	case err != nil:
		a.fail(s, &MessageError{Reason: "message with the flag " + strconv.Itoa(int(a.prefix[0])) + ", which gRPC does not define"})
		return
	case uint64(size) > uint64(s.MaxMessage):
		a.fail(s, &MessageError{TooLarge: true, Length: int64(size), Limit: s.MaxMessage, Field: s.c.cfg.MessageField})
		return
	}
	a.size, a.got = int(size), 0
	if a.cur = spareBuffer(a.size); a.cur == nil {
		a.cur = GetBuffer(min(a.size, max(n, eagerAlloc)))
	}
	a.cur.Compressed = flag == 1
	if a.size == 0 {
		a.finish()
	}
}

// finish adds a whole message to the frame's list.
func (a *assembler) finish() {
	a.ready.push(a.cur)
	a.cur = nil
}

func (a *assembler) fail(s *Stream, err error) {
	a.failed = true
	s.mu.Lock()
	if s.in.failed == nil {
		s.in.failed = err
	}
	s.mu.Unlock()
}

// errorBody keeps the beginning of a body that is not gRPC, for quoting it.
func (c *Conn) errorBody(s *Stream, n int) error {
	s.mu.Lock()
	k := min(n, maxErrorBody-len(s.in.body))
	s.mu.Unlock()
	part := make([]byte, k)
	if _, err := io.ReadFull(c.in.br, part); err != nil {
		return err
	}
	s.mu.Lock()
	s.in.body = append(s.in.body, part...)
	s.mu.Unlock()
	return c.discard(n - k)
}

// deliver delivers the messages of one frame to the consumer and grants window. end
// reports that the stream ends with them.
func (c *Conn) deliver(s *Stream, end bool) {
	a := &s.reader
	queued := a.ready.bytes
	s.mu.Lock()
	in := &s.in
	whole := in.large && queued > 0
	if whole { // it counts as buffered from now on, and takes its claim along
		s.mu.Unlock()
		c.mu.Lock()
		s.mu.Lock()
		if b := a.ready.first; b.packed == 0 {
			b.Charge(s.recv.claim)
			s.recv.claim, s.recv.since = Claim{}, time.Now()
		}
	}
	if in.err != nil { // reset meanwhile: there is no consumer any more
		s.mu.Unlock()
		if whole {
			c.mu.Unlock()
		}
		a.drop()
		return
	}
	if b := a.ready.first; b != nil && len(b.B) > loneWindow {
		c.recv.largest.Store(max(c.recv.largest.Load(), int64(len(b.B))))
	}
	in.window -= a.uncounted
	a.uncounted = 0
	in.queue.append(&a.ready)
	if s.whole && in.queue.messages > 1 && in.failed == nil {
		a.failed = true
		in.failed = &MessageError{Extra: true, Reason: "more than one message; exactly one is required"}
	}
	in.partial, in.need = int(a.nprefix), 0
	if a.cur != nil {
		in.partial, in.need = prefixLen+a.got, a.size-a.got
	}
	in.large = in.large && !whole
	inc, large := s.credit()
	failed := in.failed != nil
	c.recv.buffered.Add(int64(queued))
	s.mu.Unlock()
	if whole {
		c.unreserve(s)
		c.mu.Unlock()
	}
	c.grant(s, inc, large)
	switch {
	case failed && c.client:
		c.mu.Lock()
		if !s.gone {
			c.rememberReset(s.ID)
			c.appendReset(s.ID, ErrCodeCancel)
			c.removeLocked(s)
		}
		c.mu.Unlock()
		a.drop()
		s.wake()
	case failed && s.whole:
		if !end { // otherwise its handler would answer a request that seems to go on
			c.start(s)
		}
	case failed, queued > 0 && !s.whole:
		s.wake()
	}
}

// announced grants the window that a large message needs as soon as its length is
// known. n bytes of the frame are left, all of which belong to the message.
func (c *Conn) announced(s *Stream, n int) {
	s.mu.Lock()
	s.in.window -= s.reader.uncounted
	s.reader.uncounted = 0
	s.in.partial, s.in.need = prefixLen+n, s.reader.size-n
	inc, large := s.credit()
	s.mu.Unlock()
	c.grant(s, inc, large)
	c.Flush()
}

// endReceive handles END_STREAM. Reader only.
func (c *Conn) endReceive(s *Stream) {
	if s.reader.left > 0 {
		c.resetStream(s.ID, ErrCodeProtocol, "body is shorter than its content-length")
		return
	}
	c.mu.Lock()
	s.recv.ended = true
	c.peerHasSent(s)
	if c.client && !s.send.ended {
		// The server has sent everything; it has no use for what we would send (RFC 9113
		// §8.1).
		c.rememberReset(s.ID)
		c.appendReset(s.ID, ErrCodeNo)
		s.send.ended = true
	}
	if c.client {
		c.rememberClose(s.ID, byEnd)
	}
	if s.send.ended {
		c.removeLocked(s)
	}
	c.role.got(0, s.whole && c.table.calls.Load() == 0)
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
		c.in.lone = s
	}
}

// start passes a whole request to the handler, once.
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
