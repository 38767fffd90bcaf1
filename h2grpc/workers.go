package h2grpc

import (
	"sync"
	"time"
)

// workers runs the handlers of unary calls.
//
// A few goroutines take the calls from a queue, the one that rested last
// first: for quick handlers that is half the price of a goroutine a call. A
// handler may also block, and must not hold up others: methods that are known
// to be slow get a goroutine a call, and when nothing was taken from the queue
// for stallAfter, the workers are written off, and every queued call gets a
// goroutine of its own.
type workers struct {
	run func(*serverCall)

	mu sync.Mutex
	// guarded by mu
	queue   []*serverCall // first come, first served
	active  int           // workers of this epoch that run a handler
	idle    []chan job
	epoch   int  // raised when the active workers are written off
	resting bool // nobody is expected to submit: finished workers go
	watch   bool // a timer watches the queue
	taken   int  // calls taken from the queue
	seen    int  // taken when the timer last looked
}

// job is a call for an idle worker, and the epoch in which submit counted the
// worker as active.
type job struct {
	call  *serverCall
	epoch int
}

// submit runs c soon. It does not wait.
func (w *workers) submit(c *serverCall) {
	if !c.method.quick() {
		go w.run(c)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resting = false
	if w.active >= maxWorkers {
		w.queue = append(w.queue, c)
		if !w.watch {
			w.watch, w.seen = true, w.taken
			time.AfterFunc(stallAfter, w.check)
		}
		return
	}
	w.active++
	if n := len(w.idle); n > 0 {
		ch := w.idle[n-1]
		w.idle = w.idle[:n-1]
		ch <- job{c, w.epoch} // has room for it
		return
	}
	go w.work(c, w.epoch)
}

// work runs c and then whatever is queued, and then waits for more.
func (w *workers) work(c *serverCall, epoch int) {
	var ch chan job
	for {
		w.run(c)
		w.mu.Lock()
		if epoch != w.epoch {
			w.mu.Unlock()
			return // written off: others have taken over
		}
		if len(w.queue) > 0 {
			c = w.pop()
			w.mu.Unlock()
			continue
		}
		w.active--
		if w.resting {
			w.mu.Unlock()
			return
		}
		if ch == nil {
			ch = make(chan job, 1)
		}
		w.idle = append(w.idle, ch)
		w.mu.Unlock()
		next, ok := <-ch
		if !ok {
			return
		}
		c, epoch = next.call, next.epoch
	}
}

// pop takes the oldest call; w.mu is held.
func (w *workers) pop() *serverCall {
	c := w.queue[0]
	w.queue[0] = nil
	if w.queue = w.queue[1:]; len(w.queue) == 0 {
		w.queue = nil
	}
	w.taken++
	return c
}

// check gives queued calls goroutines of their own if the workers are stuck.
func (w *workers) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) > 0 && w.taken == w.seen {
		w.epoch++
		w.active = 0
		for len(w.queue) > 0 {
			go w.run(w.pop())
		}
	}
	w.seen = w.taken
	if w.watch = len(w.queue) > 0; w.watch {
		time.AfterFunc(stallAfter, w.check)
	}
}

// rest lets the idle workers go, and the others when they are done, until the
// next submit.
func (w *workers) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resting = true
	for _, ch := range w.idle {
		close(ch)
	}
	w.idle = nil
}
