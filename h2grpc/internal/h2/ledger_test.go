package h2

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// idle is a server that does nothing.
type idle struct{}

func (idle) New() *Stream             { return &Stream{} }
func (idle) Open(*Stream) bool        { return false }
func (idle) Opened(*Stream)           {}
func (idle) Ready(*Stream)            {}
func (idle) Quick(*Stream, bool) bool { return false }
func (idle) Run(*Stream)              {}
func (idle) Reset(*Stream)            {}

func idleConn(t *testing.T, a *Account) *Conn {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	c := NewConn(near, near, Config{Handler: idle{}, MaxMessage: 1 << 28, MaxStreams: 100, MaxHeaderList: 1 << 20, Received: a, Sent: a})
	t.Cleanup(func() { c.recv.settings.Stop() })
	return c
}

// TestResetStreamsDoNotWait: a stream that is reset while it waits for the window of
// a large message is removed from the list of those that wait.
func TestResetStreamsDoNotWait(t *testing.T) {
	c := idleConn(t, nil)
	ask := asker(c, 3<<20)
	ask() // has the window
	ask() // waits
	for range 100 {
		s := ask()
		c.mu.Lock()
		c.removeLocked(s)
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.recv.waiting); n != 1 {
		t.Errorf("%d streams wait, want the one that is there", n)
	}
}

// asker returns a function that makes another stream with a message that lacks n
// bytes of window.
func asker(c *Conn, n int) func() *Stream {
	return func() *Stream {
		s := &Stream{}
		c.mu.Lock()
		s.init(c, c.table.lastPeer+1)
		c.table.lastPeer += 2
		c.table.streams[s.ID] = s
		c.table.live++
		c.peerMaySend(s)
		c.mu.Unlock()
		s.mu.Lock()
		s.in.need = s.in.window + n
		s.mu.Unlock()
		c.grant(s, 0, n)
		return s
	}
}

// TestResetStreamAsksForNothing: a request of the account for a stream that has ended
// is withdrawn, even while the next stream has to wait for something else.
func TestResetStreamAsksForNothing(t *testing.T) {
	a := NewAccount(8 << 20)
	if _, ok := idleConn(t, a).ledger.take(unary, 8<<20, nil); !ok {
		t.Fatal("there is no room for as much as the limit")
	}
	c := idleConn(t, a)
	asker(c, 3<<20)() // has the window, of the connection's own room
	s := asker(c, 3<<19)()
	asker(c, 3<<20)() // behind it, and too large for assemblyBudget
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ledger.awaits.stream != s || c.ledger.awaits.request == nil {
		t.Fatal("the stream does not wait for the account")
	}
	c.removeLocked(s)
	if c.ledger.awaits.request != nil {
		t.Error("the account is asked for a stream that is gone")
	}
}

// TestRoomOfItsOwn: a sender that waits for the account goes on when its connection
// has room of its own again, however full the account is.
func TestRoomOfItsOwn(t *testing.T) {
	a := NewAccount(8 << 20)
	hog := idleConn(t, a)
	if _, ok := hog.ledger.take(unary, 8<<20, nil); !ok {
		t.Fatal("there is no room for as much as the limit")
	}
	c := idleConn(t, a)
	first, ok := c.ledger.take(covered, 3<<20, nil)
	if !ok {
		t.Fatal("a connection has no room of its own")
	}
	w := &sendWaiter{class: received, ready: make(chan struct{}, 1)}
	if _, ok := c.ledger.take(begun, 2<<20-1, w); ok {
		t.Fatal("there is room in an account that is full")
	}
	first.Drop()
	select {
	case <-w.ready:
	default:
		t.Fatal("the sender is not told")
	}
	second, ok := c.ledger.take(begun, 2<<20-1, w)
	if !ok {
		t.Error("the connection's own room is not used")
	}
	second.Drop()
	if c.ledger.free != 0 || w.request != nil {
		t.Errorf("%d bytes are taken, and a request is left: %v", c.ledger.free, w.request != nil)
	}
}

// TestHeldUpByUs: a message that does not arrive because this side renews no window
// does not lose its place.
func TestHeldUpByUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAccount(8 << 20)
		c := idleConn(t, a)
		s := asker(c, 7<<20)()
		if s.recv.claim.account != a {
			t.Fatal("the message has no place in the account")
		}
		c.recv.buffered.Store(c.bufferedMost())
		time.Sleep(2 * slowAfter)
		c.giveUp(a)
		if s.gone {
			t.Error("it is ended")
		}
		c.recv.buffered.Store(0)
		time.Sleep(slowAfter - time.Second)
		c.giveUp(a)
		if s.gone {
			t.Error("it is ended before it had time to come")
		}
		time.Sleep(time.Second)
		c.giveUp(a)
		if !s.gone {
			t.Error("a message that the peer does not send is not ended")
		}
	})
}

// TestGrantedForNothing: bytes that the account has granted to a message which no
// longer fits in assemblyBudget are given back.
func TestGrantedForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAccount(8 << 20)
		hog, ok := idleConn(t, a).ledger.take(unary, 8<<20, nil)
		if !ok {
			t.Fatal("there is no room for as much as the limit")
		}
		c := idleConn(t, a)
		p := asker(c, 3<<20)() // has the window, of the connection's own room
		s := asker(c, 3<<19)() // waits for the account
		if c.ledger.awaits.stream != s || c.ledger.awaits.request == nil {
			t.Fatal("the stream does not wait for the account")
		}
		p.mu.Lock()
		p.in.window -= 1 << 20 // as a smaller SETTINGS_INITIAL_WINDOW_SIZE has it
		p.mu.Unlock()
		c.grant(p, 0, 1<<20)
		hog.Drop()
		synctest.Wait()
		a.wait(&c.ledger, 7<<20, func() {})
		time.Sleep(10 * slowAfter)
		a.mu.Lock()
		defer a.mu.Unlock()
		if n := a.heldBy[&c.ledger]; len(a.waiting) > 0 {
			t.Errorf("%d bytes of the account are for a message without window, which nothing ends; others wait", n)
			a.waiting[0].slow.Stop()
		}
	})
}

// TestStuckAfterBurst: a peer that has read a GiB at once, and nothing since, is not
// excused by that.
func TestStuckAfterBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := idleConn(t, NewAccount(8<<20))
		c.mu.Lock()
		c.out.writing = true
		c.mu.Unlock()
		c.stuck()
		time.Sleep(time.Second)
		c.mu.Lock()
		c.out.now.moved += 1 << 30
		c.mu.Unlock()
		for range 18 {
			time.Sleep(slowAfter / 2)
			if c.stuck() {
				return
			}
		}
		t.Error("it reads nothing for 90 seconds, and is not stuck")
	})
}
