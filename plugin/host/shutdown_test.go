package host_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
)

// ample is more time than anything in these tests may take.
const ample = 30 * time.Second

// within requires that f returns soon.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	begun := time.Now()
	f()
	if took := time.Since(begun); took > limit {
		t.Errorf("%s took %v, more than %v", what, took, limit)
	}
}

func TestTheLadder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGTERM")
	}
	for _, tc := range []struct {
		plugin string
		stop   time.Duration // StopTimeout
		want   host.ExitStatus
		killed bool
	}{
		{"good", ample, host.ExitStatus{Ended: true}, false},
		{"answers-shutdown", ample, host.ExitStatus{Ended: true}, false},
		{"exits-with-5", ample, host.ExitStatus{Ended: true, Code: 5}, false},
		{"no-shutdown", ample, host.ExitStatus{Ended: true, Code: -1, Signal: "terminated"}, false},
		{"hangs-in-shutdown", short, host.ExitStatus{Ended: true, Code: -1, Signal: "terminated"}, false},
		{"no-shutdown-deaf", short, host.ExitStatus{Ended: true, Code: -1, Signal: "killed"}, true},
		{"deaf", short, host.ExitStatus{Ended: true, Code: -1, Signal: "killed"}, true},
	} {
		t.Run(tc.plugin, func(t *testing.T) {
			noLeaks(t)
			cfg := fakeConfig(t, tc.plugin)
			cfg.StopTimeout = tc.stop
			c := start(t, cfg)
			var err error
			within(t, ample/2, "Close", func() { err = c.Close() })
			// A busy machine may take longer than StopTimeout to deliver a signal.
			for errors.Is(err, host.ErrKilled) && !tc.killed && cfg.StopTimeout < ample {
				cfg.StopTimeout *= 2
				c = start(t, cfg)
				err = c.Close()
			}
			if errors.Is(err, host.ErrKilled) != tc.killed {
				t.Errorf("Close returned %v", err)
			}
			if c.ExitStatus() != tc.want {
				t.Errorf("the plugin ended with %v, want %v", c.ExitStatus(), tc.want)
			}
			if err := c.Err(); err != nil {
				t.Errorf("Err of a plugin that was ended: %v", err)
			}
			if err := c.Close(); errors.Is(err, host.ErrKilled) != tc.killed {
				t.Errorf("the second Close returned %v", err)
			}
		})
	}
}

func TestShutdownObeysItsContext(t *testing.T) {
	noLeaks(t)
	t.Run("deadline", func(t *testing.T) {
		cfg := fakeConfig(t, "deaf")
		cfg.StopTimeout = ample
		c := start(t, cfg)
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		within(t, ample/2, "Shutdown", func() {
			if err := c.Shutdown(ctx); !errors.Is(err, host.ErrKilled) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		cfg := fakeConfig(t, "deaf")
		cfg.StopTimeout = ample
		c := start(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		within(t, ample/2, "Shutdown", func() {
			if err := c.Shutdown(ctx); !errors.Is(err, host.ErrKilled) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("of the impatient second call", func(t *testing.T) {
		cfg := fakeConfig(t, "deaf")
		cfg.StopTimeout = ample
		c := start(t, cfg)
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		var both sync.WaitGroup
		within(t, ample/2, "Close", func() {
			both.Go(func() { c.Close() })
			both.Go(func() { c.Shutdown(ctx) })
			both.Wait()
		})
	})
}

func TestEveryoneMayEndAPluginAtOnce(t *testing.T) {
	noLeaks(t)
	c := start(t, fakeConfig(t, "good"))
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { c.Close() })
		all.Go(func() { c.Shutdown(t.Context()) })
		all.Go(func() { c.Ping(t.Context()) })
		all.Go(c.Kill)
	}
	all.Wait()
	<-c.Done()
	if err := c.Err(); err != nil {
		t.Errorf("Err: %v", err)
	}
}

func TestKillDoesNotWaitForAnyone(t *testing.T) {
	noLeaks(t)
	c := start(t, fakeConfig(t, "deaf"))
	within(t, ample/2, "Kill", c.Kill)
	select {
	case <-c.Done():
	default:
		t.Error("Done is not closed after Kill")
	}
}

func TestCallsInProgressEndWithThePlugin(t *testing.T) {
	noLeaks(t)
	c := start(t, fakeConfig(t, "good"))
	failed := make(chan error)
	go func() {
		_, err := do(t.Context(), c, "hang")
		failed <- err
	}()
	if _, err := do(t.Context(), c, "echo"); err != nil { // the call before is on its way
		t.Error(err)
	}
	c.Kill()
	if err := <-failed; err == nil {
		t.Error("the call went well")
	}
}

func TestGrandchildrenDoNotHoldUpClose(t *testing.T) {
	noLeaks(t)
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close() // ends the grandchild
	defer in.Close()
	cfg := fakeConfig(t, "good")
	cfg.Cmd.Stdin = in
	c := start(t, cfg)
	if _, err := do(t.Context(), c, "leave-a-child"); err != nil {
		t.Fatal(err)
	}
	within(t, ample/2, "Close", func() { closes(t, c) })
}
