package h2

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ledger is what a connection holds of messages larger than freeMessage: received
// ones from the time when they are granted window of their own until they are
// consumed, others from before they are encoded until they are written.
//
// All methods may be called with the locks of the connection and its streams held.
type ledger struct {
	c *Conn
	// turns has room for those that encode a message whose size is not known before,
	// once large says that such messages may be large: until each knows that it has
	// to wait, very many would take memory.
	turns chan struct{}
	large atomic.Bool
	// owes says that so many unary responses wait that no further call should begin.
	owes atomic.Bool

	mu sync.Mutex
	// guarded by mu
	free    int64 // of connFree
	classes [sendClasses]sendClass
}

// The classes of messages to be sent. Each has its own budget, so that none waits
// for a message of another class: those that the peer lets go on never wait for
// those that it does not.
const (
	// covered messages have all the window they need on their stream. They wait for
	// the socket, and for the connection's window, like all others.
	covered = iota
	// awaited messages lack some, and the peer has granted the stream window since
	// the last message: it seems to read.
	awaited
	// begun messages lack some, on streams of which nothing is known.
	begun
	// unary responses, and statuses, are encoded without any window. Clients take
	// them whatever else they do, but other calls do not begin while too much waits.
	unary
	// aside are messages of streams that lack window and have not moved while others
	// of their class waited for room. Nothing waits for this class.
	aside
	sendClasses
	// received messages are no class of these.
	received = -1
)

// sendClass is what is encoded, or about to be, in one class.
type sendClass struct {
	bytes    int64
	messages int
	waiting  []*sendWaiter // oldest first
}

// leave notes that one of the messages, of n bytes, has left.
func (k *sendClass) leave(n int) {
	k.bytes -= int64(n)
	k.messages--
	if len(k.waiting) > 0 {
		k.waiting[0].wake()
	}
}

// sendWaiter is a sender that waits before it encodes.
type sendWaiter struct {
	class   int           // received: none
	ready   chan struct{} // the stream's sendReady
	request *request      // of an account
	again   func()        // instead of ready
}

// recvWaiter is the oldest large message that waits to be granted window.
type recvWaiter struct {
	sendWaiter
	stream *Stream // for which the request was made
}

// wake tells w to look again. It does not wait.
func (w *sendWaiter) wake() {
	if w.again != nil {
		go w.again()
		return
	}
	select {
	case w.ready <- struct{}{}:
	default: // it has not yet looked at the last one
	}
}

// Claim is a message's place in the ledger. The zero Claim is that of a message
// that does not count.
type Claim struct {
	l       *ledger
	n       int
	class   int8
	account *Account // whose n are; nil: the connection's
	stream  *Stream  // that received it
}

// Drop ends the claim. It is used once.
func (cl Claim) Drop() {
	if l := cl.l; l != nil {
		l.drop(cl)
	}
}

// take claims n bytes for a message to be sent, if there is room. Otherwise w, if
// it is not nil, waits.
func (l *ledger) take(class, n int, w *sendWaiter) (cl Claim, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.note()
	k := &l.classes[class]
	if w != nil && w.class != class {
		l.leave(w)
		w.class = class
		k.waiting = append(k.waiting, w)
	}
	least := sendLeast
	if class == unary {
		least = 1
	}
	if len(k.waiting) > 0 && k.waiting[0] != w || k.messages >= least && k.bytes+int64(n) > sendBudget {
		return Claim{}, false
	}
	cl = Claim{l: l, n: n, class: int8(class)}
	if !l.pay(&cl, w) {
		return Claim{}, false
	}
	k.bytes += int64(n)
	k.messages++
	if w != nil {
		l.leave(w)
	}
	return cl, true
}

// note sets owes; l.mu is held.
func (l *ledger) note() {
	k := &l.classes[unary]
	l.owes.Store(k.bytes > sendBudget || len(k.waiting) > 0)
}

