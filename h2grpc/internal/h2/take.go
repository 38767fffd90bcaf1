package h2

// takeAll moves what is queued to the consumer. s.mu is held.
func (s *Stream) takeAll() {
	if s.taken == nil {
		s.taken = new(taken)
	}
	s.in.queue.first.dropClaim() // no other has one: when it was made, no message was here
	s.taken.queue = s.in.queue
	s.in.queue = queue{}
	s.in.taken = s.taken.queue.bytes
}

// next returns the next of the messages that were taken, or nil.
func (s *Stream) next() *Buffer {
	t := s.taken
	if t == nil {
		return nil
	}
	if t.spent != nil && t.view.B == nil {
		t.spent.Release()
		t.spent = nil
	}
	if t.queue.first == nil {
		return nil
	}
	if t.void.Load() {
		t.queue, t.used = queue{}, 0
		return nil
	}
	bytes := t.queue.bytes
	b := t.pop()
	t.used += bytes - t.queue.bytes
	if t.used >= tellAfter || t.queue.first == nil {
		s.tell()
	}
	return b
}

// pop takes the first message off the queue. One that shares a buffer stays there.
func (t *taken) pop() *Buffer {
	switch {
	case t.queue.first.packed == 0:
		return t.queue.pop()
	case t.view.B != nil: // the one before is in use
		b := new(Buffer)
		t.queue.first.class = -1 // b may be in use for longer than all that follow
		t.queue.look(b)
		return b
	}
	t.spent = t.queue.look(&t.view)
	return &t.view
}

// tell lets the other side know of what was used.
func (s *Stream) tell() {
	used := s.taken.used
	s.taken.used = 0
	s.mu.Lock()
	if s.taken.void.Load() {
		s.mu.Unlock()
		return
	}
	s.in.taken -= used
	inc, large := s.credit()
	s.mu.Unlock()
	s.c.received(s, used, inc, large)
}

// dropAll forgets what is queued and what the consumer has taken, and returns how
// many bytes that is. s.mu is held.
func (s *Stream) dropAll() int {
	n := s.in.queue.drop() + s.in.taken
	if s.in.taken > 0 {
		s.in.taken = 0
		s.taken.void.Store(true)
	}
	return n
}
