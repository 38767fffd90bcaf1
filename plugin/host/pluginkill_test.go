package host_test

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// victim is a plugin that is going to be killed.
type victim struct {
	*host.Client
	said <-chan struct{} // has room; takes what the plugin says
	kill func()
}

// deaths are what a host may be doing when its plugin is killed. Each begins that,
// kills the plugin, and returns the resulting error.
var deaths = map[string]func(ctx context.Context, v victim) error{
	"in a call": func(ctx context.Context, v victim) error {
		go func() { <-v.said; v.kill() }()
		return v.Conn().Invoke(ctx, stagesCall, new(words), new(words))
	},
	"in a call that dials the host": func(ctx context.Context, v victim) error {
		go func() { <-v.said; v.kill() }()
		return v.Conn().Invoke(ctx, stagesDial, new(words), new(words))
	},
	"in a brokered call": func(ctx context.Context, v victim) error {
		var served words
		if err := v.Conn().Invoke(ctx, stagesServe, new(words), &served); err != nil {
			return err
		}
		id, err := strconv.ParseUint(served.Service, 10, 32)
		if err != nil {
			return err
		}
		cc, err := v.Broker().Dial(ctx, uint32(id))
		if err != nil {
			return err
		}
		defer cc.Close()
		go func() { <-v.said; v.kill() }()
		return cc.Invoke(ctx, stagesCall, new(words), new(words))
	},
	"in a stream": func(ctx context.Context, v victim) error {
		s, err := openStream(ctx, v.Client)
		if err != nil {
			return err
		}
		v.kill()
		return s.RecvMsg(new(words))
	},
	"between calls": func(ctx context.Context, v victim) error {
		v.kill()
		<-v.Done()
		return v.Ping(ctx)
	},
	"just before a call": func(ctx context.Context, v victim) error {
		v.kill()
		return v.Ping(ctx)
	},
}

func TestPluginsThatAreKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals")
	}
	eachDeath(t, func(t *testing.T, multiplex bool) {
		for name, die := range deaths {
			t.Run(name, func(t *testing.T) {
				late := 0
				n := repetitions(t, *kills)
				for range n {
					noLeaksNow(t, func() {
						v, killed := newVictim(t, "real-stages", multiplex)
						err := die(t.Context(), v)
						took := time.Since(time.Unix(0, killed.Load()))
						var exit *host.ExitError
						switch errors.As(err, &exit); {
						case status.Code(err) != codes.Unavailable, exit != nil && exit.Status.Signal != "killed":
							t.Errorf("got %v", err)
						case exit == nil && took < patience:
							t.Errorf("after %v, the error does not say how the plugin ended: %v", took, err)
						case exit == nil:
							late++ // the machine is too busy to report the end of the process in time
						}
						if took > ample {
							t.Errorf("the call went on for %v", took)
						}
						wantKilled(t, v.Client)
					})
				}
				if late > 0 {
					t.Logf("of %d calls %d ended before the process was known to have", n, late)
				}
				if late == n && n >= 10 {
					t.Error("no call says how the plugin ended")
				}
			})
		}
	})
}

// patience is how long a call that failed waits for the plugin's exit status.
const patience = 100 * time.Millisecond

// eachDeath runs f without and with multiplexing.
func eachDeath(t *testing.T, f func(t *testing.T, multiplex bool)) {
	t.Run("sockets", func(t *testing.T) { f(t, false) })
	t.Run("multiplexed", func(t *testing.T) { f(t, true) })
}

// noLeaksNow is noLeaks for a part of a test. f must not use helpers that leave things
// to the test's cleanup.
func noLeaksNow(t *testing.T, f func()) {
	t.Helper()
	before := takeStock()
	f()
	if diff := before.waitSame(); diff != "" {
		t.Fatalf("left over: %s", diff)
	}
}

// newVictim starts a plugin to be killed, and returns when it was, in
// nanoseconds since 1970.
func newVictim(t *testing.T, name string, multiplex bool) (victim, *atomic.Int64) {
	t.Helper()
	said := make(chan struct{}, 8)
	cfg := fakeConfig(t, name)
	cfg.Multiplex = multiplex
	cfg.StopTimeout = time.Hour
	cfg.Logger = slog.New(both{
		&onMessage{text: "called", do: func() { said <- struct{}{} }},
		&onMessage{text: "dialling", do: func() { said <- struct{}{} }},
	})
	c, err := host.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	killed := new(atomic.Int64)
	return victim{c, said, func() {
		killed.Store(time.Now().UnixNano())
		killProcess(c.PID())
	}}, killed
}

