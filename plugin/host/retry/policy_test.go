package retry_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/retry"
)

// crash is an error of host.Start after which trying again helps.
var crash = &host.StartError{
	Stage: host.StageHandshake, Path: "/bin/kv", PID: 7,
	ExitStatus: host.ExitStatus{Ended: true, Code: 3},
	Err:        errors.New("the plugin ended"),
}

// attempts is a start that fails, and records when it was called.
type attempts struct {
	begun time.Time
	at    []time.Duration
	takes time.Duration // how long it takes, unless its context ends
	err   error
}

func failing(takes time.Duration) *attempts { return &attempts{time.Now(), nil, takes, crash} }

func (a *attempts) start(ctx context.Context) (*host.Client, error) {
	a.at = append(a.at, time.Since(a.begun))
	timer := time.NewTimer(a.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil, a.err
	case <-ctx.Done():
		return nil, &host.StartError{Stage: host.StageHandshake, Err: fmt.Errorf("gave up: %w", context.Cause(ctx))}
	}
}

func (a *attempts) want(t *testing.T, end time.Duration, at ...time.Duration) {
	t.Helper()
	if !slices.Equal(a.at, at) || time.Since(a.begun) != end {
		t.Errorf("attempts at %v, the end at %v; want them at %v, the end at %v", a.at, time.Since(a.begun), at, end)
	}
}

// plain is a Policy without anything random.
var plain = retry.Policy{Backoff: retry.Backoff{Jitter: -1}}

const ms = time.Millisecond

func TestDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := failing(20 * ms)
		_, err := plain.Run(t.Context(), a.start)
		e := gaveUp(t, err, retry.ErrAttempts)
		a.want(t, 780*ms, 0, 120*ms, 340*ms, 760*ms)
		if e.Took != 780*ms || e.Attempts[3] != (retry.Attempt{Number: 4, Err: crash, Took: 20 * ms, Waited: 400 * ms}) {
			t.Errorf("got %+v", e)
		}
		const want = `retry: gave up after 4 attempts in 780ms: no attempt is left
  attempt 1, failed in 20ms: reading the handshake: the plugin ended (exit status 3)
  attempt 2, after a wait of 100ms, failed in 20ms: reading the handshake: the plugin ended (exit status 3)
  attempt 3, after a wait of 200ms, failed in 20ms: reading the handshake: the plugin ended (exit status 3)
  attempt 4, after a wait of 400ms, failed in 20ms: reading the handshake: the plugin ended (exit status 3)
host: starting the plugin "/bin/kv" (pid 7): reading the handshake: the plugin ended (exit status 3)
  stdout: nothing
  stderr: nothing`
		if err.Error() != want {
			t.Errorf("got\n%v\nwant\n%s", err, want)
		}
	})
}

func TestSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, client := failing(0), new(host.Client)
		got, err := plain.Run(t.Context(), func(ctx context.Context) (*host.Client, error) {
			if len(a.at) == 2 {
				return client, nil
			}
			return a.start(ctx)
		})
		if got != client || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
		a.want(t, 300*ms, 0, 100*ms)
	})
}

// TestTotal has attempts of 12 seconds: the third is cut short.
func TestTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := failing(12 * time.Second)
		_, err := plain.Run(t.Context(), a.start)
		e := gaveUp(t, err, retry.ErrTotal)
		a.want(t, 30*time.Second, 0, 12100*ms, 24300*ms)
		if last := e.Attempts[2].Err; e.Made != 3 || !errors.Is(last, retry.ErrTotal) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d attempts, the last one's error: %v", e.Made, last)
		}
	})
}

// TestNoWaitInVain gives up where the next wait would use up Total.
func TestNoWaitInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plain
		p.Total, p.Backoff.Initial = 5*time.Second, 2*time.Second
		p.Notify = func(attempt int, _ error, wait time.Duration) {
			if attempt != 1 || wait != 2*time.Second {
				t.Errorf("told of a wait of %v after attempt %d", wait, attempt)
			}
		}
		a := failing(0)
		_, err := p.Run(t.Context(), a.start)
		gaveUp(t, err, retry.ErrTotal)
		a.want(t, 2*time.Second, 0, 2*time.Second)
	})
}

func TestContextEnds(t *testing.T) {
	why := errors.New("the user pressed Ctrl-C")
	for name, tc := range map[string]struct {
		takes, end time.Duration
		at         []time.Duration
	}{
		"in a wait":     {0, 150 * ms, []time.Duration{0, 100 * ms}},
		"in an attempt": {time.Hour, 150 * ms, []time.Duration{0}},
		"before":        {time.Hour, 0, []time.Duration{0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			a := failing(tc.takes)
			if tc.end == 0 {
				cancel(why)
			} else {
				time.AfterFunc(tc.end, func() { cancel(why) })
			}
			_, err := plain.Run(ctx, a.start)
			gaveUp(t, err, why)
			t.Log(name)
			a.want(t, tc.end, tc.at...)
		})
	}
}

// TestDeadlineOfContext: it is said whose deadline it was.
func TestDeadlineOfContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := failing(time.Hour)
		_, err := plain.Run(ctx, a.start)
		gaveUp(t, err, context.DeadlineExceeded)
		a.want(t, time.Second, 0)
		if errors.Is(err, retry.ErrTotal) {
			t.Errorf("it is said to be Policy.Total: %v", err)
		}
	})
}

