package h2

import (
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
