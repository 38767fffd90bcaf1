// Package spool holds what a plugin has printed until somebody has taken it, who
// may be slow: on the plugin's side for its host, and on the host's side for the
// application's writers.
//
// Who adds waits for a reader that takes something from time to time, so that
// nothing is lost, however slow it is. Nobody waits for one that has stopped, or for
// none: past a limit, what comes is counted and dropped, or whoever prints would be
// stuck with it.
package spool

import (
	"context"
	"io"
	"sync"
	"time"
)

// Piece is something printed, and what it is for.
type Piece[K comparable] struct {
	To   K
	Data []byte
}

// Spool is a queue of pieces. All methods may be called concurrently, but for Next,
// Done and Again, which are for one reader at a time.
type Spool[K comparable] struct {
	limit, most int // bytes, of all pieces with their Overhead, and in each
	patience    time.Duration

	mu      sync.Mutex
	changed sync.Cond
	// guarded by mu; who waits for any of it waits for changed
	pieces  []Piece[K] // oldest first
	spares  [][]byte   // buffers for further pieces; none while there are none to take
	size    int        // of pieces
	out     bool       // the first of pieces is with a reader
	readers int        // those there are, or who wait for their turn
	moves   int        // how often that changed, or a reader was done with a piece
	stalled bool       // nothing has moved for the length of patience
	ended   bool       // nothing is added any more
	dropped int64      // bytes, since Dropped was last called
}

// New returns a Spool for so many bytes in all, with so many at most in a piece. For a
// reader that takes nothing it waits for no longer than patience.
func New[K comparable](limit, most int, patience time.Duration) *Spool[K] {
	s := &Spool[K]{limit: limit, most: most, patience: patience}
	s.changed.L = &s.mu
	return s
}

// Add adds a copy of data and reports whether it may: false means that the spool has
// ended.
func (s *Spool[K]) Add(to K, data []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changed.Broadcast()
	if s.ended {
		return false
	}
	for len(data) > 0 {
		last, cost := s.last(to), 0
		if last == nil {
			cost = Overhead
		}
		room := s.limit - s.size - cost
		if room <= 0 {
			if s.await() {
				continue
			}
			s.dropped += int64(len(data))
			break
		}
		if last == nil {
			s.pieces = append(s.pieces, Piece[K]{To: to})
			last = &s.pieces[len(s.pieces)-1]
			if n := len(s.spares); n > 0 {
				last.Data, s.spares = s.spares[n-1], s.spares[:n-1]
			}
		}
		n := min(len(data), room, s.most-len(last.Data))
		last.Data = append(last.Data, data[:n]...)
		s.size += n + cost
		data = data[n:]
	}
	return true
}

// last returns the last piece if there may be more in it. It is called with mu held.
func (s *Spool[K]) last(to K) *Piece[K] {
	n := len(s.pieces)
	if n == 0 || n == 1 && s.out || s.pieces[n-1].To != to || len(s.pieces[n-1].Data) >= s.most {
		return nil
	}
	return &s.pieces[n-1]
}

// await waits until something moves, at most for the length of patience, and reports
// whether it has. It is called with mu held, and lets go of it while it waits.
func (s *Spool[K]) await() bool {
	if s.readers == 0 || s.stalled || s.ended {
		return false
	}
	moves := s.moves
	timer := time.AfterFunc(s.patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stalled = s.stalled || s.moves == moves
		s.changed.Broadcast()
	})
	defer timer.Stop()
	s.changed.Broadcast() // for the reader
	for s.moves == moves && !s.stalled && !s.ended {
		s.changed.Wait()
	}
	return !s.stalled && !s.ended
}

// moved is called with mu held.
func (s *Spool[K]) moved() {
	s.moves++
	s.stalled = false
	s.changed.Broadcast()
}

// Next returns the oldest piece, and waits for one. It stays where it is until Done, or
// Again, says what has become of it. Next returns io.EOF when there is none and the
// spool has ended, and ctx's cause when there is none and ctx has.
func (s *Spool[K]) Next(ctx context.Context) (Piece[K], error) {
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pieces) == 0 {
		switch {
		case s.ended:
			return Piece[K]{}, io.EOF
		case ctx.Err() != nil:
			return Piece[K]{}, context.Cause(ctx)
		}
		s.changed.Wait()
	}
	s.out = true
	return s.pieces[0], nil
}

// Done removes the piece that Next has returned. Its buffer, or nil, is used for
// further ones, so that a flood need not allocate.
func (s *Spool[K]) Done(buffer []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size -= len(s.pieces[0].Data) + Overhead
	s.pieces[0] = Piece[K]{} // let go of its bytes
	s.pieces, s.spares, s.out = s.pieces[1:], append(s.spares, buffer[:0]), false
	if len(s.pieces) == 0 {
		s.spares = nil
	}
	s.moved()
}

// Again makes the piece that Next has returned the next one again.
func (s *Spool[K]) Again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = false
}

// Reader notes that a reader has come, for 1, or gone, for -1.
func (s *Spool[K]) Reader(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers += n
	s.moved()
}

// End says that nothing will be added any more, and reports whether its reader had
// stopped to take anything. What is there can still be taken.
func (s *Spool[K]) End() (stalled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.changed.Broadcast()
	return s.stalled
}

// Drop drops what no reader has begun with.
func (s *Spool[K]) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.pieces); n > 1 || n == 1 && !s.out; n-- {
		s.dropped += int64(len(s.pieces[n-1].Data))
		s.pieces = s.pieces[:n-1]
	}
}

// Dropped returns how many bytes were dropped since it was last called.
func (s *Spool[K]) Dropped() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.dropped
	s.dropped = 0
	return n
}