// pay takes the claim's bytes from what the connection has free, or from the
// account, where w may wait for them. l.mu is held.
func (l *ledger) pay(cl *Claim, w *sendWaiter) bool {
	account := l.c.cfg.Sent
	if cl.class == received {
		account = l.c.cfg.Received
	}
	account = account.of(cl.n)
	free := account == nil || l.hasFree(cl.n)
	if free && w != nil {
		w.unask() // the connection has room of its own again
	}
	switch {
	case w != nil && w.request != nil:
		if w.request.n != cl.n || !account.has(w.request) {
			return false
		}
		w.request = nil
		cl.account = account
	case free:
		l.free += int64(cl.n)
	case account.take(l, cl.n):
		cl.account = account
	case w != nil:
		w.request = account.wait(l, cl.n, w.wake)
		return false
	default:
		return false
	}
	return true
}

// quit ends the wait of w.
func (l *ledger) quit(w *sendWaiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(w)
	l.note()
}

// leave takes w off its class, where the next one may go on. l.mu is held.
func (l *ledger) leave(w *sendWaiter) {
	w.unask()
	if w.class == received {
		return
	}
	k := &l.classes[w.class]
	w.class = received
	k.waiting = slices.DeleteFunc(k.waiting, func(o *sendWaiter) bool { return o == w })
	if len(k.waiting) > 0 {
		k.waiting[0].wake()
	}
}

// unask ends what w has asked of an account. The ledger's mu is held.
func (w *sendWaiter) unask() {
	if w.request != nil {
		w.request.a.cancel(w.request)
		w.request = nil
	}
}

// drop ends a claim.
func (l *ledger) drop(cl Claim) {
	if cl.stream != nil && cl.account != nil {
		cl.stream.holds.Add(-1)
	}
	l.mu.Lock()
	if cl.account != nil {
		cl.account.give(l, cl.n)
	} else {
		l.free -= int64(cl.n)
		l.tellFree()
	}
	freed := false
	if cl.class != received {
		k := &l.classes[cl.class]
		k.leave(cl.n)
		freed = cl.class == unary
		l.note()
	}
	l.mu.Unlock()
	if freed && l.c.cfg.Freed != nil {
		l.c.cfg.Freed()
	}
}

// tellFree lets those look again who wait for the account and for whom there is room
// of the connection's own. l.mu is held.
func (l *ledger) tellFree() {
	tell := func(w *sendWaiter) {
		if w.request != nil && l.hasFree(w.request.n) {
			w.wake()
		}
	}
	for i := range l.classes {
		if k := &l.classes[i]; len(k.waiting) > 0 {
			tell(k.waiting[0])
		}
	}
	tell(&l.c.awaits.sendWaiter)
}

// hasFree says whether the connection has room of its own for n bytes; l.mu is held.
func (l *ledger) hasFree(n int) bool { return l.free+int64(n) <= connFree }

// coming claims n bytes for a message that is received on s, if there is room.
// Otherwise the connection's grantLarge is called later. c.mu is held.
func (l *ledger) coming(s *Stream, n int) bool {
	if !Counted(n) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &l.c.awaits
	if w.request != nil && (w.stream != s || w.request.n != n) {
		w.unask()
	}
	cl := Claim{l: l, n: n, class: received, stream: s}
	if !l.pay(&cl, &w.sendWaiter) {
		w.stream = s
		return false
	}
	s.coming, s.comingSince = cl, time.Now()
	if cl.account != nil {
		s.holds.Add(1)
		s.keeps = cl.account
	}
	return true
}

// add claims n bytes more for a message that is received on s: it cannot wait for
// others now that it has begun.
func (l *ledger) add(s *Stream, n int) {
	if s.coming.l == nil {
		return
	}
	s.coming.n += n
	if s.coming.account != nil {
		s.coming.account.force(l, n)
		return
	}
	l.mu.Lock()
	l.free += int64(n)
	l.mu.Unlock()
}

// close ends what the connection takes of the account.
func (l *ledger) close() {
	l.quit(&l.c.awaits.sendWaiter)
	for _, a := range []*Account{l.c.cfg.Received, l.c.cfg.Sent} {
		if a != nil {
			a.close(l)
			a.giants.close(l)
		}
	}
}

