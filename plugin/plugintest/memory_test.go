package plugintest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

// These tests are inside the package because memory is not exported.

func TestConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2 = newPipe("here")
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}

func TestConnEnds(t *testing.T) {
	a, b := newPipe("here")
	if _, err := a.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if got, err := io.ReadAll(b); string(got) != "last words" || err != nil {
		t.Errorf("the other end reads %q, %v", got, err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing to a closed end: %v", err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading from the own closed end: %v", err)
	}
	if err := a.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a deadline for a closed end: %v", err)
	}
}

// TestConnBuffers writes from both ends before either reads.
func TestConnBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe("here")
		full := make([]byte, pipeBuffer)
		for _, c := range []net.Conn{a, b} {
			if _, err := c.Write(full); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := a.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("a full connection takes more: %v after %v", err, time.Since(begun))
		}
	})
}

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l, err := m.listen()
		if err != nil {
			t.Fatal(err)
		}
		other, err := m.listen()
		if err != nil || other.Addr().String() == l.Addr().String() {
			t.Fatalf("two listeners at %v, %v", l.Addr(), err)
		}
		dial := func(ctx context.Context) (net.Conn, error) {
			return m.dial(ctx, l.Addr().Network(), l.Addr().String())
		}
		var waiting []net.Conn
		for range backlog {
			c, err := dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			waiting = append(waiting, c)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one more than the backlog: %v", err)
		}
		late := make(chan error)
		go func() {
			_, err := dial(context.Background())
			late <- err
		}()
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		// Either the dial failed, or its connection was closed with the others.
		if err := <-late; err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a dial in progress: %v", err)
		}
		for _, c := range waiting {
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("a connection that nobody accepted: %v", err)
			}
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v", err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a second Close: %v", err)
		}
		if _, err := dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialling what is closed: %v", err)
		}
	})
}
