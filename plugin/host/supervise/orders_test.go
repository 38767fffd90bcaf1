package supervise

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/host"
)

// TestPrepareEndsWithProcess: a Prepare that waits for its plugin does not wait for one
// that has ended.
func TestPrepareEndsWithProcess(t *testing.T) {
	config := Config{Prepare: func(ctx context.Context, _ *host.Client) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	plan := func(f *fake) error { time.AfterFunc(time.Second, func() { f.crash(4) }); return nil }
	inFakeTime(t, config, plan, func(t *testing.T, w *world, s *Supervisor) {
		w.pass(time.Second)
		wantEvents(t, w, "starting 1", "exited 1: could not be started", "restarting 1: 100ms")
		if exit := s.Status().LastExit; exit == nil || exit.Status.Code != 4 {
			t.Errorf("the last exit is %v", exit)
		}
	})
}

// TestStopKillsInPrepare: a Prepare that hangs in a call, without its context, does not
// make Stop last longer than the context of Stop.
func TestStopKillsInPrepare(t *testing.T) {
	started := make(chan *fake, 1)
	config := Config{Prepare: func(context.Context, *host.Client) error {
		_, err := call(context.Background(), (<-started).cc, "Wait", "w")
		return err
	}}
	plan := func(f *fake) error { started <- f; return nil }
	inFakeTime(t, config, plan, func(t *testing.T, w *world, s *Supervisor) {
		time.AfterFunc(time.Minute, func() { close(w.process(1).release) }) // not before
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := s.Stop(ctx); err == nil || time.Since(began) != time.Second {
			t.Errorf("Stop returned %v after %v", err, time.Since(began))
		}
	})
}

// TestOldCrashesAsNewIsReady: the end of the old process is recorded, and what Prepare
// began for it ends, whichever the supervisor notices first.
func TestOldCrashesAsNewIsReady(t *testing.T) {
	for range 10 {
		var contexts []context.Context
		config := Config{Prepare: func(ctx context.Context, _ *host.Client) error {
			contexts = append(contexts, ctx)
			return nil
		}}
		plan := func(f *fake) error {
			if f.number == 2 {
				f.sick = host.ErrNotServing
				time.AfterFunc(3*time.Second, func() { f.set(func() { f.sick = nil }) })
			}
			return nil
		}
		inFakeTime(t, config, plan, func(t *testing.T, w *world, s *Supervisor) {
			w.pass(9 * time.Second)
			done := goReplace(t, s, nil)
			f := w.process(1)
			f.set(func() { f.silent = true }) // a check takes from 10 to 15 s
			w.pass(5 * time.Second)
			f.crash(1)
			w.pass(time.Minute)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			wantCall(t, s, "a", "2:a")
			if !slices.Contains(w.events(), "exited 1: ended by itself") {
				t.Error("nothing says that the old process has ended")
			}
			if contexts[0].Err() == nil {
				t.Error("the context of the old process goes on")
			}
		})
	}
}

// TestAgeWhileReplacing: an age that is reached during a replacement is not forgotten.
func TestAgeWhileReplacing(t *testing.T) {
	bad := &host.Config{MaxBrokered: 666}
	plan := func(f *fake) error { f.silent = f.config == bad; return nil }
	inFakeTime(t, Config{Limits: Limits{Age: time.Hour}}, plan, func(t *testing.T, w *world, s *Supervisor) {
		w.pass(time.Hour - time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if s.Replace(ctx, bad) == nil {
			t.Error("Replace succeeded")
		}
		w.pass(time.Minute)
		wantCall(t, s, "a", "3:a")
	})
}

// TestFailFastWhileIdleEnds: a call that comes while an idle process is being ended is
// one that starts the plugin.
func TestFailFastWhileIdleEnds(t *testing.T) {
	inFakeTime(t, Config{Idle: time.Minute, FailFast: true}, nil, func(t *testing.T, w *world, s *Supervisor) {
		slow := make(chan struct{})
		f := w.process(1)
		f.set(func() { f.slow = slow })
		w.pass(2 * time.Minute)
		next := goCall(t.Context(), s, "Echo", "a")
		synctest.Wait()
		close(slow)
		if got := <-next; got.out != "2:a" {
			t.Errorf("got %q, %v", got.out, got.err)
		}
	})
}

// TestStoppedAfterGivingUp: Stop has the last word.
func TestStoppedAfterGivingUp(t *testing.T) {
	inFakeTime(t, Config{Restart: Restart{Failures: 1}}, nil, func(t *testing.T, w *world, s *Supervisor) {
		w.process(1).crash(1)
		wantState(t, s, GaveUp)
		s.Close()
		if err := s.WaitReady(t.Context()); !errors.Is(err, ErrStopped) {
			t.Errorf("got %v", err)
		}
	})
}

// TestCallPanics: a call that panics, here for its message, has ended.
func TestCallPanics(t *testing.T) {
	inFakeTime(t, Config{}, nil, func(t *testing.T, w *world, s *Supervisor) {
		func() {
			defer func() { recover() }()
			s.Invoke(t.Context(), "/t.S/Echo", (*h2grpc.Raw)(nil), new(h2grpc.Raw))
		}()
		func() {
			defer func() { recover() }()
			s.NewStream(t.Context(), nil, "/t.S/Echo")
		}()
		if n := s.Status().Calls; n != 0 {
			t.Errorf("%d calls are counted", n)
		}
	})
}
