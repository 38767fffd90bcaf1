package health_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// function is a function of SetCheck: it counts its calls, and takes the given time.
type function struct {
	returns atomic.Int32 // a health.Status
	takes   atomic.Int64 // a time.Duration
	calls   atomic.Int32
	most    atomic.Int32 // calls at the same time
	running atomic.Int32
}

func (f *function) check(context.Context) health.Status {
	f.calls.Add(1)
	f.most.Store(max(f.most.Load(), f.running.Add(1)))
	defer f.running.Add(-1)
	<-time.NewTimer(f.took()).C
	return health.Status(f.returns.Load())
}

func (f *function) take(d time.Duration) { f.takes.Store(int64(d)) }

func (f *function) took() time.Duration { return time.Duration(f.takes.Load()) }

func (f *function) wantCalls(t *testing.T, sentence string, want int32) {
	t.Helper()
	synctest.Wait()
	if got := f.calls.Load(); got != want {
		t.Fatalf("%s: the function was called %d times, want %d", sentence, got, want)
	}
}

// newFunction returns a function that returns current, and the server that calls it
// for the service "plugin".
func newFunction(current health.Status) (*function, *health.Server, *service) {
	f, s := new(function), health.NewServer()
	f.returns.Store(int32(current))
	s.SetCheck("plugin", f.check)
	return f, s, register(s)
}

// wantCheck checks what Check of "plugin" answers, and when.
func wantCheck(t *testing.T, r *service, sentence string, want health.Status, after time.Duration) {
	t.Helper()
	begun := time.Now()
	got, err := r.check("plugin")
	if took := time.Since(begun); got != want || err != nil || took != after {
		t.Fatalf("%s: Check gave %v, %v after %v, want %v after %v", sentence, got, err, took, want, after)
	}
}

func TestSetCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, r := newFunction(health.Serving)
		f.wantCalls(t, "before anybody asks", 0)
		wantCheck(t, r, "a function", health.Serving, 0)
		f.returns.Store(int32(health.NotServing))
		wantCheck(t, r, "it returns something else", health.NotServing, 0)
		f.wantCalls(t, "each Check calls it", 2)

		s.SetServingStatus("plugin", health.Serving)
		wantCheck(t, r, "a status takes its place", health.Serving, 0)
		f.wantCalls(t, "its place is taken", 2)
		s.SetCheck("plugin", f.check)
		wantCheck(t, r, "a function takes the status's place", health.NotServing, 0)
		s.SetCheck("plugin", func(context.Context) health.Status { return health.Unknown })
		wantCheck(t, r, "another function takes its place", health.Unknown, 0)
		if got, err := r.check(""); got != health.Serving || err != nil {
			t.Errorf("the server itself is %v, %v, want SERVING", got, err)
		}
		f.wantCalls(t, "its place is taken", 3)
	})
}

// TestSharedCall: however many ask at once, a function runs once.
func TestSharedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, r := newFunction(health.NotServing)
		f.take(time.Second)
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				early := time.Duration(i) * time.Millisecond
				time.Sleep(early)
				wantCheck(t, r, "a Check among many", health.NotServing, time.Second-early)
			})
		}
		all.Wait()
		f.wantCalls(t, "100 Checks at once", 1)
		wantCheck(t, r, "a Check after them", health.NotServing, time.Second)
		f.wantCalls(t, "a Check after them", 2)

		// A new call begins before all have woken who waited for the last one.
		for range 20 {
			all.Go(func() {
				for range 20 {
					wantCheck(t, r, "one Check after the other", health.NotServing, time.Second)
				}
			})
		}
		all.Wait()
		f.wantCalls(t, "20 Checks, one after the other", 22)
	})
}

// TestStuckFunction has a function that does not return for long, and does not look at
// its context: those who ask have an answer, and it is called once.
func TestStuckFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, r := newFunction(health.Serving)
		f.take(time.Hour)
		w := r.watch(t, "plugin")
		wantCheck(t, r, "it does not return", health.NotServing, health.CheckTime)
		wantCheck(t, r, "it is known not to return", health.NotServing, 0)
		w.want(t, "it does not return", health.NotServing)
		time.Sleep(f.took() / 2)
		f.wantCalls(t, "it has not returned", 1)
		w.want(t, "it has not returned", nothing)

		f.take(0) // the next time
		time.Sleep(time.Hour/2 + health.WatchInterval)
		w.want(t, "it has returned late, and was called again", health.Serving)
		w.cancel()
		<-w.ended
		wantCheck(t, r, "it returns in time", health.Serving, 0)
	})
}

// TestLateFunction has a function that returns when its time is over, which is too
// late, and the next call is not taken for that one.
func TestLateFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := health.NewServer()
		r := register(s)
		for range 500 {
			var calls atomic.Int32
			ended := make(chan error, 1)
			s.SetCheck("plugin", func(ctx context.Context) health.Status {
				if calls.Add(1) == 1 {
					<-ctx.Done()
					ended <- ctx.Err()
				}
				return health.Serving
			})
			wantCheck(t, r, "what it returns too late", health.NotServing, health.CheckTime)
			if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("its context ended with %v", err)
			}
			synctest.Wait()
			wantCheck(t, r, "what it returns in time", health.Serving, 0)
		}
	})
}

