package spool_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/spool"
)

const (
	limit    = 1000
	most     = 100
	patience = time.Second
)

func newSpool() *spool.Spool[string] { return spool.New[string](limit, most, patience) }

// rest takes everything from a spool that has ended.
func rest(t *testing.T, s *spool.Spool[string]) (text string, pieces int) {
	t.Helper()
	for {
		p, err := s.Next(t.Context())
		if err == io.EOF {
			return text, pieces
		}
		if err != nil {
			t.Fatal(err)
		}
		text += p.To + ":" + string(p.Data) + " "
		pieces++
		s.Done(p.Data)
	}
}

func TestOrder(t *testing.T) {
	s := newSpool()
	for _, add := range []string{"a1", "a2", "b3", "a4", "a" + strings.Repeat("5", most)} {
		if !s.Add(add[:1], []byte(add[1:])) {
			t.Errorf("%q is refused", add)
		}
	}
	s.End()
	if s.Add("a", []byte("late")) {
		t.Error("a spool that has ended takes more")
	}
	five := strings.Repeat("5", most-1)
	if got, _ := rest(t, s); got != "a:12 b:3 a:4"+five+" a:5 " {
		t.Errorf("got %q", got)
	}
}

// TestBound adds single bytes to two streams alternately, which costs most.
func TestBound(t *testing.T) {
	s := newSpool()
	const each = limit
	for range each {
		s.Add("a", []byte("."))
		s.Add("b", []byte("."))
	}
	s.End()
	dropped := s.Dropped()
	text, pieces := rest(t, s)
	kept := strings.Count(text, ".")
	if pieces != limit/(spool.Overhead+1) || kept+pieces*spool.Overhead > limit || dropped != int64(2*each-kept) {
		t.Errorf("%d bytes are kept in %d pieces, and %d are counted as dropped", kept, pieces, dropped)
	}
	if again := s.Dropped(); again != 0 {
		t.Errorf("%d bytes are counted twice", again)
	}
}

// TestSlowReaders has a reader that finishes a piece just before patience has passed.
// Nothing is lost.
func TestSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool()
		s.Reader(1)
		all := make(chan int)
		go func() {
			n := 0
			for {
				p, err := s.Next(t.Context())
				if err != nil {
					all <- n
					return
				}
				time.Sleep(patience - time.Millisecond)
				n += len(p.Data)
				s.Done(p.Data)
			}
		}()
		s.Add("a", make([]byte, 3*limit)) // in one call: the reader is woken
		s.End()
		if got := <-all; got != 3*limit || s.Dropped() != 0 {
			t.Errorf("%d bytes arrive, want %d", got, 3*limit)
		}
	})
}

// TestStuckReaders has readers that take nothing. Add waits for each once.
func TestStuckReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool()
		wantTook := func(what string, want time.Duration) {
			t.Helper()
			begun := time.Now()
			for range 3 {
				s.Add("a", make([]byte, limit))
			}
			if took := time.Since(begun); took != want {
				t.Errorf("with %s it took %v, want %v", what, took, want)
			}
		}
		wantTook("no reader", 0)
		s.Reader(1)
		wantTook("a reader that is stuck", patience)
		if p, err := s.Next(t.Context()); err != nil {
			t.Fatal(err)
		} else {
			s.Done(p.Data)
		}
		wantTook("a reader that is stuck again", patience)
		s.Reader(1)
		wantTook("another one", patience)
		go func() {
			time.Sleep(patience / 2)
			s.Reader(-2)
		}()
		s.Reader(0)
		wantTook("readers that go", patience/2)
		s.Reader(1)
		go func() {
			time.Sleep(patience / 2)
			s.End()
		}()
		wantTook("an end to it", patience/2)
	})
}

// TestAgain returns a piece, which is then the next one again, and has room for more.
func TestAgain(t *testing.T) {
	s := newSpool()
	s.Add("a", []byte("1"))
	p, err := s.Next(t.Context())
	if err != nil || string(p.Data) != "1" {
		t.Fatalf("%q, %v", p.Data, err)
	}
	s.Add("a", []byte("2"))
	if string(p.Data) != "1" {
		t.Errorf("a piece that is with a reader becomes %q", p.Data)
	}
	s.Again()
	s.Add("a", []byte("3"))
	s.End()
	if got, _ := rest(t, s); got != "a:1 a:23 " {
		t.Errorf("got %q", got)
	}
}

// TestDrop drops all pieces except the one that the reader has.
func TestDrop(t *testing.T) {
	s := newSpool()
	s.Add("a", []byte("1"))
	s.Add("b", []byte("22"))
	s.Add("a", []byte("333"))
	p, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.End() {
		t.Error("nobody has waited, and the reader is taken for stuck")
	}
	s.Drop()
	s.Done(p.Data)
	if text, _ := rest(t, s); text != "" || s.Dropped() != 5 {
		t.Errorf("%q is left", text)
	}
	s.Drop()
}

func TestNextEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpool()
		ctx, cancel := context.WithCancelCause(t.Context())
		got := make(chan error)
		go func() {
			_, err := s.Next(ctx)
			got <- err
		}()
		synctest.Wait()
		why := errors.New("enough")
		cancel(why)
		if err := <-got; err != why {
			t.Errorf("got %v", err)
		}
		s.Add("a", []byte("1"))
		if p, err := s.Next(ctx); err != nil || string(p.Data) != "1" {
			t.Errorf("what is there is not taken: %q, %v", p.Data, err)
		}
	})
}

// TestBuffersAreUsedAgain adds and takes pieces without a pause.
func TestBuffersAreUsedAgain(t *testing.T) {
	s := newSpool()
	data := make([]byte, most)
	s.Add("a", data)
	s.Add("b", data)
	buffers := make(map[*byte]bool)
	for range 100 {
		s.Add("a", data)
		p, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		buffers[&p.Data[0]] = true
		s.Done(p.Data)
	}
	if len(buffers) > 3 {
		t.Errorf("%d buffers for three pieces at once", len(buffers))
	}
}
