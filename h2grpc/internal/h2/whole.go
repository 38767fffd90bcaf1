package h2

import (
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/wire"
)

// The frames of a unary call mostly arrive together: a header block, a small message
// and, of a response, the trailers. Handled one by one, each would take the locks of
// the connection and the stream, for which other goroutines compete. Together they
// take them once.
//
// Only usual frames are handled here, and nothing is consumed before they are known
// to be usual, so that everything else, and all faults, are left to the functions for
// single frames: request, responseHeaders, data and endReceive. What these record for
// a stream that is still open (windows, how much of a message has arrived) is left
// out here, since the stream has ended before anything can look at it.

// exchange is one direction of a unary call in the connection's buffer.
type exchange struct {
	head       *memoBlock
	message    []byte // with its prefix
	compressed bool
	trailer    *memoBlock // of a response
	size       int        // of all frames, without the first one's header
}

// takeWhole handles a HEADERS frame together with the frames that follow it, and
// reports whether it did. Reader only.
func (c *Conn) takeWhole(fh FrameHeader) bool {
	if !fastpath.WholeExchange || fh.Flags != FlagEndHeaders || c.in.br.Buffered() < fh.Length+frameHeaderLen {
		return false
	}
	var x exchange
	if !c.peekExchange(fh, &x) {
		return false
	}
	m := GetBuffer(len(x.message) - prefixLen)
	m.Compressed = x.compressed
	copy(m.B, x.message[prefixLen:])
	ok := false
	if c.client {
		ok = c.wholeResponse(fh.StreamID, &x, m)
	} else {
		ok = c.wholeRequest(fh.StreamID, &x, m)
	}
	if !ok {
		m.Release()
		return false
	}
	c.in.br.Discard(x.size)
	return true
}

// peekExchange fills in x if the usual frames follow the header of a HEADERS frame.
func (c *Conn) peekExchange(first FrameHeader, x *exchange) bool {
	b, _ := c.in.br.Peek(c.in.br.Buffered())
	kind, end := requestBlock, FlagEndStream
	if c.client {
		kind, end = responseBlock, 0
	}
	x.head = c.in.dec.known(kind, b[:first.Length])
	if x.head == nil || !c.client && !x.head.head.whole {
		return false
	}
	x.message = peekFrame(b[first.Length:], FrameHeader{Type: FrameData, Flags: end, StreamID: first.StreamID})
	if len(x.message) < prefixLen || len(x.message) > packSize {
		return false
	}
	x.size = first.Length + frameHeaderLen + len(x.message)
	flag, n, err := wire.ParsePrefix(x.message)
	if err != nil || int(n) != len(x.message)-prefixLen {
		return false
	}
	x.compressed = flag == 1
	if c.client {
		p := peekFrame(b[x.size:], FrameHeader{Type: FrameHeaders, Flags: FlagEndHeaders | FlagEndStream, StreamID: first.StreamID})
		if x.trailer = c.in.dec.known(trailerBlock, p); x.trailer == nil {
			return false
		}
		x.size += frameHeaderLen + len(p)
	}
	return true
}

// peekFrame returns the payload of the frame at the beginning of b, if its header
// equals want except for the length, and nil otherwise.
func peekFrame(b []byte, want FrameHeader) []byte {
	if len(b) < frameHeaderLen {
		return nil
	}
	fh := parseFrameHeader(b)
	want.Length = fh.Length
	if fh != want || fh.Length > len(b)-frameHeaderLen {
		return nil
	}
	return b[frameHeaderLen:][:fh.Length]
}

// wholeRequest begins a call whose request is m, and reports whether it did. If not,
// the handler may be asked for the stream again.
func (c *Conn) wholeRequest(id uint32, x *exchange, m *Buffer) bool {
	if id%2 == 0 || id <= c.table.lastPeer {
		return false
	}
	s := c.cfg.Handler.New()
	s.init(c, id)
	s.Head = x.head.head
	if s.whole = c.cfg.Handler.Open(s); !s.whole || len(m.B) > s.MaxMessage {
		return false
	}
	cost := max(0, x.head.cost-freeHeaders)
	s.headerCost = cost
	s.recv.ended, s.started = true, true
	s.in.queue.push(m)
	s.in.ended = true
	n := len(x.message)
	c.mu.Lock()
	if c.life.said == theLast || !c.hasRoom(cost) || n > min(c.recv.granted, c.recv.window) {
		c.mu.Unlock()
		return false
	}
	c.takeWindow(n)
	c.table.lastPeer = id
	c.table.live++
	c.table.calls.Add(1)
	c.table.headerBytes += cost
	s.send.window = c.send.initial
	c.table.streams[id] = s
	c.recv.buffered.Add(int64(n))
	c.growWindow()
	c.mu.Unlock()
	c.cfg.Handler.Opened(s)
	c.in.lone = s
	return true
}

// wholeResponse ends a call whose response is m, and reports whether it did.
func (c *Conn) wholeResponse(id uint32, x *exchange, m *Buffer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.table.streams[id]
	if s == nil || !s.whole || s.gotHead || s.recv.ended || !s.send.ended || len(m.B) > s.MaxMessage {
		return false
	}
	// For a stream in the table whose consumer waits for the whole, these are changed
	// only by the reader, or with c.mu held.
	in, n := &s.in, len(x.message)
	if n > min(in.window, c.recv.window) || in.err != nil || in.failed != nil {
		return false
	}
	c.takeWindow(n)
	c.recv.buffered.Add(int64(n))
	s.recv.ended = true
	c.rememberClose(id, byEnd)
	c.remove(s)
	c.role.got(0, c.table.calls.Load() == 0)
	s.mu.Lock()
	in.head, in.trailer = x.head.head, x.trailer.head
	in.queue.push(m)
	in.ended = true
	s.headKnown()
	s.wake()
	s.mu.Unlock()    // the consumer may use the stream for another call now
	c.endIfDrained() // this may release c.mu
	return true
}

// Whole is everything that a stream has received whose consumer wanted it at once.
type Whole struct {
	Message *Buffer // belongs to the consumer; nil: none
	More    bool    // there is another message, which Reset drops
	Response
	Err error // not nil: io.EOF after an orderly end; otherwise why nothing more comes
}

// Whole takes everything from a stream for which Wait has returned nil, or, on a
// server, which was passed on as a whole.
func (s *Stream) Whole() (w Whole) {
	s.mu.Lock()
	in := &s.in
	w.Message = in.queue.pop()
	w.More = in.queue.first != nil
	w.Response = s.response()
	w.Err = in.end()
	s.mu.Unlock()
	if w.Message != nil {
		s.c.received(s, len(w.Message.B)+prefixLen, 0, 0)
	}
	return w
}