// TestCheckEndsWithItsCall: no call waits longer for a function than its own deadline.
func TestCheckEndsWithItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, _ := newFunction(health.Serving)
		f.take(2 * time.Second)
		cc := connect(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if got, err := health.Check(ctx, cc, "plugin"); status.Code(err) != codes.DeadlineExceeded || time.Since(begun) != time.Second {
			t.Errorf("Check gave %v, %v after %v", got, err, time.Since(begun))
		}
		r := register(s)
		w := r.watch(t, "plugin")
		synctest.Wait()
		w.cancel()
		if err := <-w.ended; !errors.Is(err, context.Canceled) || time.Since(begun) != time.Second {
			t.Errorf("Watch ended with %v after %v", err, time.Since(begun))
		}
		time.Sleep(f.took())
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for _, m := range r.desc.Methods {
			if got, err := m.Handler(s, over, func(any) error { return nil }, nil); err == nil {
				t.Errorf("%s of a call that is over gave %v", m.MethodName, got)
			}
		}
		f.wantCalls(t, "all who ask share a call, and those who are gone begin none", 1)
	})
}

// book is a Logger that keeps what it gets.
type book struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (b *book) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, string(line))
	return len(line), nil
}

func TestPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, r := newFunction(health.Serving)
		s.SetCheck("plugin", func(context.Context) health.Status { panic("no database") })
		wantCheck(t, r, "a panic nobody is told of", health.NotServing, 0)
		log := new(book)
		s.LogTo(slog.New(slog.NewTextHandler(log, nil)))
		for range 1000 {
			wantCheck(t, r, "a panic", health.NotServing, 0)
		}
		s.SetCheck("plugin", func(context.Context) health.Status { runtime.Goexit(); return health.Serving })
		wantCheck(t, r, "a function that ends its goroutine", health.NotServing, 0)
		wantCheck(t, r, "and once more", health.NotServing, 0)
		time.Sleep(time.Minute) // for the line with the number of those left out

		log.mu.Lock()
		defer log.mu.Unlock()
		if len(log.lines) != 11 {
			t.Fatalf("1000 panics make %d lines, want 11: %q", len(log.lines), log.lines)
		}
		for _, word := range []string{"level=ERROR", "service=plugin", `panic="no database"`, "probe_test.go"} {
			if !strings.Contains(log.lines[0], word) {
				t.Errorf("the line lacks %s: %s", word, log.lines[0])
			}
		}
		if !strings.Contains(log.lines[10], "more_like_it=989") {
			t.Errorf("the last line does not count the others: %s", log.lines[10])
		}
	})
}

// TestWatchFunction: while somebody watches, one call is made each interval, however
// many watch, and none when nobody does.
func TestWatchFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, r := newFunction(health.Serving)
		f.take(time.Millisecond)
		var all []*watch
		for range 50 {
			all = append(all, r.watch(t, "plugin"))
			time.Sleep(f.took()) // each begins at another time
		}
		want := func(sentence string, want health.Status) {
			t.Helper()
			for _, w := range all {
				w.want(t, sentence, want)
			}
		}
		want("at first", health.Serving)
		f.wantCalls(t, "they begin one after the other", 1)
		f.returns.Store(int32(health.NotServing))
		want("nobody has asked since", nothing)
		time.Sleep(health.WatchInterval)
		want("an interval later", health.NotServing)
		f.wantCalls(t, "an interval later", 2)
		for range 10 {
			time.Sleep(health.WatchInterval + f.took())
			want("nothing changes", nothing)
		}
		f.wantCalls(t, "ten intervals later", 12)
		f.returns.Store(int32(health.Serving))
		wantCheck(t, r, "somebody asks", health.Serving, f.took())
		want("those who watch learn it too", health.Serving)
		f.wantCalls(t, "somebody asks", 13)
		time.Sleep(health.WatchInterval / 2)
		f.wantCalls(t, "the call for somebody else counts", 13)
		if most := f.most.Load(); most != 1 {
			t.Errorf("%d calls ran at the same time", most)
		}

		s.SetServingStatus("plugin", health.NotServing)
		want("a status takes the function's place", health.NotServing)
		time.Sleep(2 * health.WatchInterval)
		f.wantCalls(t, "its place is taken", 13)
		s.SetCheck("plugin", f.check)
		time.Sleep(f.took())
		want("it is back", health.Serving)
		f.wantCalls(t, "it is back", 14)

		for _, w := range all {
			w.cancel()
			<-w.ended
		}
		time.Sleep(time.Hour)
		f.wantCalls(t, "nobody watches", 14)
	})
}

