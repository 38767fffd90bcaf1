// Package spool holds what a plugin has printed until a reader takes it, which may be
// slow: on the plugin's side the host, and on the host's side the application's writers.
//
// Add waits for a reader that takes something from time to time, so that nothing is lost,
// however slow the reader is. It does not wait for a reader that has stopped, or when
// there is none: beyond a limit, what is added is counted and dropped, because otherwise
// printing would block as well.
package spool

import (
	"context"
	"io"
	"sync"
	"time"
)

// Piece is a piece of output, and the stream or writer that it is for.
type Piece[K comparable] struct {
	To   K
	Data []byte
}

// Spool is a queue of pieces. All methods may be called concurrently, except Next, Done
// and Again, which are for one reader at a time.
type Spool[K comparable] struct {
	limit, most int // in bytes: of all pieces with their Overhead, and of each piece
	patience    time.Duration

	mu      sync.Mutex
	changed sync.Cond
	// guarded by mu; changed is broadcast when one of them changes
	pieces  []Piece[K] // oldest first
	spares  [][]byte   // buffers for further pieces; none while no piece is waiting
	size    int        // of pieces
	out     bool       // a reader has the first of pieces
	readers int        // readers that exist or wait for another to finish
	moves   int        // counts changes of readers, and pieces that a reader has finished
	stalled bool       // nothing has moved for patience
	ended   bool       // nothing is added any more
	dropped int64      // bytes, since Dropped was last called
}

// New returns a Spool that holds limit bytes in total, in pieces of up to most bytes. Add
// waits at most patience for a reader that takes nothing.
func New[K comparable](limit, most int, patience time.Duration) *Spool[K] {
	s := &Spool[K]{limit: limit, most: most, patience: patience}
	s.changed.L = &s.mu
	return s
}

// Add adds a copy of data. It reports false if the spool has ended.
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

// last returns the last piece if it has room. It is called with mu held.
func (s *Spool[K]) last(to K) *Piece[K] {
	n := len(s.pieces)
	if n == 0 || n == 1 && s.out || s.pieces[n-1].To != to || len(s.pieces[n-1].Data) >= s.most {
		return nil
	}
	return &s.pieces[n-1]
}

// await waits until something moves, for at most patience, and reports whether it has. It
// is called with mu held, and releases it while it waits.
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

// moved records that something has moved. It is called with mu held.
func (s *Spool[K]) moved() {
	s.moves++
	s.stalled = false
	s.changed.Broadcast()
}

// Next returns the oldest piece, and waits for one. The piece stays in the spool until
// Done or Again. Next returns io.EOF if there is none and the spool has ended, and ctx's
// cause if there is none and ctx has ended.
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

// Done removes the piece that Next has returned. Its buffer is reused for further pieces,
// unless buffer is nil, so that a flood of output need not allocate.
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

// Again makes Next return the same piece again.
func (s *Spool[K]) Again() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = false
}

// Reader adds n to the number of readers: 1 for one that has come, -1 for one that has
// gone.
func (s *Spool[K]) Reader(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers += n
	s.moved()
}

// End marks the end of the spool, and reports whether its reader had stopped taking
// anything. What is in it can still be taken.
func (s *Spool[K]) End() (stalled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.changed.Broadcast()
	return s.stalled
}

// Drop drops the pieces that no reader has begun.
func (s *Spool[K]) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := len(s.pieces); n > 1 || n == 1 && !s.out; n-- {
		s.dropped += int64(len(s.pieces[n-1].Data))
		s.pieces = s.pieces[:n-1]
	}
}

// Dropped returns how many bytes have been dropped since it was last called.
func (s *Spool[K]) Dropped() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.dropped
	s.dropped = 0
	return n
}
