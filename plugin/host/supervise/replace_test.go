package supervise

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
)

// goReplace replaces in the background.
func goReplace(t *testing.T, s *Supervisor, config *host.Config) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Replace(t.Context(), config) }()
	synctest.Wait()
	return done
}

func TestReplace(t *testing.T) {
	inFakeTime(t, Config{}, nil, func(t *testing.T, w *world, s *Supervisor) {
		old := goCall(t.Context(), s, "Wait", "old")
		synctest.Wait()
		next := &host.Config{MaxBrokered: 3}
		done := goReplace(t, s, next)
		wantCall(t, s, "a", "2:a")
		if f := w.process(2); f.config != next {
			t.Error("it was started with another configuration")
		}
		w.pass(9 * time.Second)
		if len(done) > 0 || w.process(1).ended() {
			t.Fatal("the trial is over too early")
		}
		w.pass(time.Second)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if w.process(1).ended() {
			t.Error("the old process was ended before its call")
		}
		close(w.process(1).release)
		if got := <-old; got.out != "1:old" {
			t.Errorf("the call in progress: %q, %v", got.out, got.err)
		}
		wantEvents(t, w, "starting 1", "ready 1", "starting 2", "ready 2", "exited 1: was replaced")
		// From now on it is started like that.
		w.process(2).crash(1)
		wantCall(t, s, "b", "3:b")
		if f := w.process(3); f.config != next {
			t.Error("after a crash, it was started with the old configuration")
		}
	})
}

func TestReplaceFails(t *testing.T) {
	no := errors.New("no such file")
	bad := &host.Config{MaxBrokered: 666}
	for _, test := range []struct {
		name    string
		plan    func(f *fake) error
		failure string
	}{
		{"to start", func(*fake) error { return no }, "no such file"},
		{"its first check", func(f *fake) error { f.sick = host.ErrNotServing; return nil }, "is not serving"},
		{"at once", func(f *fake) error { time.AfterFunc(time.Second, func() { f.crash(9) }); return nil }, "exit status 9"},
		{"to answer", func(f *fake) error {
			time.AfterFunc(time.Second, func() { f.set(func() { f.silent = true }) })
			return nil
		}, "did not answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := func(f *fake) error {
				if f.config == bad {
					return test.plan(f)
				}
				return nil
			}
			config := Config{Trial: time.Minute}
			inFakeTime(t, config, plan, func(t *testing.T, w *world, s *Supervisor) {
				err := s.Replace(t.Context(), bad)
				if err == nil || !strings.Contains(err.Error(), test.failure) {
					t.Errorf("Replace returned %v", err)
				}
				wantCall(t, s, "a", "1:a")
				st := wantState(t, s, Ready)
				if st.Failures != 0 || st.Process != 1 || st.LastExit == nil || st.LastExit.Process != 2 {
					t.Errorf("the status is %+v", st)
				}
				// The old one is what is started next.
				w.process(1).crash(1)
				wantCall(t, s, "b", "3:b")
				if w.process(3).config == bad {
					t.Error("it was started with the new configuration")
				}
			})
		})
	}
	t.Run("with the old process gone", func(t *testing.T) {
		plan := func(f *fake) error {
			if f.config == bad {
				time.AfterFunc(3*time.Second, func() { f.crash(9) })
			}
			return nil
		}
		inFakeTime(t, Config{}, plan, func(t *testing.T, w *world, s *Supervisor) {
			done := goReplace(t, s, bad)
			w.pass(time.Second)
			w.process(1).crash(1)
			w.pass(3 * time.Second)
			if err := <-done; err == nil || !strings.Contains(err.Error(), "so has the old one") {
				t.Errorf("Replace returned %v", err)
			}
			wantCall(t, s, "a", "3:a")
			if w.process(3).config == bad {
				t.Error("it was started with the new configuration")
			}
		})
	})
	t.Run("by its context", func(t *testing.T) {
		plan := func(f *fake) error { f.silent = f.config == bad; return nil }
		inFakeTime(t, Config{}, plan, func(t *testing.T, w *world, s *Supervisor) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := s.Replace(ctx, bad); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Replace returned %v", err)
			}
			synctest.Wait()
			if !w.process(2).ended() {
				t.Error("the new process is left")
			}
			wantCall(t, s, "a", "1:a")
		})
	})
}

