package h2

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// TestStepBackForOneWhoWaits: the role is not left free if the stream that could take
// it began to wait while the reader was about to step back.
func TestStepBackForOneWhoWaits(t *testing.T) {
	Needs(t, fastpath.OwnReading)
	for asked, want := range map[bool]state{false: free, true: running} {
		a, b := net.Pipe()
		go io.Copy(io.Discard, b)
		c := NewConn(a, a, Config{})
		s := &Stream{c: c, ID: 1}
		s.own.asked = asked
		c.table.streams[1] = s
		c.role.last, c.role.streak = 1, stepBackAfter
		c.role.watched.Store(true) // leave it alone
		ran := make(chan struct{})
		c.role.run = func() { close(ran) }
		if !c.stepBack() {
			t.Error("the reader stays")
		}
		if got := c.role.turn().state(); got != want {
			t.Errorf("asked %v: the role is %v, want %v", asked, got, want)
		}
		if asked {
			select {
			case <-ran:
			case <-time.After(10 * time.Second):
				t.Error("nobody reads")
			}
		}
		c.recv.settings.Stop()
		a.Close()
		b.Close()
	}
}

// TestTurns: a turn that is over cannot be passed on, whatever the state is.
func TestTurns(t *testing.T) {
	var r role
	pass := func(from turn, to state, want bool) turn {
		t.Helper()
		if got := r.pass(from, to); got != want {
			t.Errorf("from %v to %v: %v", from.state(), to, got)
		}
		return r.turn()
	}
	first := r.turn()
	free := pass(first, free, true)
	pass(first, stopping, false)
	mine := free.begin(reading)
	r.now.Store(uint64(mine))
	pass(free, running, false)
	again := pass(mine, running, true)
	if again == first || again.state() != running {
		t.Errorf("after a turn the state is %v, and the turn is the first: %v", again.state(), again == first)
	}
	pass(mine, stopping, false)
}

// TestStreak: only what one consumer alone was waiting for adds to a streak.
func TestStreak(t *testing.T) {
	var r role
	for i, c := range []struct {
		id    uint32
		alone bool
		want  int
	}{{0, true, 1}, {0, true, 2}, {3, true, 1}, {3, true, 2}, {3, false, 0}, {3, true, 1}, {5, false, 0}, {3, true, 1}, {0, true, 1}} {
		if r.got(c.id, c.alone); r.streak != c.want {
			t.Errorf("after the message %d the streak is %d, want %d", i, r.streak, c.want)
		}
	}
}
