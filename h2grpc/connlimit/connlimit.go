// Package connlimit bounds the connections that a server has accepted, or several
// servers together.
package connlimit

import (
	"slices"
	"sync"
)

// Limit bounds connections. A connection is unproven until it has done what shows
// that its peer means it, a handshake, and only so many may be: when there is one
// more, the oldest goes. So they take nothing away from those that are proven,
// and somebody who only connects keeps nobody out who goes on with the handshake.
// Of the proven, none ever has to go; while there are as many as there may be, who
// has accepted another waits with it, and accepts no more, so that those wait in
// the system's queue. Who is unproven then may still become proven: there are
// never more connections than both limits together.
//
// Its methods and those of its places may be called concurrently.
type Limit struct {
	most, mostUnproven int // negative: any number

	mu sync.Mutex
	// guarded by mu
	proven   int
	unproven []*Place      // oldest first; empty if any number may be
	room     chan struct{} // closed when proven has become less than most, if somebody waits
}

// Place is what a connection takes up.
type Place struct {
	limit *Limit
	close func()

	// guarded by limit.mu
	state state
}

// state is how far a place's connection has come.
type state int

const (
	unproven state = iota
	proven
	left    // by itself
	evicted // to make room
)

// New returns a limit of so many connections that are proven, and so many that are
// not. Negative numbers mean any number; fewer than one place for the unproven is
// one.
func New(most, mostUnproven int) *Limit {
	if mostUnproven == 0 {
		mostUnproven = 1
	}
	return &Limit{most: most, mostUnproven: mostUnproven}
}

// Full reports whether there are as many connections that are proven as there may
// be.
func (l *Limit) Full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full()
}

func (l *Limit) full() bool { return l.most >= 0 && l.proven >= l.most }

// Wait waits until it is not Full, and reports whether it is not: stop, when it is
// closed, ends the wait.
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

// Add counts a connection, which is unproven. If there are too many of those, the
// oldest leaves its place, its close is called before Add returns, and Add reports
// that. close may be called while the connection's owner closes it, too.
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

// Prove says that the connection has proved itself. Nil has no effect, and neither
// has a call when it has already, or has left.
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

// Leave says that the connection has ended. It may be called again.
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

// Evicted reports whether the connection had to make room. Nil had not.
func (p *Place) Evicted() bool {
	if p == nil {
		return false
	}
	p.limit.mu.Lock()
	defer p.limit.mu.Unlock()
	return p.state == evicted
}

// dropUnproven is called with mu held.
func (l *Limit) dropUnproven(p *Place) {
	if i := slices.Index(l.unproven, p); i >= 0 {
		l.unproven = slices.Delete(l.unproven, i, i+1)
	}
}
