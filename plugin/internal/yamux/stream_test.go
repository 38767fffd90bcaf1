package yamux_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/yamux"
)

const (
	window = 256 << 10
	half   = window / 2
)

func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		st, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st.Write([]byte("early"))
		p.want("data before the ACK", "window update 1 +0 SYN", `data 1 "early"`)
		select {
		case <-st.Accepted():
			t.Error("accepted before the ACK")
		default:
		}
		p.data(1, ack, "hello")
		wantRead(t, st, "hello")
		<-st.Accepted()
		p.update(1, ack, 0)
		p.wantAlive(s) // a second ACK does not end the session
		p.open(s, 3)
	})
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Server)
		p.open(s, 2)
		p.update(4, syn, 0) // the parity of ids is not checked
		p.open(s, 6)
	})
}

func TestAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Server)
		p.data(1, syn, "with data")
		p.update(3, syn, 100)
		p.wantNothing("before Accept")
		for _, id := range []uint32{1, 3} {
			st, err := s.Accept()
			if err != nil || st.ID() != id {
				t.Fatalf("accepted %v, %v, want stream %d", st, err, id)
			}
			if id == 1 {
				p.want("Accept", "window update 1 +0 ACK")
				wantRead(t, st, "with data")
				continue
			}
			p.want("Accept", "window update 3 +0 ACK")
			st.Write(make([]byte, window+100))
			p.want("a window that is larger from the start",
				"data 3 [65536 bytes]", "data 3 [65536 bytes]", "data 3 [65536 bytes]", "data 3 [65536 bytes]", "data 3 [100 bytes]")
		}
		// A stream that is gone again keeps its place, but has no ACK.
		p.update(5, syn, 0)
		p.update(5, rst, 0)
		p.update(7, syn, 0)
		synctest.Wait()
		st, err := s.Accept()
		if err != nil || st.ID() != 5 {
			t.Fatalf("accepted %v, %v, want stream 5", st, err)
		}
		wantReadErr(t, st, yamux.ErrReset)
		if st, err := s.Accept(); err != nil || st.ID() != 7 {
			t.Fatalf("accepted %v, %v, want stream 7", st, err)
		}
		p.want("Accept", "window update 7 +0 ACK")
	})
}

func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Server)
		st := p.accept(s, 1)
		p.data(1, fin, "last words")
		wantRead(t, st, "last words")
		wantReadErr(t, st, io.EOF)
		wantReadErr(t, st, io.EOF)
		st.Write([]byte("answer"))
		p.want("writing after the peer's FIN", `data 1 "answer"`)
		if err := st.CloseWrite(); err != nil {
			t.Error(err)
		}
		p.want("CloseWrite", "window update 1 +0 FIN")
		if n := s.NumStreams(); n != 0 {
			t.Errorf("%d streams after both FINs", n)
		}
		if _, err := st.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after CloseWrite: %v", err)
		}
		st.Close()
		wantReadErr(t, st, net.ErrClosed)
		if err := st.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second Close: %v", err)
		}
		p.wantNothing("closing a stream that is closed")

		st = p.accept(s, 3)
		st.CloseWrite()
		p.want("CloseWrite", "window update 3 +0 FIN")
		p.data(3, 0, "more")
		wantRead(t, st, "more")
		p.data(3, fin, "")
		wantReadErr(t, st, io.EOF)
		// What the peer had queued after its FIN.
		p.data(3, 0, "late")
		p.update(3, fin, 0)
		p.wantAlive(s)

		// Data that arrives with a FIN is not lost, and data after it is not read.
		st = p.accept(s, 5)
		p.data(5, 0, "a")
		p.data(5, fin, "b")
		p.data(5, 0, "c")
		p.wantAlive(s)
		wantRead(t, st, "ab")
		wantReadErr(t, st, io.EOF)
	})
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		st := p.open(s, 1)
		read, wrote := make(chan error, 1), make(chan error, 1)
		go func() { _, err := st.Read(make([]byte, 1)); read <- err }()
		go func() { _, err := st.Write(make([]byte, window+1)); wrote <- err }()
		synctest.Wait()
		p.want("a window full", "data 1 [65536 bytes]", "data 1 [65536 bytes]", "data 1 [65536 bytes]", "data 1 [65536 bytes]")
		p.update(1, rst, 0)
		if err := <-read; !errors.Is(err, yamux.ErrReset) {
			t.Errorf("Read: %v", err)
		}
		if err := <-wrote; !errors.Is(err, yamux.ErrReset) {
			t.Errorf("Write: %v", err)
		}
		st.Close()
		p.wantNothing("closing a stream that was reset")

		st = p.open(s, 3)
		st.Reset()
		p.want("Reset", "window update 3 +0 RST")
		wantReadErr(t, st, net.ErrClosed)
		st.Reset()
		p.data(3, 0, "crossing")
		p.update(3, fin, 0)
		p.wantAlive(s)

		// A refused stream.
		st, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.want("Open", "window update 5 +0 SYN")
		p.update(5, rst, 0)
		<-st.Accepted()
		wantReadErr(t, st, yamux.ErrReset)
	})
}

func TestFlowControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		st := p.open(s, 1)
		wrote := make(chan int, 1)
		go func() { n, _ := st.Write(make([]byte, window+10)); wrote <- n }()
		p.want("a window full", "data 1 [65536 bytes]", "data 1 [65536 bytes]", "data 1 [65536 bytes]", "data 1 [65536 bytes]")
		p.wantNothing("without a window")
		p.update(1, 0, 4)
		p.want("a window of four", `data 1 "\x00\x00\x00\x00"`)
		p.update(1, 0, 100)
		p.want("the rest", `data 1 "\x00\x00\x00\x00\x00\x00"`)
		if n := <-wrote; n != window+10 {
			t.Errorf("Write returned %d", n)
		}

		// In the other direction: one frame of the whole window, and updates after each
		// half of it is read.
		p.data(1, 0, strings.Repeat("x", window))
		buf := make([]byte, window)
		readFull(t, st, buf[:half-1])
		p.wantNothing("less than a half was read")
		readFull(t, st, buf[:1])
		p.want("a half was read", "window update 1 +131072")
		readFull(t, st, buf[:half])
		p.want("all was read", "window update 1 +131072")
		p.data(1, fin, strings.Repeat("y", window))
		synctest.Wait()
		readFull(t, st, buf)
		p.wantNothing("a peer that will not write needs no window")
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		st := p.open(s, 1)
		begin := time.Now()
		st.SetReadDeadline(begin.Add(3 * time.Second))
		wantReadErr(t, st, os.ErrDeadlineExceeded)
		if waited := time.Since(begin); waited != 3*time.Second {
			t.Errorf("Read waited %v", waited)
		}
		p.data(1, 0, "x")
		wantReadErr(t, st, os.ErrDeadlineExceeded)
		st.SetReadDeadline(time.Time{})
		wantRead(t, st, "x")

		// A deadline that is moved while Read waits.
		begin = time.Now()
		st.SetReadDeadline(begin.Add(time.Second))
		go func() {
			time.Sleep(time.Second / 2)
			st.SetReadDeadline(begin.Add(2 * time.Second))
		}()
		wantReadErr(t, st, os.ErrDeadlineExceeded)
		if waited := time.Since(begin); waited != 2*time.Second {
			t.Errorf("Read waited %v", waited)
		}
		var netErr net.Error
		if _, err := st.Read(make([]byte, 1)); !errors.As(err, &netErr) || !netErr.Timeout() {
			t.Errorf("Read after the deadline: %v", err)
		}

		// Write waits for the window, and a second Write for the first.
		st.SetDeadline(time.Now().Add(time.Second))
		later := make(chan error, 1)
		go func() {
			time.Sleep(time.Second / 2)
			_, err := st.Write([]byte("second"))
			later <- err
		}()
		if n, err := st.Write(make([]byte, window+1)); n != window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: %d, %v", n, err)
		}
		if err := <-later; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the second Write: %v", err)
		}
		st.SetDeadline(time.Now().Add(-time.Second))
		wantReadErr(t, st, os.ErrDeadlineExceeded)
		if _, err := st.Write(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write after the deadline: %v", err)
		}
		st.Close()
		if err := st.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetDeadline after Close: %v", err)
		}

		// Write waits for the connection.
		p.want("a window full", "data 1 [65536 bytes]", "data 1 [65536 bytes]", "data 1 [65536 bytes]", "data 1 [65536 bytes]", "window update 1 +0 FIN")
		a, b, c := p.open(s, 3), p.open(s, 5), p.open(s, 7)
		p.stall()
		a.Write(make([]byte, window))
		synctest.Wait()
		b.Write(make([]byte, window))
		c.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write to a connection that nobody reads: %d, %v", n, err)
		}
		c.SetWriteDeadline(time.Time{})
		wrote := make(chan error, 1)
		go func() { wrote <- second(c.Write([]byte("x"))) }()
		synctest.Wait()
		p.resume()
		if err := <-wrote; err != nil {
			t.Errorf("Write to a connection that is read again: %v", err)
		}
	})
}

