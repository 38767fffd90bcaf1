package loglimit_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/loglimit"
)

// book is a Logger that keeps its lines.
type book struct {
	mu    sync.Mutex
	lines []string
	told  int // lines, and how many they report as omitted
}

func (b *book) write(level, msg string, args []any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, strings.TrimSpace(level+" "+msg+" "+strings.Trim(fmt.Sprint(args), "[]")))
	b.told++
	if i := slices.Index(args, any("more_like_it")); i >= 0 {
		b.told += args[i+1].(int)
	}
}

func (b *book) Debug(msg string, args ...any) { b.write("debug", msg, args) }
func (b *book) Info(msg string, args ...any)  { b.write("info", msg, args) }
func (b *book) Warn(msg string, args ...any)  { b.write("warn", msg, args) }
func (b *book) Error(msg string, args ...any) { b.write("error", msg, args) }

// read returns the lines since the last read.
func (b *book) read() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	b.lines = nil
	return lines
}

func wantLines(t *testing.T, what string, b *book, want ...string) {
	t.Helper()
	if got := b.read(); !slices.Equal(got, want) {
		t.Errorf("%s: got\n\t%s\nwant\n\t%s", what, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(book)
		log, tell := loglimit.Wrap(b)
		var first []string
		for i := range 200_000 {
			log.Warn("refused", "id", i)
			if i < 10 {
				first = append(first, fmt.Sprintf("warn refused id %d", i))
			}
		}
		log.Debug("refused", "id", "x")
		log.Error("another")
		log.Info("one more", "a", 1)
		wantLines(t, "the first are written at once, and so are other kinds", b, append(first, "debug refused id x", "error another", "info one more a 1")...)

		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantLines(t, "the last of those that were left out comes with their number", b, "warn refused id 199999 more_like_it 199989")

		for range 60 {
			log.Warn("refused")
			log.Warn("refused", "this", "one")
			time.Sleep(900 * time.Millisecond)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(b.read()); n != 5 {
			t.Errorf("54 seconds of two a second are told in %d lines", n)
		}

		for range 12 {
			log.Warn("refused")
		}
		if n := len(b.read()); n != 10 {
			t.Errorf("after an hour without any, %d are written at once", n)
		}
		tell()
		wantLines(t, "what is left is told at the end", b, "warn refused more_like_it 1")
		tell()
		time.Sleep(time.Hour)
		synctest.Wait()
		wantLines(t, "and that is all", b)
		if want := 200_003 + 120 + 12; b.told != want {
			t.Errorf("%d lines are accounted for, of %d", b.told, want)
		}
	})
}

// One line that was omitted is written unchanged.
func TestOneLeftOut(t *testing.T) {
	b := new(book)
	log, tell := loglimit.Wrap(b)
	for i := range 11 {
		log.Info("come", "n", i)
	}
	b.read()
	tell()
	wantLines(t, "the eleventh", b, "info come n 10")
}

// Varying texts do not make it keep more: past some number they share a kind.
func TestKinds(t *testing.T) {
	b := new(book)
	log, tell := loglimit.Wrap(b)
	for i := range 100_000 {
		log.Info(fmt.Sprint("text ", i))
	}
	tell()
	if n := len(b.read()); n != 64+10+1 {
		t.Errorf("%d lines", n)
	}
	if b.told != 100_000 {
		t.Errorf("%d lines are accounted for", b.told)
	}
}

func TestWrappedOnce(t *testing.T) {
	b := new(book)
	outer, tell := loglimit.Wrap(b)
	inner, nothing := loglimit.Wrap(outer)
	for range 20 {
		inner.Warn("refused")
	}
	nothing()
	if n := len(b.read()); n != 10 {
		t.Errorf("%d lines", n)
	}
	tell()
	wantLines(t, "whoever wrapped it first tells", b, "warn refused more_like_it 9")
}

// Many goroutines write at once, also while omitted lines are reported, and none is
// lost.
func TestConcurrently(t *testing.T) {
	b := new(book)
	log, tell := loglimit.Wrap(b)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				log.Warn("refused")
			}
			tell()
		})
	}
	wg.Wait()
	tell()
	if b.told != 8000 {
		t.Errorf("%d lines are accounted for", b.told)
	}
}

// A *slog.Logger is a Logger.
func TestSlog(t *testing.T) {
	var text strings.Builder
	log, tell := loglimit.Wrap(slog.New(slog.NewTextHandler(&text, nil)))
	for range 30 {
		log.Warn("refused", "id", 7)
	}
	tell()
	if !strings.HasSuffix(text.String(), "level=WARN msg=refused id=7 more_like_it=19\n") {
		t.Errorf("got %s", text.String())
	}
}
