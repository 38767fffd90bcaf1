package h2

import (
	"slices"
	"time"
)

// Account is how many bytes of large messages all connections that share it may
// hold for their peers: of those received, what they have granted for messages that
// are coming, and what has come and was not consumed; of those sent, what was encoded
// and is not written. Each connection has connFree besides. Who waits is served in the
// order of coming. While nothing is held, one message of any size is let through;
// those that are larger than the limit have an account of their own, so one at a time
// is, and the others do not wait for it.
//
// All methods may be called with a connection's or a stream's lock held.
type Account struct {
	limit  int64
	giants *Account

	mu accountLock
	// guarded by mu
	held    int64
	owing   map[*ledger]int64 // of it, by connection
	waiting []*request        // oldest first
}

// request waits for n bytes.
type request struct {
	a *Account
	l *ledger
	n int
	// wake is called, maybe with locks held, when granted is set.
	wake func()
	slow *time.Timer

	granted bool // guarded by Account.mu
}

// NewAccount returns an account of limit bytes.
func NewAccount(limit int64) *Account {
	giants := &Account{owing: map[*ledger]int64{}}
	return &Account{limit: limit, giants: giants, owing: map[*ledger]int64{}}
}

// of returns the account for n bytes, nil if a is nil.
func (a *Account) of(n int) *Account {
	if a != nil && int64(n) > a.limit {
		return a.giants
	}
	return a
}

// take takes n bytes for l, unless there is no room or others wait for it.
func (a *Account) take(l *ledger, n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) > 0 || !a.room(n) {
		return false
	}
	a.add(l, n)
	return true
}

// force takes n bytes for a message that is on its way already.
func (a *Account) force(l *ledger, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(l, n)
}

// wait asks for n bytes, which granted says are there once wake has been called.
func (a *Account) wait(l *ledger, n int, wake func()) *request {
	r := &request{a: a, l: l, n: n, wake: wake}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, r)
	r.slow = time.AfterFunc(slowAfter, func() { a.hurry(r) })
	a.next() // the last of them may have been given back meanwhile
	return r
}

// has says whether r was granted.
func (a *Account) has(r *request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return r.granted
}

// resize makes r, which keeps its place, one for n bytes.
func (a *Account) resize(r *request, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.granted {
		a.add(r.l, n-r.n)
	}
	r.n = n
	a.next()
}

// cancel ends the wait, or gives back what was granted.
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

// give gives n bytes of l back.
func (a *Account) give(l *ledger, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(l, -n)
	a.next()
}

// room says whether n bytes more may be held; a.mu is held.
func (a *Account) room(n int) bool { return a.held == 0 || a.held+int64(n) <= a.limit }

// add changes what is held; a.mu is held. After close, l has nothing to give back.
func (a *Account) add(l *ledger, n int) {
	d := max(int64(n), -a.owing[l])
	a.held += d
	if a.owing[l] += d; a.owing[l] == 0 {
		delete(a.owing, l)
	}
}

// close takes back what l has: its connection has ended, and what is left of its
// messages is the handlers' own.
func (a *Account) close(l *ledger) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= a.owing[l]
	delete(a.owing, l)
	a.next()
}

// next serves those who wait; a.mu is held.
func (a *Account) next() {
	for len(a.waiting) > 0 && a.room(a.waiting[0].n) {
		r := a.waiting[0]
		a.waiting = slices.Delete(a.waiting, 0, 1) // which forgets it
		a.add(r.l, r.n)
		r.granted = true
		r.slow.Stop()
		r.wake()
	}
}

// hurry has waited for r, which is the first: what is slow loses its place, on one
// connection after the other, and then what was received long ago and not consumed,
// the oldest first, until there is room. So nobody waits for ever, whoever is at fault.
func (a *Account) hurry(r *request) {
	a.mu.Lock()
	if !slices.Contains(a.waiting, r) {
		a.mu.Unlock()
		return
	}
	r.slow.Reset(slowAfter / 2)
	var list []*ledger
	if a.waiting[0] == r { // for the others, too: looking takes time
		for l := range a.owing {
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

// keeper is a stream that has had a message for long, and how to end it.
type keeper struct {
	since time.Time
	end   func()
}

// slow says whether what has moved by so many bytes since then is slower than
// slowRate, and has been for at least age.
func slow(moved int, since time.Time, age time.Duration) bool {
	d := time.Since(since)
	return d >= age && float64(moved) < slowRate*d.Seconds()
}
