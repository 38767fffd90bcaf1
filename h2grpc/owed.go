package h2grpc

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tenonrpc/tenon/h2grpc/status"
)

// owed keeps account of the unary responses that a connection's client has not
// taken. While they are more than owedBudget, no further response is encoded and
// no further unary call begins: each would only add another. Small responses
// do not count, and cost nothing here.
type owed struct {
	expected atomic.Int64 // about how large responses are; a small one is 0
	full     atomic.Bool  // handlers or calls wait, or bytes is above the budget

	mu sync.Mutex
	// guarded by mu
	bytes    int           // encoded, or about to be
	encoding []chan int    // handlers that wait to encode, oldest first
	calls    []*serverCall // calls that wait to begin, oldest first
}

// holds says whether c has to wait. It is then submitted again.
func (o *owed) holds(c *serverCall) bool {
	if !o.full.Load() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.stuck() {
		return false
	}
	c.held = true
	o.calls = append(o.calls, c)
	return true
}

// reserve waits until another response may be encoded, and returns what it has
// counted for it. It returns false if the call has ended.
func (o *owed) reserve(c *serverCall) (n int, ok bool) {
	if n = int(o.expected.Load()); n == 0 {
		return 0, true
	}
	o.mu.Lock()
	if o.bytes == 0 || o.bytes+n <= owedBudget {
		o.add(n)
		o.mu.Unlock()
		return n, true
	}
	c.s.MayWait()
	turn := make(chan int, 1)
	o.encoding = append(o.encoding, turn)
	o.add(0)
	o.mu.Unlock()
	select {
	case n = <-turn:
		return n, true
	case <-c.ctx.Done():
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.Index(o.encoding, turn); i >= 0 {
		o.encoding = slices.Delete(o.encoding, i, i+1)
		o.add(0)
		return 0, false
	}
	o.add(-<-turn)
	o.next()
	return 0, false
}

// add changes bytes; o.mu is held.
func (o *owed) add(n int) {
	o.bytes += n
	o.full.Store(o.stuck() || len(o.calls) > 0)
}

// stuck says whether no more calls should begin; o.mu is held.
func (o *owed) stuck() bool { return o.bytes > owedBudget || len(o.encoding) > 0 }

// encoded replaces what was reserved for a response by its n bytes.
func (o *owed) encoded(reserved, n int) {
	if n < owedLeast {
		n = 0
	}
	// Few large ones among many small ones are expected, too, for a while.
	if was := o.expected.Load(); int64(n) != was {
		o.expected.Store(max(int64(n), was-was/8-1, 0))
	}
	if n != reserved {
		o.mu.Lock()
		o.add(n - reserved)
		o.next()
		o.mu.Unlock()
	}
}

// sent takes a response of n bytes off the account.
func (o *owed) sent(n int) {
	if n < owedLeast {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(-n)
	o.next()
}

// next lets handlers encode as far as the budget goes; o.mu is held.
func (o *owed) next() {
	n := max(int(o.expected.Load()), owedLeast)
	for len(o.encoding) > 0 && (o.bytes == 0 || o.bytes+n <= owedBudget) {
		o.encoding[0] <- n // has room for it
		o.encoding = o.encoding[1:]
		o.add(n)
	}
}

// resume lets waiting calls begin after another has ended. Each lets two begin,
// so that none is forgotten and all of them do not come at once.
func (o *owed) resume(w *workers) {
	if !o.full.Load() {
		return
	}
	o.mu.Lock()
	var next []*serverCall
	if !o.stuck() {
		n := min(2, len(o.calls))
		next = append(next, o.calls[:n]...)
		if o.calls = o.calls[n:]; len(o.calls) == 0 {
			o.calls = nil
		}
	}
	o.add(0)
	o.mu.Unlock()
	for _, c := range next {
		w.submit(c)
	}
}

// over ends a call that was held back until it was of no use.
func (c *serverCall) over() bool {
	if err := c.ctx.Err(); c.held && err != nil {
		c.finish(status.FromContextError(err))
		return true
	}
	return false
}
