package h2

// These tests are in the package because they are about things that are invisible
// from outside: how long a writer lets others add to what it is about to write, and
// how soon a reader lets others run.

import (
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// yielding calls yield n times, or until another goroutine, which runs other, has had
// the connection's lock meanwhile. Each time c.out.crowded is set as given; the last
// value is in c.
func yielding(c *Conn, n int, crowded time.Time, other func()) (let bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	had := false // guarded by c.mu
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.mu.Lock()
		defer c.mu.Unlock()
		other()
		had = true
	}()
	for i := 0; i < n && !had; i++ {
		c.out.crowded = crowded
		c.yield()
	}
	let = had
	c.mu.Unlock()
	<-done
	c.mu.Lock()
	return let
}

// takes uses up real time, which counts as slow.
func takes(d time.Duration) {
	for begun := time.Now(); time.Since(begun) < d; {
	}
}

// TestYield: a writer yields to others, unless that recently took long for nothing.
func TestYield(t *testing.T) {
	const often = 1 << 30
	c := new(Conn)
	if !yielding(c, often, time.Time{}, func() { c.out.pending = append(c.out.pending, 1); takes(2 * gatherMost) }) {
		t.Fatal("nobody was let in")
	}
	if !c.out.crowded.IsZero() {
		t.Error("it took long, and something was added: that is no reason not to let others in")
	}
	if !yielding(c, often, time.Time{}, func() { takes(2 * gatherMost) }) {
		t.Fatal("nobody was let in the second time")
	}
	if c.out.crowded.IsZero() {
		t.Fatal("it took long for nothing, and the writer has not noticed")
	}
	if yielding(c, 1000, time.Now().Add(time.Hour), func() {}) { // for as long as the test may take
		t.Error("somebody was let in although that took long for nothing just now")
	}
	if !yielding(c, often, time.Now().Add(-crowdedFor), func() {}) {
		t.Error("nobody is let in any more")
	}
}

// flood is a connection whose peer always has one more frame, up to most.
type flood struct {
	net.Conn
	begin []byte
	frame []byte
	most  int64
	read  atomic.Int64
}

func (f *flood) Read(p []byte) (int, error) {
	if len(f.begin) > 0 {
		n := copy(p, f.begin)
		f.begin = f.begin[n:]
		return n, nil
	}
	if f.read.Add(1) > f.most {
		return 0, io.EOF
	}
	return copy(p, f.frame), nil
}

// TestReaderGivesWay: a reader that never has to wait for its peer lets others run,
// long before the scheduler would make it.
func TestReaderGivesWay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	go io.Copy(io.Discard, b)
	f := &flood{Conn: a, most: 40 * giveWay}
	f.begin = appendSettings(nil)
	f.frame = append(FrameHeader{Length: 5, Type: FramePriority, StreamID: 1}.append(nil), 0, 0, 0, 3, 1)
	c := NewConn(f, f, Config{})
	ended := make(chan error, 1)
	go func() { ended <- c.Run() }()
	var last, longest int64
	for {
		runtime.Gosched()
		now := f.read.Load()
		longest, last = max(longest, now-last), now
		select {
		case err := <-ended:
			t.Logf("at most %d frames one after the other; the end: %v", longest, err)
			// The reader rests after idleFrames, whatever giveWay does.
			if longest > 2*giveWay {
				t.Errorf("%d frames were read before anybody else ran, want about %d", longest, giveWay)
			}
			if last <= f.most {
				t.Errorf("%d frames were read of %d", last, f.most)
			}
			return
		default:
		}
	}
}
