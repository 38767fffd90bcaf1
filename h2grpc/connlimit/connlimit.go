// Package connlimit bounds the connections that a server, or several servers
// together, have accepted.
package connlimit

import (
	"slices"
	"sync"
)

// Limit bounds connections. A connection is unproven until its peer has completed a
// handshake, and only a certain number may be unproven: one more evicts the oldest.
// So unproven connections take no places from proven ones, and peers that only
// connect do not keep out those that go on with the handshake. Proven connections are
// never evicted. At their limit the accepting goroutine waits with the next
// connection and accepts no more, so that further ones stay in the system's queue.
// Unproven connections may still become proven meanwhile: there are never more
// connections than both limits together.
//
// The methods of a Limit and of its places may be called concurrently.
type Limit struct {
	most, mostUnproven int // negative: any number

	mu sync.Mutex
	// guarded by mu
	proven   int
	unproven []*Place      // oldest first; empty if any number may be
	room     chan struct{} // closed when proven has become less than most, if somebody waits
}

// Place is the place of a connection in a Limit.
type Place struct {
	limit *Limit
	close func()

	// guarded by limit.mu
	state state
}

// state is the state of a place's connection.
type state int

const (
	unproven state = iota
	proven
	left    // the connection has ended
	evicted // removed to make room
)

// New returns a limit of most proven and mostUnproven unproven connections. Negative
// numbers mean no limit; a mostUnproven of zero counts as one.
func New(most, mostUnproven int) *Limit {
	if mostUnproven == 0 {
		mostUnproven = 1
	}
	return &Limit{most: most, mostUnproven: mostUnproven}
}

// Full reports whether there are as many proven connections as are allowed.
func (l *Limit) Full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full()
}

func (l *Limit) full() bool { return l.most >= 0 && l.proven >= l.most }

// Wait waits until the limit is not Full, or until stop is closed. It reports whether
// the limit is not Full.
func (l *Limit) Wait(stop <-chan struct{}) bool {
	for {
		l.mu.Lock()
		if !l.full() {
			l.mu.Unlock()
			return true
		}
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-stop:
			return false
		}
	}
}

// Add adds a connection, which is unproven. If that is one too many, the oldest
// unproven one is evicted: its close is called before Add returns, and madeRoom is
// true. close may be called while the owner of the connection closes it too.
func (l *Limit) Add(close func()) (p *Place, madeRoom bool) {
	p = &Place{limit: l, close: close}
	if l.mostUnproven < 0 {
		return p, false
	}
	var oldest *Place
	l.mu.Lock()
	if len(l.unproven) >= l.mostUnproven {
		oldest = l.unproven[0]
		oldest.state = evicted
		l.unproven = slices.Delete(l.unproven, 0, 1)
	}
	l.unproven = append(l.unproven, p)
	l.mu.Unlock()
	if oldest != nil {
		oldest.close()
	}
	return p, oldest != nil
}

// Prove marks the connection as proven. It has no effect on a nil Place, and none if
// the connection is already proven or has left.
func (p *Place) Prove() {
	if p == nil {
		return
	}
	p.limit.mu.Lock()
	defer p.limit.mu.Unlock()
	if p.state == unproven {
		p.limit.dropUnproven(p)
		p.state = proven
		p.limit.proven++
	}
}

// Leave frees the place of a connection that has ended. It may be called more than
// once.
func (p *Place) Leave() {
	l := p.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	switch p.state {
	case unproven:
		l.dropUnproven(p)
	case proven:
		l.proven--
		if l.room != nil && !l.full() {
			close(l.room)
			l.room = nil
		}
	default:
		return
	}
	p.state = left
}

// Evicted reports whether the connection was evicted. For a nil Place it returns
// false.
func (p *Place) Evicted() bool {
	if p == nil {
		return false
	}
	p.limit.mu.Lock()
	defer p.limit.mu.Unlock()
	return p.state == evicted
}

// dropUnproven removes p from the unproven places. mu is held.
func (l *Limit) dropUnproven(p *Place) {
	if i := slices.Index(l.unproven, p); i >= 0 {
		l.unproven = slices.Delete(l.unproven, i, i+1)
	}
}