// Owing says whether so many responses of unary calls wait for the client that no
// further ones should be made. Config.Freed is called when that may have changed.
func (c *Conn) Owing() bool { return c.ledger.owes.Load() }

// Counted says whether a message of n bytes, with its prefix, needs a [Claim] before
// it is encoded.
func Counted(n int) bool { return n > freeMessage }

// Reserve waits until a message of n bytes, with its prefix, may be encoded and
// written to the stream, at most until done is closed. It returns ErrStreamEnded if
// the stream can send no more, or done is closed. The caller gives the claim to the
// message's buffer, or drops it.
func (s *Stream) Reserve(done <-chan struct{}, n int) (Claim, error) {
	return s.reserve(done, n, false)
}

// ReserveStatus is Reserve for n bytes of trailers, which need no window. The
// caller drops the claim when they are written.
func (s *Stream) ReserveStatus(done <-chan struct{}, n int) (Claim, error) {
	return s.reserve(done, n, true)
}

func (s *Stream) reserve(done <-chan struct{}, n int, trailers bool) (Claim, error) {
	if !Counted(n) {
		return Claim{}, nil
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl, ok, err := s.reserveNow(n, trailers, nil); ok || err != nil {
		return cl, err
	}
	if s.sendReady == nil {
		s.sendReady = make(chan struct{}, 1)
	}
	w := &sendWaiter{class: received, ready: s.sendReady}
	defer c.ledger.quit(w)
	often := asideAfter
	if c.cfg.Stall > 0 {
		often = min(often, c.cfg.Stall)
	}
	late := time.NewTicker(often)
	defer late.Stop()
	begun := time.Now()
	s.MayWait()
	for {
		if cl, ok, err := s.reserveNow(n, trailers, w); ok || err != nil {
			return cl, err
		}
		c.flushLocked() // what uses the window up has to go first
		c.wantReader()
		c.mu.Unlock()
		stop, tick := false, false
		select {
		case <-s.sendReady:
		case <-done:
			stop = true
		case <-late.C:
			tick = true
		}
		if tick && c.cfg.Stall > 0 && time.Since(begun) >= c.cfg.Stall && c.ledger.first(w) {
			c.endSlow(c.cfg.Stall, func(cl *Claim) bool { return int(cl.class) == w.class || cl.class == aside },
				"the client takes nothing of a message while others wait for the memory; see StallTimeout of the server's ServerConfig")
		}
		c.mu.Lock()
		if stop {
			return Claim{}, ErrStreamEnded
		}
		if tick {
			c.ledger.setAside(w)
		}
	}
}

// TryReserve is Reserve without waiting.
func (s *Stream) TryReserve(n int) (Claim, bool) {
	if !Counted(n) {
		return Claim{}, true
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	cl, ok, _ := s.reserveNow(n, false, nil)
	return cl, ok
}

// UnsizedTurn begins to encode a message whose size is not known before, and waits
// if the connection does so with several others.
func (c *Conn) UnsizedTurn() (t Turn) {
	t.l = &c.ledger
	if t.l.large.Load() {
		t.l.turns <- struct{}{}
		t.mine = true
	}
	return t
}

// Turn is what UnsizedTurn returns.
type Turn struct {
	l    *ledger
	mine bool
}

// Encoded says that the message has n bytes, with its prefix.
func (t Turn) Encoded(n int) {
	if Counted(n) && !t.l.large.Load() {
		t.l.large.Store(true)
	}
}

// End ends the turn: the message has a claim, or was dropped.
func (t Turn) End() {
	if t.mine {
		<-t.l.turns
	}
}

// reserveNow is reserve without waiting; w waits meanwhile. c.mu is held.
func (s *Stream) reserveNow(n int, trailers bool, w *sendWaiter) (cl Claim, ok bool, err error) {
	if s.sendEnded {
		return Claim{}, false, ErrStreamEnded
	}
	class := begun
	switch {
	case s.whole && !s.c.client, trailers:
		class = unary
	case s.sendWindow >= n:
		class = covered
	case s.sendWindow <= 0:
		if w != nil {
			s.c.ledger.quit(w)
		}
		return Claim{}, false, nil
	case s.heard:
		class = awaited
	}
	if cl, ok = s.c.ledger.take(class, n, w); ok {
		s.heard = false
	}
	return cl, ok, nil
}

// slow says whether what has moved by so many bytes since then is slower than
// slowRate, and has been for at least age.
func slow(moved int, since time.Time, age time.Duration) bool {
	d := time.Since(since)
	return d >= age && float64(moved) < slowRate*d.Seconds()
}

// first says whether w is the first that waits in a class.
func (l *ledger) first(w *sendWaiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return w.class != received && l.classes[w.class].waiting[0] == w
}

// setAside lets w, if it is the first in its class, no longer wait for messages that do
// not move: the streams of a peer are read in any order, or some not at all for long,
// and each may be of use to the next. A server keeps no more than asideBudget of them,
// because clients open its streams; what a client sends, its own program has. c.mu is
// held.
func (l *ledger) setAside(w *sendWaiter) {
	if w.class != awaited && w.class != begun || !l.first(w) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k, to := &l.classes[w.class], &l.classes[aside]
	for _, s := range l.c.streams {
		cl := s.sending
		if cl == nil || int(cl.class) != w.class || !slow(cl.n-s.unsent, s.sendingSince, asideAfter) {
			continue
		}
		if !l.c.client && to.messages >= sendLeast && to.bytes+int64(cl.n) > asideBudget {
			return
		}
		to.bytes += int64(cl.n)
		to.messages++
		cl.class = aside
		k.leave(cl.n)
	}
}

// endSlow resets the streams of which a message that which says has been there for
// at least age, and has moved at less than slowRate. The others may wait for it.
func (c *Conn) endSlow(age time.Duration, which func(*Claim) bool, reason string) {
	var list []*Stream
	c.mu.Lock()
	withheld := c.withheld()
	for _, s := range c.streams {
		s.mu.Lock()
		come := s.in.partial
		s.mu.Unlock()
		switch {
		case s.sending != nil && which(s.sending) && slow(s.sending.n-s.unsent, s.sendingSince, age):
			list = append(list, s)
		case s.coming.l == nil || !which(&s.coming):
		case withheld: // the peer is not to blame
			s.excused = time.Now()
		case slow(come, s.comingSince, age) && time.Since(s.excused) >= age:
			list = append(list, s)
		}
	}
	c.mu.Unlock()
	for _, s := range list {
		s.Reset(ErrCodeEnhanceYourCalm, reason)
	}
}

// withheld says whether the connection's window is not renewed, so that nothing comes.
func (c *Conn) withheld() bool { return c.buffered.Load() >= c.bufferedMost() }

const starved = "other messages waited for the memory that this one takes; MessageMemory of this side's configuration limits what a process takes for all"

// giveUp ends what is slow of what the connection has of an account: streams with a
// message that the peer sends, or takes, slowly, and the connection if the peer reads
// nothing of what is written.
func (c *Conn) giveUp(a *Account) {
	c.endSlow(slowAfter, func(cl *Claim) bool { return cl.account == a }, starved)
	if (a == c.cfg.Sent || a == c.cfg.Sent.giants) && c.stuck() {
		c.Abort(ErrCodeEnhanceYourCalm, "other messages waited for the memory of those that this peer does not read; see MessageMemory")
	}
}

// keeper is a stream that has had a message for long.
type keeper struct {
	s     *Stream
	since time.Time
}

// keepers returns the streams that have had for heldMost a message that was received
// and is the account's: nobody consumes what has come, whoever is to blame.
func (c *Conn) keepers(a *Account) (list []keeper) {
	c.mu.Lock()
	defer c.mu.Unlock()
	withheld := c.withheld()
	for _, s := range c.streams {
		if s.keeps == a && s.holds.Load() > 0 && (s.coming.l == nil || withheld) && time.Since(s.comingSince) >= heldMost {
			list = append(list, keeper{s, s.comingSince})
		}
	}
	return list
}
