package h2

import (
	"time"
)

// headers handles a header block. The block is always decoded to its end, because all
// streams share the compression state.
func (c *Conn) headers(fh FrameHeader) error {
	id := fh.StreamID
	end := fh.Flags.Has(FlagEndStream)
	p, err := c.in.br.Peek(min(fh.Length, maxHeadersStart))
	if err != nil {
		return cutShort(err)
	}
	f, err := parseHeaders(fh, p)
	if err != nil {
		return err
	}
	c.in.br.Discard(f.size)
	selfDep := f.dependsOn == id // which is not 0
	if c.client {
		return c.responseHeaders(fh, f, id, end, selfDep)
	}
	if id%2 == 0 {
		return fault(ErrCodeProtocol, "client opened stream %d, which is even", id)
	}
	if id <= c.table.lastPeer { // only the reader raises it
		return c.requestTrailers(fh, f, id, end)
	}
	return c.request(fh, f, id, end, selfDep)
}

// request handles the header block that opens a stream on a server.
func (c *Conn) request(fh FrameHeader, f headersStart, id uint32, end, selfDep bool) error {
	head, malformed, err := c.readBlock(fh, f, requestBlock, c.cfg.MaxHeaderList)
	if err != nil {
		c.mu.Lock()
		if c.life.said != theLast {
			c.table.lastPeer = id // for the GOAWAY
		}
		c.mu.Unlock()
		return err
	}
	if head.TooLarge {
		head = head.beginning()
	}
	var s *Stream
	if selfDep {
		malformed = "stream depends on itself"
	} else if malformed == "" {
		s = c.cfg.Handler.New()
		s.init(c, id)
		s.Head = head
		malformed = s.reader.announce(head)
	}
	if malformed == "" {
		s.whole = c.cfg.Handler.Open(s)
		if head.whole = s.whole; !s.whole {
			s.notify = make(chan struct{}, 1)
		}
	}
	cost := max(0, c.in.dec.cost()-freeHeaders)
	if head.TooLarge { // it was refused, and is not kept
		cost = 0
	}
	c.mu.Lock()
	if malformed == "" && !c.awaitRoom(cost) {
		malformed = noRoom
	}
	if c.life.said == theLast { // opened before the client knew that no more are accepted
		c.mu.Unlock()
		return nil
	}
	c.table.lastPeer = id
	if malformed != "" {
		code := ErrCodeProtocol
		if malformed == noRoom {
			code = ErrCodeRefusedStream
		}
		c.mu.Unlock()
		c.resetStream(id, code, malformed)
		return nil
	}
	c.table.live++
	if s.whole {
		c.table.calls.Add(1)
	}
	s.headerCost = cost
	c.table.headerBytes += cost
	s.send.window = c.send.initial
	c.table.streams[id] = s
	c.peerMaySend(s)
	c.enter(id)
	c.mu.Unlock()
	defer c.leave(s)
	c.cfg.Handler.Opened(s)
	if end {
		c.endReceive(s)
	}
	if !s.whole {
		c.start(s)
	}
	return nil
}

// requestTrailers handles a second header block of a stream: gRPC requests have none,
// HTTP/2 allows it at the end.
func (c *Conn) requestTrailers(fh FrameHeader, f headersStart, id uint32, end bool) error {
	c.mu.Lock()
	s := c.enter(id)
	wasReset := c.wasReset(id)
	c.mu.Unlock()
	defer c.leave(s)
	_, malformed, err := c.readBlock(fh, f, trailerBlock, 0)
	switch {
	case err != nil:
		return err
	case s == nil && wasReset:
		c.idleFrame()
	case s == nil:
		return fault(ErrCodeStreamClosed, "HEADERS for stream %d, which is closed", id)
	case s.recv.ended:
		c.resetStream(id, ErrCodeStreamClosed, "HEADERS after END_STREAM")
	case malformed != "":
		c.resetStream(id, ErrCodeProtocol, malformed)
	case !end:
		c.resetStream(id, ErrCodeProtocol, "a second HEADERS without END_STREAM")
	default:
		c.endReceive(s)
	}
	return nil
}

// responseHeaders handles a header block on a client.
func (c *Conn) responseHeaders(fh FrameHeader, f headersStart, id uint32, end, selfDep bool) error {
	c.mu.Lock()
	idle := c.isIdleLocked(id)
	s := c.enter(id)
	room := 0
	if s != nil {
		room = c.headersMost() - c.table.headerBytes
	}
	c.mu.Unlock()
	defer c.leave(s)
	if idle {
		return fault(ErrCodeProtocol, "HEADERS for stream %d, which was not opened", id)
	}
	kind := responseBlock
	if s != nil && !s.recv.ended && s.gotHead {
		kind = trailerBlock
	}
	head, malformed, err := c.readBlock(fh, f, kind, room)
	if err != nil {
		return err
	}
	if selfDep {
		malformed = "stream depends on itself"
	}
	if malformed == "" && kind == responseBlock && s != nil && !s.recv.ended {
		malformed = s.reader.announce(head)
	}
	informational := kind == responseBlock && malformed == "" && head.Status != "" && head.Status[0] == '1'
	switch {
	case s == nil && c.closedByServer(id) != notClosed:
		return c.afterClose(id, "HEADERS")
	case s == nil:
		c.idleFrame()
	case s.recv.ended:
		c.resetStream(id, ErrCodeStreamClosed, "HEADERS after END_STREAM")
	case malformed != "":
		c.resetStream(id, ErrCodeProtocol, malformed)
	case informational && end:
		c.resetStream(id, ErrCodeProtocol, "a 1xx response with END_STREAM")
	case informational:
		c.idleFrame()
	case s.gotHead && !end:
		c.resetStream(id, ErrCodeProtocol, "a second HEADERS without END_STREAM")
	case s.gotHead:
		head = c.holdHeaders(s, head)
		s.mu.Lock()
		s.in.trailer = head
		s.mu.Unlock()
		c.endReceive(s)
	default:
		s.gotHead = true
		s.reader.asGRPC = head.gRPC()
		head = c.holdHeaders(s, head)
		s.mu.Lock()
		s.in.head = head
		s.in.trailersOnly = end
		s.headKnown()
		s.mu.Unlock()
		if end {
			c.endReceive(s)
		} else if !s.whole {
			s.wake()
		}
	}
	return nil
}

