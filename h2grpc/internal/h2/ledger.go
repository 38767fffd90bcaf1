package h2

import (
	"slices"
	"sync/atomic"
)

// ledger counts what a connection holds of messages larger than freeMessage: received
// ones from the time when they are granted window of their own until they are
// consumed, sent ones from before they are encoded until they are written.
//
// All methods may be called with the locks of the connection and its streams held.
type ledger struct {
	// received and sent are shared with other connections; nil means no such bound.
	received, sent *Account
	// giveUp ends what is slow of the messages that count for an account, and keepers
	// returns the streams that have held such messages for heldMost.
	giveUp  func(*Account)
	keepers func(*Account) []keeper
	// freed, if set, is called when congested may have changed.
	freed func()
	// slots has room for the goroutines that encode a message of unknown size, once
	// large reports that such messages may be large: until they know that they have to
	// wait, very many would take memory.
	slots chan struct{}
	large atomic.Bool
	// congested reports that so many unary responses wait that no further call should begin.
	congested atomic.Bool

	mu ledgerLock
	// guarded by mu
	free    int64 // of connFree
	classes [sendClasses]sendClass
	awaits  recvWaiter
	holders map[*Stream]int // how many messages each stream holds of an account, streams that have ended included
}

// The classes of messages to be sent. Each has its own budget, so that no message
// waits for one of another class: messages that the peer reads never wait for those
// that it does not.
const (
	// covered messages have all the window that they need on their stream. They wait for
	// the socket, and for the connection's window, like all others.
	covered = iota
	// awaited messages lack some window, and the peer has granted their stream window
	// since the last message: it seems to read.
	awaited
	// begun messages lack some window, on streams of which no more is known.
	begun
	// unary responses, and statuses, are encoded without any window. Clients read them
	// whatever else they do, but other calls do not begin while too much waits.
	unary
	// aside are messages of streams that lack window and have not moved while others of
	// their class waited for room. No message waits for this class.
	aside
	sendClasses
	// received messages belong to none of these classes.
	received = -1
)

// sendClass is the messages of one class that are encoded or about to be.
type sendClass struct {
	bytes    int64
	messages int
	waiting  []*sendWaiter // oldest first
}

// leave removes one of the messages, of n bytes.
func (k *sendClass) leave(n int) {
	k.bytes -= int64(n)
	k.messages--
	if len(k.waiting) > 0 {
		k.waiting[0].wake()
	}
}

// sendWaiter is a sender that waits before it encodes a message.
type sendWaiter struct {
	class   int           // received: not waiting in a class
	ready   chan struct{} // the stream's send.ready
	request *request      // of an account
	again   func()        // called instead of sending to ready
}

// recvWaiter is the wait of the oldest large message for window.
type recvWaiter struct {
	sendWaiter
	stream *Stream // for which the request was made
}

// wake makes w try again. It does not wait.
func (w *sendWaiter) wake() {
	if w.again != nil {
		go w.again()
		return
	}
	select {
	case w.ready <- struct{}{}:
	default: // w has not received the last token yet
	}
}

// Claim is the part of the ledger that a message takes. The zero Claim is for a
// message that does not count.
type Claim struct {
	l       *ledger
	n       int
	class   int8
	account *Account // that n counts for; nil: the connection's own part
	stream  *Stream  // that received the message
}

// Drop ends the claim. It must be called once.
func (cl Claim) Drop() {
	if l := cl.l; l != nil {
		l.drop(cl)
	}
}

// take claims n bytes for a message to be sent, if there is room. Otherwise w, unless
// it is nil, waits.
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

// note sets congested; l.mu is held.
func (l *ledger) note() {
	k := &l.classes[unary]
	l.congested.Store(k.bytes > sendBudget || len(k.waiting) > 0)
}

// pay takes the claim's bytes from the connection's own part, or from the account,
// where w may wait for them. l.mu is held.
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

// leave removes w from its class, where the next one may go on. l.mu is held.
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

// unask withdraws w's request of an account. The ledger's mu is held.
func (w *sendWaiter) unask() {
	if w.request != nil {
		w.request.a.cancel(w.request)
		w.request = nil
	}
}

// drop ends cl.
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

// tellFree wakes those that wait for an account although the connection's own part
// has room for them now. l.mu is held.
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

// hasFree reports whether the connection's own part has room for n bytes. l.mu is
// held.
func (l *ledger) hasFree(n int) bool { return l.free+int64(n) <= connFree }

// coming claims n bytes for a message that is received on s, if there is room.
// Otherwise awaits is woken when the connection should try again. Conn.mu is held.
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
		r.a.resize(r, n) // its window has changed
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

// add claims n more bytes for a message that is received: it has begun, and must not
// wait for others now. Conn.mu is held.
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

// notAwaited withdraws the request of a stream that has ended, or gives back what it
// was granted.
func (l *ledger) notAwaited() {
	if l.awaits.request != nil {
		l.quit(&l.awaits.sendWaiter)
	}
}

// close gives back everything that the connection holds of the accounts.
func (l *ledger) close() {
	l.quit(&l.awaits.sendWaiter)
	for _, a := range []*Account{l.received, l.sent} {
		if a != nil {
			a.close(l)
			a.giants.close(l)
		}
	}
}

// Counted reports whether a message of n bytes, with its prefix, needs a [Claim]
// before it is encoded.
func Counted(n int) bool { return n > freeMessage }

// EncodeSlot is the permission to encode a message that UnsizedSlot returns.
type EncodeSlot struct {
	l    *ledger
	mine bool
}

// Encoded reports the size of the encoding to the ledger: n bytes, with the prefix.
func (t EncodeSlot) Encoded(n int) {
	if Counted(n) && !t.l.large.Load() {
		t.l.large.Store(true)
	}
}

// End frees the slot: the message has a claim, or was dropped.
func (t EncodeSlot) End() {
	if t.mine {
		<-t.l.slots
	}
}

// first reports whether w is the first that waits in its class.
func (l *ledger) first(w *sendWaiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return w.class != received && l.classes[w.class].waiting[0] == w
}

// setAside moves a claim to the class aside, unless too much is there and anyNumber
// is not set. It reports whether it did.
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
