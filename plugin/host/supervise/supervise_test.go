package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
)

func wantEvents(t *testing.T, w *world, want ...string) {
	t.Helper()
	if got := w.events(); !slices.Equal(got, want) {
		t.Errorf("the events are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func wantCall(t *testing.T, cc h2grpc.ClientConnInterface, in, want string) {
	t.Helper()
	if got, err := call(t.Context(), cc, "Echo", in); err != nil || got != want {
		t.Errorf("the call %q returned %q, %v, want %q", in, got, err, want)
	}
}

func wantState(t *testing.T, s *Supervisor, want State) Status {
	t.Helper()
	synctest.Wait()
	st := s.Status()
	if st.State != want {
		t.Errorf("the plugin is %v, want %v", st.State, want)
	}
	return st
}

func TestRestart(t *testing.T) {
	inFakeTime(t, Config{Name: "kv"}, nil, func(t *testing.T, w *world, s *Supervisor) {
		wantEvents(t, w, "starting 1", "ready 1")
		wantCall(t, s, "a", "1:a")
		st := wantState(t, s, Ready)
		if st.PID != 1001 || st.Version != 7 || st.Process != 1 || st.Restarts != 0 || st.LastExit != nil || st.Plugin != "kv" {
			t.Errorf("the status of a first process is %+v", st)
		}
		w.process(1).crash(3)
		wantEvents(t, w, "exited 1: ended by itself", "restarting 1: 100ms")
		st = wantState(t, s, Restarting)
		if st.PID != 0 || st.LastExit == nil || st.LastExit.Status.Code != 3 || st.Failures != 1 {
			t.Errorf("the status after a crash is %+v", st)
		}
		if _, ok := errors.AsType[*host.ExitError](st.LastExit.Err); !ok {
			t.Errorf("the exit's error is %v, want an ExitError", st.LastExit.Err)
		}
		// A call that comes now waits for the next process.
		began := time.Now()
		wantCall(t, s, "b", "2:b")
		if d := time.Since(began); d != 100*time.Millisecond {
			t.Errorf("the call took %v", d)
		}
		wantEvents(t, w, "starting 2", "ready 2")
		if st := wantState(t, s, Ready); st.Restarts != 1 || st.Process != 2 {
			t.Errorf("the status of a second process is %+v", st)
		}
		s.Close()
		wantEvents(t, w, "exited 2: was stopped", "stopped 2")
		if _, err := call(t.Context(), s, "Echo", "c"); !errors.Is(err, ErrStopped) || status.Code(err) != codes.Unavailable {
			t.Errorf("a call after Close: %v", err)
		}
		if err := s.Replace(t.Context(), nil); !errors.Is(err, ErrStopped) {
			t.Errorf("Replace after Close: %v", err)
		}
		if !w.process(2).shutdown {
			t.Error("Close has not shut the process down")
		}
	})
}

// TestCrashLoop: each wait is twice the one before, the failures are counted though each
// process works for a while, and their number has an end.
func TestCrashLoop(t *testing.T) {
	config := Config{Name: "kv", Restart: Restart{Failures: 4, Backoff: retry.Backoff{Max: 300 * time.Millisecond}}}
	inFakeTime(t, config, nil, func(t *testing.T, w *world, s *Supervisor) {
		for n := 1; n <= 4; n++ {
			s.WaitReady(t.Context())
			w.pass(50 * time.Second) // less than Stable
			w.process(n).crash(n)
			synctest.Wait()
		}
		var waits []string
		for _, e := range w.events() {
			if strings.HasPrefix(e, "restarting") || strings.HasPrefix(e, "gave") {
				waits = append(waits, e)
			}
		}
		if want := []string{"restarting 1: 100ms", "restarting 2: 200ms", "restarting 3: 300ms", "gave up 4"}; !slices.Equal(waits, want) {
			t.Errorf("the waits are %q, want %q", waits, want)
		}
		wantState(t, s, GaveUp)
		_, err := call(t.Context(), s, "Echo", "a")
		gaveUp, ok := errors.AsType[*GaveUpError](err)
		if !ok || status.Code(err) != codes.Unavailable || len(gaveUp.Exits) != 4 || gaveUp.Failures != 4 {
			t.Fatalf("a call after the end: %v", err)
		}
		if exit, ok := errors.AsType[*host.ExitError](err); !ok || exit.Status.Code != 4 {
			t.Errorf("the error does not have the last exit: %v", err)
		}
		for n := 1; n <= 4; n++ {
			if want := fmt.Sprintf("process %d ended by itself (exit status %d)", n, n); !strings.Contains(err.Error(), want) {
				t.Errorf("the error lacks %q:\n%v", want, err)
			}
		}
		w.pass(time.Hour)
		if n := w.processes(); n != 4 {
			t.Errorf("%d processes were started after the end", n-4)
		}
		// Whoever has repaired the plugin begins again.
		if err := s.Replace(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		wantCall(t, s, "b", "5:b")
		if st := wantState(t, s, Ready); st.Failures != 0 {
			t.Errorf("the failures of before still count: %+v", st)
		}
	})
}

// TestStable: failures are forgotten after a stretch of health, and not before.
func TestStable(t *testing.T) {
	inFakeTime(t, Config{Restart: Restart{Failures: 2}}, nil, func(t *testing.T, w *world, s *Supervisor) {
		for n := 1; n <= 5; n++ {
			s.WaitReady(t.Context())
			w.pass(time.Minute + time.Second)
			w.process(n).crash(1)
			if st := wantState(t, s, Restarting); st.Failures != 1 {
				t.Errorf("after process %d there are %d failures", n, st.Failures)
			}
		}
	})
}

func TestDecide(t *testing.T) {
	t.Run("an exit status", func(t *testing.T) {
		final := errors.New("exit status 0 is what it wanted")
		config := Config{Restart: Restart{Decide: func(e Exit) error {
			if e.Why == WhyCrash && e.Status.Code == 0 {
				return final
			}
			return nil
		}}}
		inFakeTime(t, config, nil, func(t *testing.T, w *world, s *Supervisor) {
			w.process(1).crash(1)
			wantCall(t, s, "a", "2:a")
			w.process(2).crash(0)
			wantState(t, s, GaveUp)
			if err := s.WaitReady(t.Context()); !errors.Is(err, final) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("Prepare", func(t *testing.T) {
		n := 0
		config := Config{Prepare: func(context.Context, *host.Client) error {
			if n++; n == 3 {
				return fmt.Errorf("the license has expired: %w", ErrDoNotRestart)
			}
			return errors.New("not yet")
		}}
		inFakeTime(t, config, nil, func(t *testing.T, w *world, s *Supervisor) {
			err := s.WaitReady(t.Context())
			if !errors.Is(err, ErrDoNotRestart) || n != 3 || !strings.Contains(err.Error(), "license") {
				t.Errorf("after %d times: %v", n, err)
			}
		})
	})
	for _, test := range []struct {
		name  string
		stage host.Stage
		n     int // processes begun
	}{
		{"a checksum", host.StageVerify, 1},
		{"a version", host.StageCheck, 1},
		{"an exit", host.StageHandshake, 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := func(*fake) error {
				return &host.StartError{Stage: test.stage, ExitStatus: host.ExitStatus{Ended: true, Code: 2}, Err: errors.New("no")}
			}
			inFakeTime(t, Config{}, plan, func(t *testing.T, w *world, s *Supervisor) {
				err := s.WaitReady(t.Context())
				if _, ok := errors.AsType[*host.StartError](err); !ok || w.processes() != test.n {
					t.Errorf("after %d starts, want %d: %v", w.processes(), test.n, err)
				}
			})
		})
	}
}

func TestFailFast(t *testing.T) {
	inFakeTime(t, Config{Name: "kv", FailFast: true}, nil, func(t *testing.T, w *world, s *Supervisor) {
		wantCall(t, s, "a", "1:a")
		w.process(1).crash(2)
		synctest.Wait()
		for _, cc := range []h2grpc.ClientConnInterface{s, s.FailFast()} {
			_, err := call(t.Context(), cc, "Echo", "b")
			if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "kv has no process to take the call: restarting, after process 1 ended by itself (exit status 2)") {
				t.Errorf("got %v", err)
			}
			if _, err := cc.NewStream(t.Context(), &h2grpc.StreamDesc{}, "/t.S/Echo"); status.Code(err) != codes.Unavailable {
				t.Errorf("a stream: %v", err)
			}
		}
		wantCall(t, s.Waiting(), "c", "2:c")
		// A call that waits has a limit, its own.
		w.process(2).crash(2)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := call(ctx, s.Waiting(), "Echo", "d")
		if status.Code(err) != codes.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "restarting") {
			t.Errorf("got %v", err)
		}
	})
}

// TestCallInProgress: what calls and streams see when their process ends, and that
// nothing is sent twice.
func TestCallInProgress(t *testing.T) {
	inFakeTime(t, Config{}, nil, func(t *testing.T, w *world, s *Supervisor) {
		stream, err := s.NewStream(t.Context(), &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/t.S/Wait")
		if err != nil {
			t.Fatal(err)
		}
		msg := h2grpc.Raw("s")
		if err := stream.SendMsg(&msg); err != nil {
			t.Fatal(err)
		}
		waits := goCall(t.Context(), s, "Wait", "w")
		synctest.Wait()
		dies := goCall(t.Context(), s, "Die", "d")
		recv := stream.RecvMsg(&msg)
		for name, err := range map[string]error{"the stream": recv, "a call": (<-waits).err, "the last call": (<-dies).err} {
			exit, ok := errors.AsType[*host.ExitError](err)
			if !ok || exit.Status.Code != 1 || status.Code(err) != codes.Unavailable {
				t.Errorf("%s ended with %v", name, err)
			}
		}
		wantCall(t, s, "e", "2:e")
		if got := w.process(2).got; !slices.Equal(got, []string{"e"}) {
			t.Errorf("the second process got %q", got)
		}
		if n := s.Status().Calls; n != 0 {
			t.Errorf("%d calls are still counted", n)
		}
	})
}

// TestNotSentAgain: a call that finds its process dead, before anybody else has, goes to
// the next one.
func TestNotSentAgain(t *testing.T) {
	inFakeTime(t, Config{}, nil, func(t *testing.T, w *world, s *Supervisor) {
		p := s.current.Load()
		w.process(1).crash(1)
		synctest.Wait()
		s.current.CompareAndSwap(nil, p) // as if its end were not known yet
		p.calls.Store(0)
		wantCall(t, s, "a", "2:a")
		stream, err := s.NewStream(t.Context(), &h2grpc.StreamDesc{ServerStreams: true}, "/t.S/Echo")
		if err != nil {
			t.Fatal(err)
		}
		msg := h2grpc.Raw("b")
		if err := stream.SendMsg(&msg); err != nil {
			t.Fatal(err)
		}
		stream.CloseSend()
		if err := stream.RecvMsg(&msg); err != nil || string(msg) != "2:b" {
			t.Errorf("got %q, %v", msg, err)
		}
		if err := stream.RecvMsg(&msg); err != io.EOF || s.Status().Calls != 0 {
			t.Errorf("got %v; %d calls are counted", err, s.Status().Calls)
		}
	})
}

func TestHealth(t *testing.T) {
	broken := errors.New("no answer")
	t.Run("silent", func(t *testing.T) {
		inFakeTime(t, Config{}, nil, func(t *testing.T, w *world, s *Supervisor) {
			wantEvents(t, w, "starting 1", "ready 1")
			f := w.process(1)
			f.set(func() { f.silent = true })
			w.pass(34 * time.Second) // checks at 10, 20, 30 s that take 5 s each
			wantEvents(t, w)
			w.pass(time.Second)
			wantEvents(t, w, "unhealthy 1", "exited 1: did not answer", "restarting 1: 100ms")
			if !f.killed || f.shutdown {
				t.Error("it was asked to end, not killed")
			}
			wantCall(t, s, "a", "2:a")
		})
	})
	t.Run("not serving", func(t *testing.T) {
		inFakeTime(t, Config{}, nil, func(t *testing.T, w *world, s *Supervisor) {
			w.events()
			f := w.process(1)
			f.set(func() { f.sick = fmt.Errorf("pinging: %w", host.ErrNotServing) })
			w.pass(29 * time.Second)
			wantEvents(t, w)
			// What it has begun may end.
			last := goCall(t.Context(), s, "Wait", "w")
			w.pass(2 * time.Second)
			next := goCall(t.Context(), s, "Echo", "n")
			w.pass(2 * time.Second)
			close(f.release)
			if got := <-last; got.out != "1:w" {
				t.Errorf("the call in progress: %q, %v", got.out, got.err)
			}
			if got := <-next; got.out != "2:n" {
				t.Errorf("the next call: %q, %v", got.out, got.err)
			}
			wantEvents(t, w, "unhealthy 1", "exited 1: does not serve", "restarting 1: 100ms", "starting 2", "ready 2")
			if f.killed || !f.shutdown {
				t.Error("it was killed, not asked to end")
			}
		})
	})
	t.Run("for a moment", func(t *testing.T) {
		inFakeTime(t, Config{}, nil, func(t *testing.T, w *world, s *Supervisor) {
			w.events()
			f := w.process(1)
			for range 5 {
				f.set(func() { f.sick = broken })
				w.pass(20 * time.Second) // two checks
				f.set(func() { f.sick = nil })
				w.pass(10 * time.Second)
			}
			wantEvents(t, w)
		})
	})
	t.Run("at the start", func(t *testing.T) {
		plan := func(f *fake) error {
			f.sick = host.ErrNotServing
			if f.number == 1 {
				time.AfterFunc(20*time.Second, func() { f.set(func() { f.sick = nil }) })
			}
			return nil
		}
		inFakeTime(t, Config{}, plan, func(t *testing.T, w *world, s *Supervisor) {
			began := time.Now()
			wantCall(t, s, "a", "1:a")
			if d := time.Since(began).Round(time.Second); d != 20*time.Second {
				t.Errorf("it was ready after %v", d)
			}
			w.process(1).crash(1)
			w.pass(time.Minute + time.Second) // the second never serves
			if st := s.Status(); st.LastExit.Process != 2 || st.LastExit.Why != WhyStart || !errors.Is(st.LastExit.Err, host.ErrNotServing) {
				t.Errorf("the last exit is %v", st.LastExit)
			}
		})
	})
	t.Run("no health service", func(t *testing.T) {
		plan := func(f *fake) error { f.sick = status.Error(codes.Unimplemented, "unknown service"); return nil }
		inFakeTime(t, Config{}, plan, func(t *testing.T, w *world, s *Supervisor) {
			w.pass(time.Hour)
			wantEvents(t, w, "starting 1", "ready 1")
		})
	})
	t.Run("off", func(t *testing.T) {
		plan := func(f *fake) error { f.sick = broken; return nil }
		inFakeTime(t, Config{Health: Health{Interval: -1}}, plan, func(t *testing.T, w *world, s *Supervisor) {
			w.pass(time.Hour)
			if n := w.process(1).pings.Load(); n != 0 {
				t.Errorf("it was asked %d times", n)
			}
		})
	})
}

func TestStop(t *testing.T) {
	t.Run("calls in progress", func(t *testing.T) {
		inFakeTime(t, Config{}, nil, func(t *testing.T, w *world, s *Supervisor) {
			f := w.process(1)
			waits := goCall(t.Context(), s, "Wait", "w")
			synctest.Wait()
			closed := make(chan error, 1)
			go func() { closed <- s.Close() }()
			w.pass(9 * time.Second)
			if f.ended() {
				t.Fatal("it was ended before its call")
			}
			close(f.release)
			if got := <-waits; got.out != "1:w" {
				t.Errorf("the call in progress: %q, %v", got.out, got.err)
			}
			if err := <-closed; err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("no longer than Drain", func(t *testing.T) {
		inFakeTime(t, Config{}, nil, func(t *testing.T, w *world, s *Supervisor) {
			waits := goCall(t.Context(), s, "Wait", "w")
			synctest.Wait()
			began := time.Now()
			s.Close()
			if d := time.Since(began); d != 10*time.Second || (<-waits).err == nil {
				t.Errorf("Close took %v", d)
			}
		})
	})
	t.Run("no longer than the context", func(t *testing.T) {
		inFakeTime(t, Config{}, nil, func(t *testing.T, w *world, s *Supervisor) {
			waits := goCall(t.Context(), s, "Wait", "w")
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Stop returned %v", err)
			}
			if d := time.Since(began); d != time.Second || (<-waits).err == nil {
				t.Errorf("Stop took %v", d)
			}
		})
	})
	t.Run("while starting", func(t *testing.T) {
		plan := func(f *fake) error { f.silent = true; return nil }
		inFakeTime(t, Config{}, plan, func(t *testing.T, w *world, s *Supervisor) {
			waits := goCall(t.Context(), s, "Echo", "w")
			synctest.Wait()
			began := time.Now()
			s.Close()
			if d := time.Since(began); d != 0 || !errors.Is((<-waits).err, ErrStopped) {
				t.Errorf("Close took %v", d)
			}
		})
	})
}

// TestEventsDoNotBlock: a slow receiver of events loses the oldest, and knows how many.
func TestEventsDoNotBlock(t *testing.T) {
	var gate chan struct{} // of the bubble
	missed, total := 0, 0
	config := Config{Restart: Restart{Failures: -1, Backoff: retry.Backoff{Max: time.Second}}, Event: func(e Event) {
		if gate == nil {
			gate = make(chan struct{})
		}
		<-gate
		missed += e.Missed
		total++
	}}
	inFakeTime(t, config, nil, func(t *testing.T, w *world, s *Supervisor) {
		for n := 1; n <= 200; n++ {
			if err := s.WaitReady(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.process(n).crash(1)
			synctest.Wait()
		}
		s.Close()
		close(gate)
		synctest.Wait()
		if want := 4*200 + 1; total+missed != want && total+missed != want+2 || total != maxEvents+1 {
			t.Errorf("got %d events and missed %d, together %d", total, missed, total+missed)
		}
	})
}

func TestConfigMistakes(t *testing.T) {
	cmd := &host.Config{}
	for want, c := range map[string]*Config{
		"supervise: Config.Host is not set": nil,
		"supervise: Config.Host: it has Detach or Reattach, and a supervisor ends what it has started": {Host: &host.Config{Detach: true}},
		"supervise: Config.Needs[0] is nil":                                                              {Host: cmd, Needs: []*Supervisor{nil}},
		"supervise: Config.Idle is negative":                                                             {Host: cmd, Idle: -1},
		"supervise: Config.Health.Timeout is negative":                                                   {Host: cmd, Health: Health{Timeout: -1}},
		"supervise: Config.Restart.Backoff: retry: Backoff.Multiplier must be at least 1, or zero for 2": {Host: cmd, Restart: Restart{Backoff: retry.Backoff{Multiplier: 0.5}}},
	} {
		s, err := Start(c)
		if err == nil {
			s.Close()
		}
		if fmt.Sprint(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestPrepare: its context lasts as long as the process, and no longer than Startup if
// it does not return.
func TestPrepare(t *testing.T) {
	var contexts []context.Context
	var stuck atomic.Bool
	config := Config{Prepare: func(ctx context.Context, _ *host.Client) error {
		contexts = append(contexts, ctx)
		if stuck.Load() {
			<-ctx.Done()
		}
		return nil
	}}
	inFakeTime(t, config, nil, func(t *testing.T, w *world, s *Supervisor) {
		w.pass(time.Hour)
		first := contexts[0]
		if first.Err() != nil {
			t.Error("the context ended before its process")
		}
		stuck.Store(true)
		w.process(1).crash(1)
		synctest.Wait()
		if first.Err() == nil {
			t.Error("the context did not end with its process")
		}
		w.pass(time.Minute + time.Second)
		exit := s.Status().LastExit
		if exit.Process != 2 || exit.Why != WhyStart || !errors.Is(exit.Err, context.Canceled) && !errors.Is(exit.Err, context.DeadlineExceeded) {
			t.Errorf("the last exit is %v", exit)
		}
		stuck.Store(false)
	})
}
