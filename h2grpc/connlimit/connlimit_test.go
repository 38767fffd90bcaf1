package connlimit_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/h2grpc/connlimit"
)

// The oldest connection that has not proved itself is evicted, whatever came or went
// before, and none that has.
func TestOldestGoes(t *testing.T) {
	l := connlimit.New(4, 3)
	var closed []int
	add := func(n int) *connlimit.Place {
		p, madeRoom := l.Add(func() { closed = append(closed, n) })
		if madeRoom != (len(closed) > 0 && p != nil && n > 4) {
			t.Errorf("connection %d: room was made: %v, closed are %v", n, madeRoom, closed)
		}
		return p
	}
	zero, one, two := add(0), add(1), add(2)
	one.Prove()
	three := add(3)
	two.Leave()
	two.Leave()
	four := add(4)
	if len(closed) != 0 {
		t.Fatalf("%v were closed", closed)
	}
	five := add(5)
	six := add(6)
	if want := []int{0, 3}; !slices.Equal(closed, want) {
		t.Errorf("%v were closed, not %v", closed, want)
	}
	if !zero.Evicted() || !three.Evicted() || one.Evicted() || two.Evicted() || four.Evicted() {
		t.Error("who had to go does not know")
	}
	zero.Prove() // too late
	for _, p := range []*connlimit.Place{four, five, six} {
		if l.Full() {
			t.Error("it is full too early")
		}
		p.Prove()
		p.Prove()
	}
	if !l.Full() {
		t.Error("it is not full")
	}
	zero.Leave()
	two.Leave()
	if !l.Full() {
		t.Error("those that had to go leave a second time")
	}
	one.Leave()
	if l.Full() {
		t.Error("it is full after one has left")
	}
}

// A connection that is unproven when the last place is taken may still prove itself:
// there are never more than both limits together.
func TestBothTogether(t *testing.T) {
	l := connlimit.New(2, 3)
	var open atomic.Int32
	var places []*connlimit.Place
	for !l.Full() {
		for range 10 {
			open.Add(1)
			p, _ := l.Add(func() { open.Add(-1) })
			places = append(places, p)
		}
		for _, p := range places {
			p.Prove()
		}
	}
	if n := open.Load(); n != 3 { // the last three of ten
		t.Errorf("%d are open", n)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connlimit.New(1, 5)
		stop := make(chan struct{})
		if !l.Wait(stop) {
			t.Error("there is room")
		}
		p, _ := l.Add(func() { t.Error("closed") })
		if !l.Wait(stop) {
			t.Error("those that are not proven take up no room")
		}
		p.Prove()
		var ready, stopped atomic.Int32
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if l.Wait(stop) {
					ready.Add(1)
				} else {
					stopped.Add(1)
				}
			})
		}
		synctest.Wait()
		if ready.Load() != 0 {
			t.Error("somebody did not wait")
		}
		p.Leave()
		synctest.Wait()
		if ready.Load() != 3 {
			t.Error("somebody waits for room that there is")
		}
		q, _ := l.Add(func() {})
		q.Prove()
		wg.Go(func() {
			if l.Wait(stop) {
				t.Error("there is no room")
			}
			stopped.Add(1)
		})
		synctest.Wait()
		close(stop)
		wg.Wait()
		if stopped.Load() != 1 {
			t.Error("stop did not end the wait")
		}
	})
}

func TestAnyNumber(t *testing.T) {
	l := connlimit.New(-1, -1)
	for range 1000 {
		p, _ := l.Add(func() { t.Error("closed") })
		p.Prove()
	}
	if l.Full() {
		t.Error("it is full")
	}
	var none *connlimit.Place
	none.Prove()
	if none.Evicted() {
		t.Error("nobody was evicted")
	}
}
