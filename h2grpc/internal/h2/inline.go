package h2

import "time"

// A server's reader runs a handler itself if it is quick and its call is alone, or
// if it is very quick: handing it to another goroutine would cost more than the
// call. Meanwhile nobody reads, so the role of the reader goes to another goroutine
// as soon as the handler is about to wait as far as we can know (MayWait), and
// otherwise when a watch finds it at the same call twice.
//
// Responses to requests that were read together are written together.
//
// Conn.turn counts: it is odd while the reader runs a handler, and whoever makes
// it even again has the role.

// alone says whether a call should be run by the reader: no other unary call is
// under way and nothing else has been read.
func (c *Conn) alone() bool { return c.calls.Load() == 1 && c.br.Buffered() == 0 }

// runHere runs the handler of s and says whether the caller still is the reader.
// Reader only.
func (c *Conn) runHere(s *Stream) (reader bool) {
	s.together = c.br.Buffered() > 0
	turn := c.turn.Add(1) // the role may be gone from here on
	s.turn = turn
	if !c.watched.Load() {
		c.watched.Store(true)
		time.AfterFunc(watchPeriod, func() { c.watch(turn) })
	}
	returned := false
	defer func() {
		if !returned { // runtime.Goexit
			c.readElsewhere(turn)
		}
	}()
	c.cfg.Handler.Run(s)
	returned = true
	return c.turn.CompareAndSwap(turn, turn+1)
}

// watch passes the role of the reader on if it has been at the same call since
// the watch saw it last. It ends when the reader runs no handlers any more.
func (c *Conn) watch(seen uint64) {
	turn := c.turn.Load()
	if turn == seen {
		if turn%2 == 1 {
			c.readElsewhere(turn)
			turn++
		}
		c.watched.Store(false)
		// runHere counts before it looks whether there is a watch.
		if c.turn.Load() == turn || !c.watched.CompareAndSwap(false, true) {
			return
		}
		turn = c.turn.Load()
	}
	time.AfterFunc(watchPeriod, func() { c.watch(turn) })
}

// readElsewhere makes another goroutine the reader if the present one still runs
// the handler of its turn.
func (c *Conn) readElsewhere(turn uint64) {
	if c.turn.CompareAndSwap(turn, turn+1) {
		go c.run()
	}
}

// flushedByReader says whether what the stream sends will be written by the reader,
// who is running its handler and has more to handle before it waits.
func (s *Stream) flushedByReader() bool { return s.together && s.c.turn.Load() == s.turn }

// MayWait says that the handler of the stream is about to wait for something.
// Its goroutine, or one that it has started, may call it at any time.
func (s *Stream) MayWait() {
	if s.turn != 0 {
		s.c.readElsewhere(s.turn)
	}
}