// TestReplaceWhile: replacements of a plugin that has no process now.
func TestReplaceWhile(t *testing.T) {
	good, bad := &host.Config{MaxBrokered: 3}, &host.Config{MaxBrokered: 666}
	plan := func(f *fake) error {
		if f.config == bad {
			return errors.New("no such file")
		}
		return nil
	}
	t.Run("it is starting", func(t *testing.T) {
		slow := func(f *fake) error {
			if f.number == 2 {
				f.silent = true
				time.AfterFunc(3*time.Second, func() { f.set(func() { f.silent = false }) })
			}
			return plan(f)
		}
		inFakeTime(t, Config{}, slow, func(t *testing.T, w *world, s *Supervisor) {
			done := goReplace(t, s, good)
			w.process(1).crash(1) // and the new one is not ready yet
			wantCall(t, s, "a", "2:a")
			if err := <-done; err != nil {
				t.Error(err)
			}
			wantEvents(t, w, "starting 1", "ready 1", "starting 2", "exited 1: ended by itself", "starting 2", "ready 2")
		})
	})
	t.Run("restarting", func(t *testing.T) {
		inFakeTime(t, Config{}, plan, func(t *testing.T, w *world, s *Supervisor) {
			w.process(1).crash(1)
			synctest.Wait()
			if err := s.Replace(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "no such file") {
				t.Errorf("Replace returned %v", err)
			}
			wantCall(t, s, "a", "3:a")
			w.process(3).crash(1)
			synctest.Wait()
			began := time.Now()
			if err := s.Replace(t.Context(), good); err != nil || !began.Equal(time.Now()) {
				t.Errorf("Replace returned %v after %v", err, time.Since(began))
			}
			wantCall(t, s, "b", "4:b")
			if st := s.Status(); st.Failures != 0 {
				t.Errorf("the failures of before still count: %+v", st)
			}
		})
	})
	t.Run("it gave up", func(t *testing.T) {
		inFakeTime(t, Config{Restart: Restart{Failures: 1}}, plan, func(t *testing.T, w *world, s *Supervisor) {
			w.process(1).crash(1)
			synctest.Wait()
			if err := s.Replace(t.Context(), bad); err == nil {
				t.Error("Replace succeeded")
			}
			wantState(t, s, GaveUp)
			w.pass(time.Hour)
			if n := w.processes(); n != 2 {
				t.Errorf("%d processes were begun", n)
			}
			if err := s.Replace(t.Context(), good); err != nil {
				t.Error(err)
			}
			wantCall(t, s, "b", "3:b")
		})
	})
	t.Run("it sleeps", func(t *testing.T) {
		inFakeTime(t, Config{OnDemand: true}, plan, func(t *testing.T, w *world, s *Supervisor) {
			if err := s.Replace(t.Context(), bad); err == nil {
				t.Error("Replace succeeded")
			}
			w.pass(time.Hour)
			if n := w.processes(); n != 1 || s.Status().State != Stopped {
				t.Errorf("%d processes were begun", n)
			}
			if err := s.Replace(t.Context(), good); err != nil {
				t.Error(err)
			}
			wantCall(t, s, "b", "2:b")
		})
	})
	t.Run("it is stopped", func(t *testing.T) {
		inFakeTime(t, Config{}, plan, func(t *testing.T, w *world, s *Supervisor) {
			done := goReplace(t, s, good)
			s.Close()
			if err := <-done; !errors.Is(err, ErrStopped) {
				t.Errorf("Replace returned %v", err)
			}
		})
	})
}

func TestAge(t *testing.T) {
	failing := 3
	plan := func(f *fake) error {
		if f.number > 1 && failing > 0 {
			failing--
			return errors.New("not now")
		}
		return nil
	}
	inFakeTime(t, Config{Limits: Limits{Age: time.Hour}}, plan, func(t *testing.T, w *world, s *Supervisor) {
		w.pass(59 * time.Minute)
		wantEvents(t, w, "starting 1", "ready 1")
		w.pass(2 * time.Minute)
		wantEvents(t, w,
			"starting 2", "exited 2: could not be started",
			"starting 3", "exited 3: could not be started",
			"starting 4", "exited 4: could not be started",
			"starting 5", "ready 5", "exited 1: reached its age")
		if st := s.Status(); st.Failures != 0 {
			t.Errorf("it counts as a failure: %+v", st)
		}
	})
}

// TestMemoryAgain: a replacement for memory that cannot be started is tried again after
// the waits of Backoff, not at each look.
func TestMemoryAgain(t *testing.T) {
	if !tellsUsage {
		return // Start refuses such limits: TestUsage
	}
	plan := func(f *fake) error {
		if f.number > 1 {
			return errors.New("no memory")
		}
		f.pid = os.Getpid() // which uses more than a byte
		return nil
	}
	config := Config{
		Limits:  Limits{Memory: 1, Interval: 5 * time.Second},
		Restart: Restart{Stable: 1, Backoff: retry.Backoff{Initial: 20 * time.Second, Max: 20 * time.Second}},
	}
	inFakeTime(t, config, plan, func(t *testing.T, w *world, s *Supervisor) {
		w.pass(time.Minute)
		if n := w.processes(); n != 4 {
			t.Errorf("%d replacements were tried in a minute, want 3", n-1)
		}
		wantCall(t, s, "a", "1:a")
	})
}