// TestShutdownWithFunctions: after Shutdown the functions are not called, and nobody
// waits for them; Resume has them called again before anybody gets a status.
func TestShutdownWithFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, r := newFunction(health.Serving)
		w := r.watch(t, "plugin")
		w.want(t, "at first", health.Serving)
		f.take(time.Second)
		go func() {
			time.Sleep(time.Millisecond)
			s.Shutdown()
		}()
		wantCheck(t, r, "Shutdown during a call", health.NotServing, time.Millisecond)
		w.want(t, "after Shutdown", health.NotServing)
		wantCheck(t, r, "after Shutdown", health.NotServing, 0)
		time.Sleep(3 * health.WatchInterval)
		w.want(t, "what a call returns after Shutdown", nothing)
		wantCheck(t, r, "when that call has returned", health.NotServing, 0)
		s.SetCheck("other", f.check)
		if _, err := r.check("other"); status.Code(err) != codes.NotFound {
			t.Errorf("SetCheck after Shutdown: %v, want NOT_FOUND", err)
		}
		f.wantCalls(t, "after Shutdown", 2)
		f.returns.Store(int32(health.Unknown))
		s.Resume()
		w.want(t, "while it is called after Resume", nothing)
		wantCheck(t, r, "after Resume", health.Unknown, time.Second)
		w.want(t, "after Resume", health.Unknown)
		f.wantCalls(t, "after Resume", 3)
		s.Shutdown()
		w.want(t, "after Shutdown again", health.NotServing)
		s.Resume()
		w.want(t, "while it is called again", nothing)
		time.Sleep(time.Second)
		w.want(t, "after Resume again", health.Unknown)
		w.cancel()
		<-w.ended
	})
}

// TestReplacedWhileCalled: whoever waits for a function gets what has taken its place.
func TestReplacedWhileCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, r := newFunction(health.Serving)
		f.take(2 * time.Second)
		for name, replace := range map[string]func(){
			"a status":   func() { s.SetServingStatus("plugin", health.NotServing) },
			"a function": func() { s.SetCheck("plugin", func(context.Context) health.Status { return health.NotServing }) },
		} {
			s.SetCheck("plugin", f.check)
			go func() {
				time.Sleep(time.Second)
				s.SetServingStatus("another", health.Serving) // which nobody waits for
				time.Sleep(time.Millisecond)
				replace()
			}()
			wantCheck(t, r, name, health.NotServing, time.Second+time.Millisecond)
			time.Sleep(time.Hour)
			synctest.Wait()
			if got, err := r.check("plugin"); got != health.NotServing || err != nil {
				t.Errorf("%s is replaced when the function returns: %v, %v", name, got, err)
			}
		}
	})
}

// TestListOfFunctions has List call all of them, at once.
func TestListOfFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s, r := newFunction(health.NotServing)
		f.take(2 * time.Second)
		for i := range 20 {
			s.SetCheck(fmt.Sprint(i), func(context.Context) health.Status {
				time.Sleep(4 * time.Second)
				return health.Unknown
			})
		}
		begun := time.Now()
		got, err := r.list()
		if took := time.Since(begun); err != nil || took != 4*time.Second || len(got) != 22 ||
			got[""] != health.Serving || got["plugin"] != health.NotServing || got["19"] != health.Unknown {
			t.Errorf("List gave %v, %v after %v", got, err, took)
		}
	})
}

func TestAdd(t *testing.T) {
	s := health.NewServer()
	r := register(s)
	s.Add("plugin")
	wantStatus := func(sentence, service string, want health.Status) {
		t.Helper()
		if got, err := r.check(service); got != want || err != nil {
			t.Errorf("%s is %v, %v, want %v", sentence, got, err, want)
		}
	}
	wantStatus("what was added", "plugin", health.Serving)
	s.SetServingStatus("plugin", health.NotServing)
	s.Add("plugin")
	wantStatus("what was known", "plugin", health.NotServing)
	s.SetCheck("function", func(context.Context) health.Status { return health.Unknown })
	s.Add("function")
	wantStatus("a function", "function", health.Unknown)
	s.Shutdown()
	s.Add("late")
	wantStatus("what was added after Shutdown", "late", health.NotServing)
}

// TestConcurrentFunctions is for the race detector.
func TestConcurrentFunctions(t *testing.T) {
	_, s, r := newFunction(health.Serving)
	w := r.watch(t, "plugin")
	go func() {
		for range w.sent {
		}
	}()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 100 {
				switch (i + j) % 5 {
				case 0:
					s.SetCheck("plugin", func(context.Context) health.Status { return health.Status(1 + j%2) })
				case 1:
					s.SetServingStatus("plugin", health.Serving)
				case 2:
					s.Shutdown()
				case 3:
					s.Resume()
				}
				if _, err := r.check("plugin"); err != nil {
					t.Error(err)
				}
				if _, err := r.list(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	w.cancel()
	<-w.ended
	close(w.sent)
}