func killProcess(pid int) {
	p, err := os.FindProcess(pid)
	must(err)
	p.Kill()
	p.Release()
}

// killed is the exit status of a process that was killed.
var killed = func() host.ExitStatus {
	if runtime.GOOS == "windows" { // it has no signals
		return host.ExitStatus{Ended: true, Code: 1}
	}
	return host.ExitStatus{Ended: true, Code: -1, Signal: "killed"}
}()

// wantKilled requires that the plugin has been killed from outside.
func wantKilled(t *testing.T, c *host.Client) {
	t.Helper()
	<-c.Done()
	var exit *host.ExitError
	if !errors.As(c.Err(), &exit) || exit.Status != killed {
		t.Errorf("Err: %v", c.Err())
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestPluginsThatAreKilledInADial has a host that waits for a plugin's announcement in
// order to dial, and one that waits to announce.
func TestPluginsThatAreKilledInADial(t *testing.T) {
	eachDeath(t, func(t *testing.T, multiplex bool) {
		for range repetitions(t, *kills) {
			noLeaksNow(t, func() {
				v, _ := newVictim(t, "real-stages", multiplex)
				failed := make(chan error)
				go func() {
					cc, err := v.Broker().Dial(t.Context(), unannounced)
					if err == nil {
						err = cc.Connect(t.Context())
						cc.Close()
					}
					failed <- err
				}()
				v.kill()
				// The one connection may be the first to report how it ended.
				if err := <-failed; err == nil || !multiplex && !errors.Is(err, plugin.ErrBrokerClosed) {
					t.Errorf("Dial: %v", err)
				}
				wantKilled(t, v.Client)
				if _, err := v.Broker().Serve(t.Context(), func(*h2grpc.Server) error { return nil }); !errors.Is(err, plugin.ErrBrokerClosed) {
					t.Errorf("Serve: %v", err)
				}
			})
		}
	})
}

// TestPluginsThatAreKilledInAShutdown has a host that has asked its plugin to end, with
// unlimited time.
func TestPluginsThatAreKilledInAShutdown(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals")
	}
	eachDeath(t, func(t *testing.T, multiplex bool) {
		for range repetitions(t, *kills) {
			noLeaksNow(t, func() {
				var pid atomic.Int64
				cfg := fakeConfig(t, "slow-main")
				cfg.Multiplex = multiplex
				cfg.StopTimeout = time.Hour
				cfg.Logger = slog.New(&onMessage{"ending", func() { killProcess(int(pid.Load())) }, &pid})
				c, err := host.Start(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				within(t, ample, "Close", func() {
					if err := c.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
				if c.ExitStatus().Signal != "killed" || c.Err() != nil {
					t.Errorf("the plugin ended with %v, and Err is %v", c.ExitStatus(), c.Err())
				}
			})
		}
	})
}

// TestPluginsThatAreKilledInStart has hosts that wait for the handshake, and for
// the connection.
func TestPluginsThatAreKilledInStart(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals")
	}
	for name, tc := range map[string]struct {
		plugin, said string
		stage        host.Stage
	}{
		"before the handshake": {"real-stuck", "registering", host.StageHandshake},
		"after the handshake":  {"real-mute", "accepted", host.StageConnect},
	} {
		t.Run(name, func(t *testing.T) {
			eachDeath(t, func(t *testing.T, multiplex bool) {
				for range repetitions(t, *kills) {
					noLeaksNow(t, func() {
						var pid atomic.Int64
						cfg := fakeConfig(t, tc.plugin)
						cfg.Multiplex = multiplex
						cfg.StartTimeout = time.Hour
						if tc.stage == host.StageConnect {
							cfg.TLS = &tls.Config{InsecureSkipVerify: true}
						}
						cfg.Logger = slog.New(&onMessage{tc.said, func() { killProcess(int(pid.Load())) }, &pid})
						within(t, ample, "Start", func() {
							_, err := host.Start(t.Context(), cfg)
							var start *host.StartError
							if !errors.As(err, &start) || start.Stage != tc.stage || start.ExitStatus.Signal != "killed" {
								t.Errorf("got %v", err)
							}
						})
					})
				}
			})
		})
	}
}