// TestOwnRetry: it is asked in Helps' place, but not when the time is over.
func TestOwnRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := failing(0)
		a.err = errors.New("the database is locked")
		p, asked := plain, 0
		p.Attempts = 3
		p.Retry = func(err error) bool { asked++; return err == a.err }
		_, err := p.Run(t.Context(), a.start)
		var e *retry.Error
		if !errors.As(err, &e) || e.Reason != retry.ErrAttempts || !errors.Is(err, a.err) || asked != 3 {
			t.Errorf("asked %d times, got %v", asked, err)
		}
		p.Retry = func(error) bool { return false }
		if _, err := p.Run(t.Context(), a.start); !errors.Is(err, retry.ErrUnhelpful) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		a.takes, p.Retry = time.Hour, func(err error) bool { t.Errorf("asked after the end, about %v", err); return true }
		if _, err := p.Run(ctx, a.start); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// TestManyAttempts: what is kept of a thousand attempts has a bound.
func TestManyAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plain
		p.Attempts, p.Total, p.Backoff.Max = 1000, 24*time.Hour, time.Minute
		a := failing(0)
		a.err = &host.StartError{Stage: host.StageLaunch, Err: fmt.Errorf("%s: %w", strings.Repeat("x\n", 5000), context.DeadlineExceeded)}
		_, err := p.Run(t.Context(), a.start)
		e := gaveUp(t, err, retry.ErrAttempts)
		var numbers []int
		for _, attempt := range e.Attempts {
			numbers = append(numbers, attempt.Number)
		}
		if want := []int{1, 2, 3, 996, 997, 998, 999, 1000}; !slices.Equal(numbers, want) || e.Made != 1000 || cap(e.Attempts) > 8 {
			t.Errorf("attempts %v of %d, in room for %d; want %v", numbers, e.Made, cap(e.Attempts), want)
		}
		list, _, _ := strings.Cut(err.Error(), "\nhost: ")
		if lines := strings.Split(list, "\n"); len(lines) != 10 || lines[4] != "  … (992 attempts more)" || len(err.Error()) > 8<<10 {
			t.Errorf("%d lines, %d bytes:\n%s", len(lines), len(err.Error()), list)
		}
	})
}

func TestDelay(t *testing.T) {
	for _, tc := range []struct {
		b    retry.Backoff
		want []time.Duration // after 0, 1, 2, 3, and very many failures
	}{
		{retry.Backoff{}, []time.Duration{100 * ms, 100 * ms, 200 * ms, 400 * ms, 5000 * ms}},
		{retry.Backoff{Max: 30 * ms}, []time.Duration{30 * ms, 30 * ms, 30 * ms, 30 * ms, 30 * ms}},
		{retry.Backoff{Initial: time.Minute}, []time.Duration{time.Minute, time.Minute, time.Minute, time.Minute, time.Minute}},
		{retry.Backoff{Initial: ms, Max: 10 * ms, Multiplier: 3}, []time.Duration{ms, ms, 3 * ms, 9 * ms, 10 * ms}},
		{retry.Backoff{Initial: ms, Multiplier: 1}, []time.Duration{ms, ms, ms, ms, ms}},
		{retry.Backoff{Initial: 1, Max: math.MaxInt64, Multiplier: math.MaxFloat64}, []time.Duration{1, 1, math.MaxInt64, math.MaxInt64, math.MaxInt64}},
	} {
		b := tc.b
		if err := b.Validate(); err != nil {
			t.Errorf("%+v: %v", b, err)
		}
		for i, n := range []int{0, 1, 2, 3, math.MaxInt} {
			b.Jitter = -1
			if got := b.Delay(n); got != tc.want[i] {
				t.Errorf("%+v after %d failures: %v, want %v", b, n, got, tc.want[i])
			}
			for _, b.Jitter = range []float64{0, 0.5, 1} {
				part := b.Jitter
				if part == 0 {
					part = 0.2
				}
				least := time.Duration(float64(tc.want[i]) * (1 - part))
				for range 20 {
					if got := b.Delay(n); got < least-1 || got > tc.want[i] {
						t.Errorf("%+v after %d failures: %v, want from %v to %v", b, n, got, least, tc.want[i])
					}
				}
			}
		}
	}
	// It is not the same wait every time.
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[retry.Backoff{}.Delay(1)] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d different waits of 100", len(seen))
	}
}

func TestInvalid(t *testing.T) {
	nan := math.NaN()
	for _, p := range []retry.Policy{
		{Attempts: -1}, {Total: -1},
		{Backoff: retry.Backoff{Initial: -1}}, {Backoff: retry.Backoff{Max: -1}}, {Backoff: retry.Backoff{Initial: 2, Max: 1}},
		{Backoff: retry.Backoff{Multiplier: 0.5}}, {Backoff: retry.Backoff{Multiplier: -1}}, {Backoff: retry.Backoff{Multiplier: nan}}, {Backoff: retry.Backoff{Multiplier: math.Inf(1)}},
		{Backoff: retry.Backoff{Jitter: 1.1}}, {Backoff: retry.Backoff{Jitter: nan}},
	} {
		err := p.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), "retry: ") {
			t.Errorf("%+v: %v", p, err)
		}
		if _, got := retry.Start(t.Context(), fakeConfig(t, "works"), p); got == nil || got.Error() != err.Error() {
			t.Errorf("%+v: Start returned %v, Validate %v", p, got, err)
		}
	}
}
