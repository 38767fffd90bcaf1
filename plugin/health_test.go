package plugin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/plugintest"
)

// withHealth returns the host of a plugin in this process, with that health.
func withHealth(t *testing.T, current *health.Server) *host.Client {
	return plugintest.Start(t, &plugintest.Config{
		Plugin: plugin.ServeConfig{Plugins: echoSet(), Health: current},
		Host:   host.Config{InsecurePlaintext: true},
	})
}

// TestHealthOfApplication: what the application says of itself reaches the host, by
// every call, and calls of its own work whatever it says.
func TestHealthOfApplication(t *testing.T) {
	current := health.NewServer()
	current.SetServingStatus("disk", health.NotServing)
	c := withHealth(t, current)
	ctx := deadline(t)
	if err := c.Ping(ctx); err != nil {
		t.Errorf("Ping of a plugin that has said nothing: %v", err)
	}
	if got, err := health.Check(ctx, c.Conn(), "disk"); got != health.NotServing || err != nil {
		t.Errorf("another service is %v, %v", got, err)
	}
	for _, s := range []struct {
		status health.Status
		want   error
	}{
		{health.NotServing, host.ErrNotServing}, {health.Serving, nil}, {health.Unknown, nil}, {health.ServiceUnknown, nil}, {7, nil},
	} {
		for name, set := range map[string]func(){
			"a status": func() { current.SetServingStatus(plugin.HealthService, s.status) },
			"a function": func() {
				current.SetCheck(plugin.HealthService, func(context.Context) health.Status { return s.status })
			},
		} {
			set()
			if err := c.Ping(ctx); !errors.Is(err, s.want) {
				t.Errorf("Ping of a plugin that is %v, by %s: %v, want %v", s.status, name, err, s.want)
			}
		}
	}
	current.Shutdown()
	err := c.Ping(ctx)
	if !errors.Is(err, host.ErrNotServing) || !strings.Contains(err.Error(), "plugintest") {
		t.Errorf("Ping after Shutdown: %v, want one that names the plugin", err)
	}
	wantEcho(t, c.Conn(), "hello", "hello")
	c.Kill()
	if err := c.Ping(ctx); err == nil || errors.Is(err, host.ErrNotServing) {
		t.Errorf("Ping of a plugin that has ended: %v", err)
	}
}

// TestHealthBeforeServe: what the application has said before Serve stays, and the
// protocol's own service is known whatever that was.
func TestHealthBeforeServe(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*health.Server)
		want   error
	}{
		"a status": {func(s *health.Server) { s.SetServingStatus(plugin.HealthService, health.NotServing) }, host.ErrNotServing},
		"a function": {func(s *health.Server) {
			s.SetCheck(plugin.HealthService, func(context.Context) health.Status { return health.NotServing })
		}, host.ErrNotServing},
		"Shutdown":   {(*health.Server).Shutdown, host.ErrNotServing},
		"the server": {func(s *health.Server) { s.SetServingStatus("", health.NotServing) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			current := health.NewServer()
			c.before(current)
			if err := withHealth(t, current).Ping(deadline(t)); !errors.Is(err, c.want) {
				t.Errorf("Ping: %v, want %v", err, c.want)
			}
		})
	}
}

// TestHealthWatched: a host that watches learns of changes, and delays neither the
// plugin's end, even if a function does not return, nor leaves a call behind.
func TestHealthWatched(t *testing.T) {
	current := health.NewServer()
	s := serve(t, &plugin.ServeConfig{Plugins: echoSet(), Health: current, DrainTimeout: time.Hour})
	cc := s.dial(nil)
	release := make(chan struct{})
	defer close(release)
	var got []health.Status
	for is, err := range health.Watch(deadline(t), cc, plugin.HealthService) {
		if err != nil {
			if status.Code(err) == codes.DeadlineExceeded {
				t.Errorf("Watch does not end with the plugin: %v", err)
			}
			break
		}
		switch got = append(got, is); len(got) {
		case 1:
			current.SetServingStatus(plugin.HealthService, health.NotServing)
		case 2:
			current.SetCheck(plugin.HealthService, func(context.Context) health.Status { return health.Serving })
		case 3:
			current.SetCheck(plugin.HealthService, func(context.Context) health.Status { <-release; return health.Serving })
			s.cancel()
		}
	}
	s.wantEnd()
	if len(got) != 3 || got[0] != health.Serving || got[1] != health.NotServing || got[2] != health.Serving {
		t.Errorf("the host sees %v", got)
	}
}

// TestHealthPanic: a function's panic is in the plugin's log.
func TestHealthPanic(t *testing.T) {
	current := health.NewServer()
	current.SetCheck("disk", func(context.Context) health.Status { panic("no disk") })
	s := serve(t, &plugin.ServeConfig{Plugins: echoSet(), Health: current})
	if got, err := health.Check(deadline(t), s.dial(nil), "disk"); got != health.NotServing || err != nil {
		t.Errorf("Check gave %v, %v", got, err)
	}
	s.stop()
	if log := s.stderr.String(); !strings.Contains(log, "no disk") {
		t.Errorf("the log lacks the panic: %s", log)
	}
}
