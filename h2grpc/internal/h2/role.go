package h2

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// role says who reads a connection, which is one goroutine at a time. To be woken
// by another one costs more than a small call does. So a call or a stream that is
// alone reads what it waits for itself, and a server's reader runs handlers itself
// that are quick.
//
//	        stepBack            readOwn             watch
//	running ────────────► free ──────────► reading ───────► stopping
//	 │ ▲ ▲    wantReader   │ ▲   it is there  │                 │
//	 │ │ └─────────────────┘ └────────────────┤                 │
//	 │ ├───────────────────────────── handOver┴─────────────────┘
//	 │ │ it returns, or readElsewhere
//	 ▼ │
//	handling
//
// A goroutine of Conn.run steps back once it has read nothing for a while but what
// one alone was waiting for: unary calls of a client one after the other, or one
// stream, of either end, on which messages go to and fro. It ends then. Whoever next
// waits for such a thing takes the role for as long as that lasts.
//
// Who reads for itself cannot see that its context has ended; between two messages
// nobody reads; and a handler may wait. So there is a watch unless a goroutine of run
// has been reading for a whole watchPeriod, and what the watch finds unchanged since
// it looked last, it makes running.
//
// Who reads for itself does so at a frame's beginning only, and only frames that are
// in the buffer as a whole, so it can always be stopped: on connections of the
// standard library, of which it is known that a read can be ended by a deadline and
// repeated. Others may have errors of their own for that.
type role struct {
	now       atomic.Uint64 // the turn
	watched   atomic.Bool
	run       func() // Conn.run
	stoppable bool   // a read that was ended by a deadline can be repeated

	// Owned by the reader.
	streak int    // of what one alone was waiting for, with nothing else in between
	last   uint32 // the stream for which it was; 0: unary calls
	failed error  // what has been met by one who read for itself
}

// state is what role is in.
type state uint8

const (
	running   state = iota // a goroutine of run reads, or is about to
	free                   // nobody does
	reading                // a call or a stream reads for itself
	stopping               // it does and is being stopped
	handling               // a goroutine of run runs a handler
	stateBits = 3
)

func (s state) String() string {
	return [...]string{"running", "free", "reading", "stopping", "handling"}[s]
}

// turn is a state and, above it, a number that grows whenever somebody begins to
// read for itself or to run a handler.
type turn uint64

func (t turn) state() state       { return state(t & (1<<stateBits - 1)) }
func (t turn) in(s state) turn    { return t>>stateBits<<stateBits | turn(s) }
func (t turn) begin(s state) turn { return (t + 1<<stateBits).in(s) }

func (r *role) turn() turn { return turn(r.now.Load()) }

// pass changes the state of turn t, unless that is over.
func (r *role) pass(t turn, to state) bool {
	return r.now.CompareAndSwap(uint64(t), uint64(t.in(to)))
}

// got notes what has been received, and for which stream, or 0 for a unary call.
// alone says that its consumer was waiting for that, and no call for anything else.
// Reader only.
func (r *role) got(id uint32, alone bool) {
	if !alone || id != r.last {
		r.streak = 0
	}
	if r.last = id; alone {
		r.streak++
	}
}

// stepBack lets others read, and says whether the caller is the reader no more.
// run only.
func (c *Conn) stepBack() bool {
	r := &c.role
	if r.streak < stepBackAfter || !r.stoppable || c.br.Buffered() > 0 || c.calls.Load() > 0 || c.life.unusable.Load() {
		return false
	}
	last := r.last
	r.pass(r.turn(), free)
	c.watchRole()
	c.mu.Lock()
	s := c.streams[last]
	asked := c.calls.Load() > 0 || s != nil && s.own.asked
	c.mu.Unlock()
	if asked || c.life.unusable.Load() {
		// Whoever came before the role was free did not take it or ask for it.
		c.wantReader()
	}
	return true
}

// wantReader makes a goroutine of run the reader if nobody is. Everybody calls it
// before waiting for something that is to be read.
func (c *Conn) wantReader() {
	if t := c.role.turn(); t.state() == free && c.role.pass(t, running) {
		go c.role.run()
	}
}

// watchRole begins the watch if there is none. Its caller has changed the turn.
func (c *Conn) watchRole() {
	if r := &c.role; !r.watched.Load() && r.watched.CompareAndSwap(false, true) {
		t := r.turn()
		time.AfterFunc(watchPeriod, func() { c.watch(t) })
	}
}

// watch is what the watch does in each period. It has seen a turn in the last one.
func (c *Conn) watch(seen turn) {
	r := &c.role
	t := r.turn()
	if t == seen {
		switch t.state() {
		case running:
			r.watched.Store(false)
			if r.turn() != t { // whoever changed it may have seen that there was a watch
				c.watchRole()
			}
			return
		case free:
			c.wantReader()
		case reading:
			c.mu.Lock()
			if r.pass(t, stopping) && c.life.phase < closing { // otherwise it will end by that
				c.nc.SetReadDeadline(time.Now())
			}
			c.mu.Unlock()
		case handling:
			c.readElsewhere(t)
		}
	}
	t = r.turn()
	time.AfterFunc(watchPeriod, func() { c.watch(t) })
}