// TestCloseTimeout has a peer that does not close its half.
func TestCloseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Server)
		time.Sleep(7 * time.Second) // a ping every 30 s is not to coincide
		for i, st := range []*yamux.Stream{p.accept(s, 1), p.accept(s, 3)} {
			st.Close()
			p.want("Close", []string{"window update 1 +0 FIN", "window update 3 +0 FIN"}[i])
		}
		p.data(1, 0, "thrown away")
		p.update(3, fin, 0)
		p.skipPings(5*time.Minute - time.Second)
		p.wantNothing("before the time")
		time.Sleep(2 * time.Second)
		p.want("five minutes", "window update 1 +0 RST")
		if n := s.NumStreams(); n != 0 {
			t.Errorf("%d streams", n)
		}
	})
	// One that was opened here, and closed before it was accepted.
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		time.Sleep(7 * time.Second)
		st, err := s.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st.Close()
		p.want("Open and Close", "window update 1 +0 SYN", "window update 1 +0 FIN")
		p.update(1, ack, 0)
		p.skipPings(5*time.Minute - time.Second)
		time.Sleep(2 * time.Second)
		p.want("five minutes", "window update 1 +0 RST")
	})
}

func TestAcceptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		st := p.open(s, 1)
		if _, err := s.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.want("Open", "window update 3 +0 SYN")
		p.skipPings(74 * time.Second)
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		wantEnd(t, s, "does not respond: stream 3 was not accepted within 1m15s")
		if _, err := st.Read(make([]byte, 1)); !errors.Is(err, yamux.ErrUnresponsive) {
			t.Errorf("Read: %v", err)
		}
	})
}

// TestOpenWaits opens more streams than a peer allows that accepts none.
func TestOpenWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		for range 256 {
			if _, err := s.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Open(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stream 257: %v", err)
		}
		opened := make(chan error, 1)
		go func() { _, err := s.Open(t.Context()); opened <- err }()
		synctest.Wait()
		p.update(7, ack, 0)
		if err := <-opened; err != nil {
			t.Error(err)
		}
		go func() { _, err := s.Open(t.Context()); opened <- err }()
		synctest.Wait()
		p.header(yamux.GoAway, 0, 0, yamux.GoAwayNormal)
		if err := <-opened; !errors.Is(err, yamux.ErrGoAway) {
			t.Errorf("Open when the peer goes away: %v", err)
		}
	})
}

func wantRead(t *testing.T, st io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	readFull(t, st, b)
	if string(b) != want {
		t.Fatalf("Read: %q, want %q", b, want)
	}
}

func readFull(t *testing.T, st io.Reader, b []byte) {
	t.Helper()
	if n, err := io.ReadFull(st, b); err != nil {
		t.Fatalf("Read: %d of %d bytes, %v", n, len(b), err)
	}
}

func wantReadErr(t *testing.T, st *yamux.Stream, want error) {
	t.Helper()
	if n, err := st.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
		t.Fatalf("Read: %d, %v, want %v", n, err, want)
	}
}
