//go:build !oldgoplugin

package interop_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/host/supervise"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside"
)

// TestSupervised keeps plugins of both libraries running: they are healthy, they are
// started again after they were killed, and each replaces the other.
func TestSupervised(t *testing.T) {
	config := func(path string) *host.Config {
		return &host.Config{
			Handshake: tenonside.Handshake,
			Plugins:   tenonside.Plugins,
			Cmd:       exec.Command(program(path)),
			Logger:    slog.New(slog.DiscardHandler),
		}
	}
	exits := make(chan *supervise.Exit, 16)
	s, err := supervise.Start(&supervise.Config{Host: config(upstreamPlugin), Trial: -1, Event: func(e supervise.Event) {
		if e.State == supervise.Exited {
			exits <- e.Exit
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), cases.Timeout)
	defer cancel()
	for n, path := range []string{upstreamPlugin, tenonPlugin, upstreamPlugin} {
		if n > 0 {
			if err := s.Replace(ctx, config(path)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Client().Ping(ctx); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		st := s.Status()
		p, err := os.FindProcess(st.PID)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		last := <-exits
		for last.Process != st.Process {
			last = <-exits // of one that was replaced
		}
		if exit, ok := errors.AsType[*host.ExitError](last.Err); !ok || last.Why != supervise.WhyCrash || !exit.Status.Ended {
			t.Errorf("%s: the exit is %v", path, last)
		}
	}
	if err := s.WaitReady(ctx); err != nil {
		t.Error(err)
	}
}