// readOwn reads the connection until what the consumer of s waits for is there, if
// nobody reads and s is alone, and says whether it is. It may return before.
func (s *Stream) readOwn() bool {
	c := s.c
	r := &c.role
	t := r.turn()
	if t.state() != free {
		return false
	}
	mine := t.begin(reading)
	if !r.now.CompareAndSwap(uint64(t), uint64(mine)) {
		c.wantReader()
		return false
	}
	calls := c.calls.Load()
	if alone := s.whole && calls == 1 || !s.whole && calls == 0 && r.last == s.ID; !alone {
		return c.handOver(mine, nil)
	}
	err := c.readFor(s)
	c.Flush() // what has been answered while reading
	if err != nil || r.streak == 0 || c.br.Buffered() > 0 || !r.pass(mine, free) {
		return c.handOver(mine, err)
	}
	if c.calls.Load() > 0 || c.life.unusable.Load() {
		c.wantReader() // who came meanwhile saw that there was a reader
	}
	return true
}

// handOver makes a goroutine of run the reader in place of one who read for itself,
// and tells it an error if there is one. It returns false.
func (c *Conn) handOver(mine turn, err error) bool {
	c.role.failed = err
	c.mu.Lock()
	old := turn(c.role.now.Swap(uint64(mine.in(running))))
	if old.state() == stopping && c.life.phase < closing {
		c.nc.SetReadDeadline(time.Time{})
	}
	c.mu.Unlock()
	go c.role.run()
	return false
}

// readFor handles frames until what the consumer of s waits for is there, or run
// should go on.
func (c *Conn) readFor(s *Stream) error {
	for !s.served() {
		if c.unread.Load() {
			c.role.streak = 0 // to wait for the peer is for run
			return nil
		}
		if c.br.Buffered() < frameHeaderLen {
			c.Flush()
		}
		fh, err := c.peekFrameHeader()
		whole := frameHeaderLen + fh.Length
		if err == nil && (whole > c.br.Size() || fh.Type == FrameHeaders && (!c.client || !fh.Flags.Has(FlagEndHeaders))) {
			c.role.streak = 0 // not whole in the buffer, or a call that begins
			return nil
		}
		if err == nil && c.br.Buffered() < whole {
			_, err = c.br.Peek(whole)
			err = cutShort(err)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.role.streak = 0 // stopped; if the connection is being ended, run finds out
			return nil
		}
		if err == nil {
			c.br.Discard(frameHeaderLen)
			err = c.frame(fh)
		}
		if err != nil {
			return c.readError(err)
		}
	}
	return nil
}

// served says whether what the consumer waits for is there, or will not come.
func (s *Stream) served() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.whole && s.in.queue.messages > 0 || s.in.end() != nil
}

// own is a stream's part in its connection's role.
type own struct {
	// turn is the turn in which the reader ran the handler; 0: it did not. together
	// says that it had read more: responses to requests that were read together are
	// written together.
	turn     turn
	together bool
	// Guarded by Conn.mu: since a message came, the stream has sent something, and
	// its consumer has asked for the next.
	sent, asked bool
}

// alone says whether a call should be run by the reader: no other unary call is
// under way and nothing else has been read.
func (c *Conn) alone() bool { return c.calls.Load() == 1 && c.br.Buffered() == 0 }

// runHere runs the handler of s and says whether the caller still is the reader. It
// is not if the handler was about to wait, as far as we can know (MayWait), or the
// watch has found it twice. run only.
func (c *Conn) runHere(s *Stream) (reader bool) {
	t := c.role.turn().begin(handling)
	s.own.turn, s.own.together = t, c.br.Buffered() > 0
	c.role.now.Store(uint64(t)) // the role may be gone from here on
	c.watchRole()
	returned := false
	defer func() {
		if !returned { // runtime.Goexit
			c.readElsewhere(t)
		}
	}()
	c.cfg.Handler.Run(s)
	returned = true
	return c.role.pass(t, running)
}

// readElsewhere makes another goroutine the reader if the present one still runs
// the handler of turn t.
func (c *Conn) readElsewhere(t turn) {
	if c.role.pass(t, running) {
		go c.role.run()
	}
}

// flushedByReader says whether what the stream sends will be written by the reader,
// who is running its handler and has more to handle before it waits.
func (s *Stream) flushedByReader() bool { return s.own.together && s.c.role.turn() == s.own.turn }

// MayWait says that the handler of the stream is about to wait for something.
// Its goroutine, or one that it has started, may call it at any time.
func (s *Stream) MayWait() {
	if s.own.turn != 0 {
		s.c.readElsewhere(s.own.turn)
	}
}
