package h2

import (
	"slices"
	"time"
)

// Account bounds the bytes of large messages that all connections which share it hold
// for their peers. Of received messages it counts the window granted for those that
// are coming, and what has arrived and was not consumed; of sent ones, what is
// encoded and not written. Each connection has connFree in addition. Waiting requests
// are granted in the order in which they were made. While nothing is held, one
// message of any size is admitted; messages larger than the limit have an account of
// their own, so that one of them at a time is admitted and the others do not wait for
// it.
//
// All methods may be called with the lock of a connection or a stream held.
type Account struct {
	limit  int64
	giants *Account

	mu accountLock
	// guarded by mu
	held    int64
	heldBy  map[*ledger]int64 // the part of held that each connection holds
	waiting []*request        // oldest first
}

// request is a waiting request for n bytes.
type request struct {
	a *Account
	l *ledger
	n int
	// wake is called when granted is set, possibly with locks held.
	wake func()
	slow *time.Timer

	granted bool // guarded by Account.mu
}

// NewAccount returns an account of limit bytes.
func NewAccount(limit int64) *Account {
	giants := &Account{heldBy: map[*ledger]int64{}}
	return &Account{limit: limit, giants: giants, heldBy: map[*ledger]int64{}}
}

// of returns the account for n bytes, nil if a is nil.
func (a *Account) of(n int) *Account {
	if a != nil && int64(n) > a.limit {
		return a.giants
	}
	return a
}

// take takes n bytes for l, unless there is no room or others are waiting.
func (a *Account) take(l *ledger, n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) > 0 || !a.room(n) {
		return false
	}
	a.add(l, n)
	return true
}

// force takes n bytes for a message that is already coming.
func (a *Account) force(l *ledger, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(l, n)
}

// wait requests n bytes. It calls wake when they are granted, which has reports.
func (a *Account) wait(l *ledger, n int, wake func()) *request {
	r := &request{a: a, l: l, n: n, wake: wake}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, r)
	r.slow = time.AfterFunc(slowAfter, func() { a.hurry(r) })
	a.next() // the last of them may have been given back meanwhile
	return r
}

// has reports whether r was granted.
func (a *Account) has(r *request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return r.granted
}

// resize changes r to a request for n bytes, which keeps its place.
func (a *Account) resize(r *request, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.granted {
		a.add(r.l, n-r.n)
	}
	r.n = n
	a.next()
}

// cancel removes r, or gives back what it was granted.
func (a *Account) cancel(r *request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r.slow.Stop()
	if r.granted {
		a.add(r.l, -r.n)
	} else if i := slices.Index(a.waiting, r); i >= 0 {
		a.waiting = slices.Delete(a.waiting, i, i+1)
	}
	a.next()
}

// give gives back n bytes of l.
func (a *Account) give(l *ledger, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(l, -n)
	a.next()
}

// room reports whether n more bytes may be held. a.mu is held.
func (a *Account) room(n int) bool { return a.held == 0 || a.held+int64(n) <= a.limit }

// add changes what is held. a.mu is held. After close, l holds nothing that it could
// give back.
func (a *Account) add(l *ledger, n int) {
	d := max(int64(n), -a.heldBy[l])
	a.held += d
	if a.heldBy[l] += d; a.heldBy[l] == 0 {
		delete(a.heldBy, l)
	}
}

// close takes back what l holds: its connection has ended, and what is left of its
// messages belongs to the handlers.
func (a *Account) close(l *ledger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= a.heldBy[l]
	delete(a.heldBy, l)
	a.next()
}

// next grants the requests for which there is room. a.mu is held.
func (a *Account) next() {
	for len(a.waiting) > 0 && a.room(a.waiting[0].n) {
		r := a.waiting[0]
		a.waiting = slices.Delete(a.waiting, 0, 1) // Delete clears the freed element
		a.add(r.l, r.n)
		r.granted = true
		r.slow.Stop()
		r.wake()
	}
}

// hurry is called when r has waited for slowAfter. If r is the first request, it ends
// slow messages, on one connection after the other, and then messages that arrived
// long ago and were not consumed, the oldest first, until there is room. So nothing
// waits for ever, whichever side is at fault.
func (a *Account) hurry(r *request) {
	a.mu.Lock()
	if !slices.Contains(a.waiting, r) {
		a.mu.Unlock()
		return
	}
	r.slow.Reset(slowAfter / 2)
	var list []*ledger
	if a.waiting[0] == r { // only the first looks, on behalf of all: looking takes time
		for l := range a.heldBy {
			list = append(list, l)
		}
	}
	a.mu.Unlock()
	for _, l := range list {
		if a.has(r) {
			return
		}
		l.giveUp(a)
	}
	var kept []keeper
	for _, l := range list {
		kept = append(kept, l.keepers(a)...)
	}
	for len(kept) > 0 && !a.has(r) {
		oldest := 0
		for i, k := range kept {
			if k.since.Before(kept[oldest].since) {
				oldest = i
			}
		}
		kept[oldest].end()
		kept[oldest] = kept[len(kept)-1]
		kept = kept[:len(kept)-1]
	}
}

// keeper is a stream that has held a message for long, and the function that ends it.
type keeper struct {
	since time.Time
	end   func()
}

// slow reports whether a message of which moved bytes have moved since that time is
// slower than slowRate, and has been for at least age.
func slow(moved int, since time.Time, age time.Duration) bool {
	d := time.Since(since)
	return d >= age && float64(moved) < slowRate*d.Seconds()
}
