package h2

import (
	"slices"
	"sync/atomic"
)

// ledger is what a connection holds of messages larger than freeMessage: received
// ones from the time when they are granted window of their own until they are
// consumed, others from before they are encoded until they are written.
//
// All methods may be called with the locks of the connection and its streams held.
type ledger struct {
	// received and sent are shared with other connections; nil: there is no such bound.
	received, sent *Account
	// giveUp ends what is slow of what is an account's, and keepers returns the streams
	// that have had for heldMost what is.
	giveUp  func(*Account)
	keepers func(*Account) []keeper
	// freed, if set, is called when owes may have changed.
	freed func()
	// turns has room for those that encode a message whose size is not known before,
	// once large says that such messages may be large: until each knows that it has
	// to wait, very many would take memory.
	turns chan struct{}
	large atomic.Bool
	// owes says that so many unary responses wait that no further call should begin.
	owes atomic.Bool

	mu ledgerLock
	// guarded by mu
	free    int64 // of connFree
	classes [sendClasses]sendClass
	awaits  recvWaiter
	holders map[*Stream]int // how many messages they hold of an account, those that are gone as well
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
	ready   chan struct{} // the stream's send.ready
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
	account := l.sent
	if cl.class == received {
		account = l.received
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
	l.mu.Lock()
	if cl.stream != nil && cl.account != nil {
		if l.holders[cl.stream]--; l.holders[cl.stream] == 0 {
			delete(l.holders, cl.stream)
		}
	}
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
	if freed && l.freed != nil {
		l.freed()
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
	tell(&l.awaits.sendWaiter)
}

// hasFree says whether the connection has room of its own for n bytes; l.mu is held.
func (l *ledger) hasFree(n int) bool { return l.free+int64(n) <= connFree }

// coming claims n bytes for a message that is received on s, if there is room. Otherwise
// the connection looks again when awaits is woken. Conn.mu is held.
func (l *ledger) coming(s *Stream, n int) (cl Claim, ok bool) {
	if !Counted(n) {
		return Claim{}, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := &l.awaits
	if r := w.request; r != nil && (w.stream != s || l.received.of(n) != r.a) {
		w.unask()
	} else if r != nil {
		r.a.resize(r, n) // its window has changed; it keeps its place
	}
	cl = Claim{l: l, n: n, class: received, stream: s}
	if !l.pay(&cl, &w.sendWaiter) {
		w.stream = s
		return Claim{}, false
	}
	if cl.account != nil {
		if l.holders == nil {
			l.holders = map[*Stream]int{}
		}
		l.holders[s]++
	}
	return cl, true
}

// add claims n bytes more for a message that is received: it cannot wait for others
// now that it has begun. Conn.mu is held.
func (cl *Claim) add(n int) {
	l := cl.l
	if l == nil {
		return
	}
	cl.n += n
	if cl.account != nil {
		cl.account.force(l, n)
		return
	}
	l.mu.Lock()
	l.free += int64(n)
	l.mu.Unlock()
}

// notAwaited gives back what was asked of the account, or has been granted by it, for a
// stream that is gone.
func (l *ledger) notAwaited() {
	if l.awaits.request != nil {
		l.quit(&l.awaits.sendWaiter)
	}
}

// close ends what the connection takes of the account.
func (l *ledger) close() {
	l.quit(&l.awaits.sendWaiter)
	for _, a := range []*Account{l.received, l.sent} {
		if a != nil {
			a.close(l)
			a.giants.close(l)
		}
	}
}

// Counted says whether a message of n bytes, with its prefix, needs a [Claim] before
// it is encoded.
func Counted(n int) bool { return n > freeMessage }

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

// first says whether w is the first that waits in a class.
func (l *ledger) first(w *sendWaiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return w.class != received && l.classes[w.class].waiting[0] == w
}

// setAside moves a claim to those that nobody waits for, unless there are too many and
// anyNumber is not set.
func (l *ledger) setAside(cl *Claim, anyNumber bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	to := &l.classes[aside]
	if !anyNumber && to.messages >= sendLeast && to.bytes+int64(cl.n) > asideBudget {
		return false
	}
	to.bytes += int64(cl.n)
	to.messages++
	l.classes[cl.class].leave(cl.n)
	cl.class = aside
	return true
}
