package host_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// deaths are what a host may be doing when its plugin is killed. Each begins
// it, kills when it has begun, and returns the error that it ends with.
var deaths = map[string]func(ctx context.Context, c *host.Client, called <-chan struct{}, kill func()) error{
	"in a call": func(ctx context.Context, c *host.Client, called <-chan struct{}, kill func()) error {
		go func() { <-called; kill() }()
		return c.Conn().Invoke(ctx, "/test.Stages/Call", new(words), new(words))
	},
	"in a stream": func(ctx context.Context, c *host.Client, _ <-chan struct{}, kill func()) error {
		s, err := c.Conn().NewStream(ctx, &h2grpc.StreamDesc{StreamName: "Stream", ServerStreams: true}, "/test.Stages/Stream")
		if err != nil {
			return err
		}
		if err := errors.Join(s.SendMsg(new(words)), s.CloseSend(), s.RecvMsg(new(words))); err != nil {
			return err
		}
		kill()
		return s.RecvMsg(new(words))
	},
	"between calls": func(ctx context.Context, c *host.Client, _ <-chan struct{}, kill func()) error {
		kill()
		<-c.Done()
		return c.Ping(ctx)
	},
	"just before a call": func(ctx context.Context, c *host.Client, _ <-chan struct{}, kill func()) error {
		kill()
		return c.Ping(ctx)
	},
}

func TestPluginsThatAreKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals")
	}
	for _, multiplex := range []bool{false, true} {
		for name, die := range deaths {
			t.Run(name, func(t *testing.T) {
				noLeaks(t)
				for range *kills {
					called := make(chan struct{}, 1)
					cfg := fakeConfig(t, "real-stages")
					cfg.Multiplex = multiplex
					cfg.Logger = slog.New(&onMessage{"called", func() { called <- struct{}{} }})
					c := start(t, cfg)
					kill := killer(t, c)
					var killed atomic.Int64
					err := die(t.Context(), c, called, func() { killed.Store(time.Now().UnixNano()); kill() })
					var exit *host.ExitError
					if time.Since(time.Unix(0, killed.Load())) > patience && status.Code(err) == codes.Unavailable {
						t.Log("the machine is too busy to report the end of the process in time")
					} else if !errors.As(err, &exit) || exit.Status.Signal != "killed" || status.Code(err) != codes.Unavailable {
						t.Errorf("multiplexed %v: got %v", multiplex, err)
					}
					<-c.Done()
					if c.Err() == nil {
						t.Error("Err says nothing")
					}
				}
			})
		}
	}
}

// patience is how long a call that failed waits for the plugin's exit status.
const patience = 100 * time.Millisecond

// killer returns a function that kills the process of a plugin.
func killer(t *testing.T, c *host.Client) func() {
	t.Helper()
	p, err := os.FindProcess(c.PID())
	if err != nil {
		t.Fatal(err)
	}
	return func() { p.Kill(); p.Release() }
}

// TestPluginsThatAreKilledInADial has a host that waits for a plugin to announce
// what it dials, and one that waits to announce.
func TestPluginsThatAreKilledInADial(t *testing.T) {
	for _, multiplex := range []bool{false, true} {
		noLeaks(t)
		for range *kills {
			cfg := fakeConfig(t, "real-stages")
			cfg.Multiplex = multiplex
			c := start(t, cfg)
			failed := make(chan error)
			go func() {
				cc, err := c.Broker().Dial(t.Context(), 12345)
				if err == nil {
					err = cc.Connect(t.Context())
					cc.Close()
				}
				failed <- err
			}()
			killer(t, c)()
			// The one connection may say first how it ended.
			if err := <-failed; err == nil || !multiplex && !errors.Is(err, plugin.ErrBrokerClosed) {
				t.Errorf("multiplexed %v: Dial: %v", multiplex, err)
			}
			<-c.Done()
			if _, err := c.Broker().Serve(t.Context(), func(*h2grpc.Server) {}); !errors.Is(err, plugin.ErrBrokerClosed) {
				t.Errorf("multiplexed %v: Serve: %v", multiplex, err)
			}
		}
	}
}
