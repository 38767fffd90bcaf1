//go:build unix

package host_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host"
)

// TestPluginsThatAreStopped has plugins that get SIGSTOP: they live, and do
// nothing.
func TestPluginsThatAreStopped(t *testing.T) {
	eachDeath(t, func(t *testing.T, multiplex bool) {
		noLeaks(t)
		cfg := fakeConfig(t, "real-stages")
		cfg.Multiplex = multiplex
		cfg.StopTimeout = short
		c := start(t, cfg)
		if err := syscall.Kill(c.PID(), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		// A signal needs a moment to arrive.
		var err error
		for begun := time.Now(); err == nil && time.Since(begun) < ample; {
			ctx, cancel := context.WithTimeout(t.Context(), short)
			err = c.Ping(ctx)
			cancel()
		}
		if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "pinging the plugin") {
			t.Errorf("Ping: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		if _, err := c.Broker().Dial(ctx, unannounced); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial: %v", err)
		}
		within(t, ample/2, "Close", func() {
			if err := c.Close(); !errors.Is(err, host.ErrKilled) {
				t.Errorf("Close: %v", err)
			}
		})
		if c.ExitStatus().Signal != "killed" {
			t.Errorf("exit status %v", c.ExitStatus())
		}
	})
}

func init() {
	fakes["stops"] = func() {
		must(syscall.Kill(os.Getpid(), syscall.SIGSTOP))
		linger()
	}
}

// TestPluginsThatContinue has one that is stopped for a while.
func TestPluginsThatContinue(t *testing.T) {
	noLeaks(t)
	c := start(t, fakeConfig(t, "real-stages"))
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
		if err := syscall.Kill(c.PID(), sig); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	closes(t, c)
}

func TestPluginsThatStopBeforeTheHandshake(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "stops")
	cfg.StartTimeout = short
	cfg.Logger = slog.New(slog.DiscardHandler)
	within(t, ample/2, "Start", func() {
		start := failing(t, cfg)
		if start.Stage != host.StageHandshake || !errors.Is(start, context.DeadlineExceeded) {
			t.Errorf("got %v", start)
		}
	})
}
