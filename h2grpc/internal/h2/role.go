package h2

import (
	"sync/atomic"
	"time"
)

// role is which goroutine reads a connection, one at a time. Waking another goroutine
// costs more than a small call does. So a call or a stream that is alone reads what
// it waits for itself, and a server's reader runs quick handlers itself.
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
// A goroutine of Conn.run steps back, and ends, once everything it has read for a
// while was awaited by one consumer alone: a client's unary calls one after the
// other, or one stream, of either end, on which messages go to and fro. The next
// consumer of this kind that waits takes the role for as long as it waits.
//
// A consumer that reads for itself cannot see that its context has ended; between two
// messages nothing reads; and a handler may wait. So there is a watch, unless a
// goroutine of run has been reading for a whole watchPeriod. If the watch finds the
// turn unchanged since it last looked, it makes the state running.
//
// A consumer reads for itself only from the beginning of a frame, and only frames
// that are in the buffer as a whole, so that it can always be stopped: on connections
// of the standard library, where a read that was ended by a deadline can be repeated.
// Other connections may return errors of their own.
type role struct {
	now       atomic.Uint64 // the turn
	watched   atomic.Bool
	run       func() // Conn.run
	stoppable bool   // a read that was ended by a deadline can be repeated

	// Owned by the reader.
	streak int    // how many things in a row one consumer alone was waiting for
	last   uint32 // the stream of that consumer; 0: unary calls
	failed error  // the error of a consumer that read for itself
}

// state is the state of a role.
type state uint8

const (
	running   state = iota // a goroutine of run reads, or is about to
	free                   // nothing reads
	reading                // a call or a stream reads for itself
	stopping               // it does, and is being stopped
	handling               // a goroutine of run runs a handler
	stateBits = 3
)

func (s state) String() string {
	return [...]string{"running", "free", "reading", "stopping", "handling"}[s]
}

// turn is a state and, above it, a number that increases whenever a consumer begins
// to read for itself or a handler begins to run.
type turn uint64

func (t turn) state() state       { return state(t & (1<<stateBits - 1)) }
func (t turn) in(s state) turn    { return t>>stateBits<<stateBits | turn(s) }
func (t turn) begin(s state) turn { return (t + 1<<stateBits).in(s) }

func (r *role) turn() turn { return turn(r.now.Load()) }

// pass changes the state of turn t, unless the turn is over, and reports whether it
// did.
func (r *role) pass(t turn, to state) bool {
	return r.now.CompareAndSwap(uint64(t), uint64(t.in(to)))
}

// got records what has been received: for which stream, 0 for a unary call. alone
// reports that its consumer was waiting for it, and no call for anything else. Reader
// only.
func (r *role) got(id uint32, alone bool) {
	if !alone || id != r.last {
		r.streak = 0
	}
	if r.last = id; alone {
		r.streak++
	}
}

// wantReader makes a goroutine of run the reader if nothing reads. It is called
// before every wait for something that has to be read.
func (c *Conn) wantReader() {
	if t := c.role.turn(); t.state() == free && c.role.pass(t, running) {
		go c.role.run()
	}
}

// watchRole starts the watch if there is none. Its caller has changed the turn.
func (c *Conn) watchRole() {
	if r := &c.role; !r.watched.Load() && r.watched.CompareAndSwap(false, true) {
		t := r.turn()
		time.AfterFunc(watchPeriod, func() { c.watch(t) })
	}
}

// watch looks at the role once in each period. seen is the turn that it saw the last
// time.
func (c *Conn) watch(seen turn) {
	r := &c.role
	t := r.turn()
	if t == seen {
		switch t.state() {
		case running:
			r.watched.Store(false)
			if r.turn() != t { // the change may have come when a watch still seemed to exist
				c.watchRole()
			}
			return
		case free:
			c.wantReader()
		case reading:
			c.mu.Lock()
			if r.pass(t, stopping) && c.life.phase < closing { // otherwise the end of the connection stops it
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

// readElsewhere makes another goroutine the reader if the present one is still
// running the handler of turn t.
func (c *Conn) readElsewhere(t turn) {
	if c.role.pass(t, running) {
		go c.role.run()
	}
}

// flushedByReader reports whether the reader will write what the stream sends, since
// it is running its handler and has more to handle before it waits.
func (s *Stream) flushedByReader() bool { return s.own.together && s.c.role.turn() == s.own.turn }

// MayWait must be called before the handler of the stream waits for something. The
// handler's goroutine, or one that it has started, may call it at any time.
func (s *Stream) MayWait() {
	if s.own.turn != 0 {
		s.c.readElsewhere(s.own.turn)
	}
}
