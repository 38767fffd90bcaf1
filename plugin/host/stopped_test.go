//go:build unix

package host_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/host"
)

// TestPluginsThatAreStopped has plugins that are stopped by SIGSTOP: they live, and do
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

// TestPluginsThatContinue has a plugin that is stopped for a while.
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

// stopPlugin is a host that stops its plugin and prints its process id.
func stopPlugin(group bool) hostStage {
	return hostStage{plugin: "real-stages", run: func(cfg *host.Config, at func()) {
		cfg.ProcessGroup = group
		c, err := host.Start(context.Background(), cfg)
		must(err)
		must(syscall.Kill(c.PID(), syscall.SIGSTOP))
		var status syscall.WaitStatus
		_, err = syscall.Wait4(c.PID(), &status, syscall.WUNTRACED, nil)
		must(err)
		fmt.Fprint(os.NewFile(reportFD, "report"), c.PID(), " is ")
		at()
	}}
}

func init() {
	stoppers["in the host's group"] = stopPlugin(false)
	stoppers["in a group of its own"] = stopPlugin(true)
}

// TestHostsOfStoppedPlugins kills hosts whose plugin is stopped, and so cannot react.
// The system ends plugins in a process group of their own, with SIGHUP, because nobody
// is left who could continue them; others end as soon as they are continued.
func TestHostsOfStoppedPlugins(t *testing.T) {
	for name := range stoppers {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			h, line, err := startVictim(name, "", false, func(cmd *exec.Cmd) {
				// A session of its own, as services have, so that nobody could ever
				// continue the host's group.
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			})
			defer h.free()
			pid, ok := 0, false
			if text, found := strings.CutSuffix(line, " is there\n"); found {
				pid, err = strconv.Atoi(text)
				ok = err == nil
			}
			if !ok {
				t.Fatalf("the host reports %q, %v", line, err)
			}
			h.kill()
			if name == "in the host's group" {
				if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
					t.Errorf("the plugin is gone before it is continued: %v", err)
				}
			}
			if err := h.awaitPlugin(); err != nil {
				t.Error(err)
				syscall.Kill(pid, syscall.SIGKILL)
			}
			if err := h.sweep(); err != nil {
				t.Error(err)
			}
		})
	}
}