// readBlock decodes a whole header block, CONTINUATION frames included; see
// headerDecoder.end. Of a large block no more than room bytes are kept; freeHeaders
// of them do not count.
func (c *Conn) readBlock(first FrameHeader, f headersStart, kind blockKind, room int) (head *Head, malformed string, err error) {
	ended := first.Flags.Has(FlagEndHeaders)
	if ended && f.fragment <= readBuffer {
		p, err := c.payload(f.fragment)
		if err != nil {
			return nil, "", err
		}
		if head, malformed, err = c.in.dec.block(kind, p); err != nil {
			return nil, "", err
		}
		return head, malformed, c.discard(f.padding)
	}
	// hpack would keep the part of a string that has arrived in a buffer of its own,
	// which never shrinks; so it is given the block as a whole.
	var block gathered
	defer block.drop()
	if err := c.gather(&block, f.fragment); err != nil {
		return nil, "", err
	}
	if err := c.discard(f.padding); err != nil {
		return nil, "", err
	}
	if !ended {
		// A block delays the whole connection, so it must end, and in a bounded number of
		// frames, however small.
		c.setReadDeadline(time.Now().Add(stoppedTime))
		defer c.setReadDeadline(time.Time{})
	}
	for n := 0; !ended; n++ {
		if most := continuationShare * c.in.dec.blockLimit / defaultMaxFrame; n == most {
			return nil, "", fault(ErrCodeEnhanceYourCalm, "more than %d CONTINUATION frames", most)
		}
		c.Flush() // what follows may take long to arrive
		fh, err := c.readFrameHeader()
		if err != nil {
			return nil, "", c.unfinished(err)
		}
		if fh.Type != FrameContinuation || fh.StreamID != first.StreamID {
			// RFC 9113 §6.10: nothing may come in between.
			return nil, "", fault(ErrCodeProtocol, "%v frame of stream %d inside a header block of stream %d", fh.Type, fh.StreamID, first.StreamID)
		}
		if block.size+fh.Length > c.in.dec.blockLimit {
			return nil, "", fault(ErrCodeEnhanceYourCalm, "header block of more than %d bytes", c.in.dec.blockLimit)
		}
		if err := c.gather(&block, fh.Length); err != nil {
			return nil, "", c.unfinished(err)
		}
		ended = fh.Flags.Has(FlagEndHeaders)
	}
	clear(c.in.dec.memo)
	c.in.dec.begin(kind)
	c.in.dec.most = min(c.in.dec.limit, max(room, 0)+freeHeaders)
	if kind == requestBlock {
		// The fields take at least as much memory as the block, unless it is encoded to
		// deceive. If that is too much, none of them is decoded.
		c.mu.Lock()
		if !c.awaitRoom(block.size - freeHeaders) {
			c.in.dec.malformed = noRoom
			c.in.dec.dec.SetEmitEnabled(false)
		}
		c.mu.Unlock()
	}
	if err := c.in.dec.feed(block.whole()); err != nil {
		return nil, "", err
	}
	return c.in.dec.end()
}

// gathered is the part of a header block that has arrived, in pieces of readBuffer
// bytes, so that a block that does not end takes no more memory than has arrived.
type gathered struct {
	parts []*Buffer
	size  int
}

// gather adds the next n bytes.
func (c *Conn) gather(g *gathered, n int) error {
	for n > 0 {
		p, err := c.payload(min(n, readBuffer))
		if err != nil {
			return err
		}
		n -= len(p)
		g.size += len(p)
		for len(p) > 0 {
			if k := len(g.parts); k == 0 || len(g.parts[k-1].B) == readBuffer {
				b := GetBuffer(readBuffer)
				b.B = b.B[:0]
				g.parts = append(g.parts, b)
			}
			last := g.parts[len(g.parts)-1]
			k := min(len(p), readBuffer-len(last.B))
			last.B, p = append(last.B, p[:k]...), p[k:]
		}
	}
	return nil
}

// whole returns all bytes, which are valid until drop.
func (g *gathered) whole() []byte {
	if len(g.parts) > 1 {
		all := GetBuffer(g.size)
		all.B = all.B[:0]
		for _, b := range g.parts {
			all.B = append(all.B, b.B...)
			b.Release()
		}
		g.parts = append(g.parts[:0], all)
	}
	if len(g.parts) == 0 {
		return nil
	}
	return g.parts[0].B
}

func (g *gathered) drop() {
	for _, b := range g.parts {
		b.Release()
	}
}

// unfinished returns the error for a header block whose end did not arrive.
func (c *Conn) unfinished(err error) error {
	if c.timedOut(err) {
		return fault(ErrCodeEnhanceYourCalm, "a header block was not finished within %v", stoppedTime)
	}
	return err
}
