package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// start starts a plugin, which ends with the test at the latest.
func start(t *testing.T, cfg *host.Config) *host.Client {
	t.Helper()
	c, err := host.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	return c
}

// do makes the one call that fake plugins have.
func do(ctx context.Context, c *host.Client, what string) (string, error) {
	var reply words
	err := c.Conn().Invoke(ctx, doMethod, &words{Service: what}, &reply)
	return reply.Service, err
}

// closes closes a client and requires that there is no error.
func closes(t *testing.T, c *host.Client) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	select {
	case <-c.Done():
	default:
		t.Error("Done is not closed after Close")
	}
	if err := c.Err(); err != nil {
		t.Errorf("Err after Close: %v", err)
	}
}

func TestLifeOfAPlugin(t *testing.T) {
	for name, change := range map[string]func(*host.Config){
		"AutoMTLS with P-521": func(c *host.Config) { c.Curve = host.P521 },
		"AutoMTLS with P-384": func(c *host.Config) { c.Curve = host.P384 },
		"AutoMTLS with P-256": func(c *host.Config) { c.Curve = host.P256 },
		"plaintext":           func(c *host.Config) { c.InsecurePlaintext = true },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := fakeConfig(t, "good")
			change(cfg)
			c := start(t, cfg)
			if err := c.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			if got, err := do(t.Context(), c, "echo hello"); err != nil || got != "hello" {
				t.Errorf("got %q, %v", got, err)
			}
			if c.PID() <= 0 || c.PID() == os.Getpid() || c.Version() != 1 || c.Err() != nil || c.ExitStatus().Ended {
				t.Errorf("pid %d, version %d, error %v, status %v", c.PID(), c.Version(), c.Err(), c.ExitStatus())
			}
			closes(t, c)
			if want := (host.ExitStatus{Ended: true}); c.ExitStatus() != want {
				t.Errorf("exit status %v, want %v", c.ExitStatus(), want)
			}
			if err := c.Ping(t.Context()); status.Code(err) != codes.Canceled || !strings.Contains(err.Error(), "this host has ended the plugin") {
				t.Errorf("a call after Close: %v", err)
			}
			closes(t, c) // any number of times
			c.Kill()
		})
	}
}

func TestContextOfStartPlaysNoPartAfterwards(t *testing.T) {
	noLeaks(t)
	ctx, cancel := context.WithCancel(t.Context())
	c, err := host.Start(ctx, fakeConfig(t, "good"))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	closes(t, c)
}

func TestPluginsSideBySide(t *testing.T) {
	noLeaks(t)
	var clients []*host.Client
	for range 3 {
		clients = append(clients, start(t, fakeConfig(t, "good")))
	}
	clients[0].Kill()
	for _, c := range clients[1:] {
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		closes(t, c)
	}
}

func TestPluginWithoutTheOptionalServices(t *testing.T) {
	noLeaks(t)
	c := start(t, fakeConfig(t, "bare"))
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	closes(t, c)
}

// stub is an application's client.
type stub struct{ version int }

func stubPlugin(version int) plugin.Plugin {
	return plugin.ClientOnly(func(_ context.Context, b *plugin.Broker, cc *h2grpc.ClientConn) (*stub, error) {
		if b == nil || cc == nil {
			return nil, errors.New("no broker or no connection")
		}
		return &stub{version}, nil
	})
}

func TestDispenseIsFromTheVersionAgreedOn(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "version-2")
	cfg.Plugins = plugin.Set{"kv": stubPlugin(1)}
	broken := errors.New("broken")
	cfg.Versions = map[int]plugin.Set{2: {
		"kv": stubPlugin(2),
		"broken": plugin.ClientOnly(func(context.Context, *plugin.Broker, *h2grpc.ClientConn) (*stub, error) {
			return nil, broken
		}),
	}}
	c := start(t, cfg)
	defer closes(t, c)
	kv, err := host.Dispense[*stub](t.Context(), c, "kv")
	if err != nil {
		t.Fatal(err)
	}
	if kv.version != 2 || c.Version() != 2 {
		t.Errorf("version %d was dispensed and %d agreed on, want 2", kv.version, c.Version())
	}
	if _, err := host.Dispense[*stub](t.Context(), c, "broken"); !errors.Is(err, broken) {
		t.Errorf("got %v, want GRPCClient's error", err)
	}
	_, err = host.Dispense[*stub](t.Context(), c, "cache")
	if err == nil || !strings.Contains(err.Error(), "it has: broken, kv") {
		t.Errorf("the error does not say which plugins there are: %v", err)
	}
	_, err = host.Dispense[fmt.Stringer](t.Context(), c, "kv")
	if err == nil || !strings.Contains(err.Error(), "fmt.Stringer") || !strings.Contains(err.Error(), "*host_test.stub") {
		t.Errorf("the error does not name both types: %v", err)
	}
	_, err = host.Dispense[*host.Client](t.Context(), c, "kv")
	if err == nil || !strings.Contains(err.Error(), "returned a *host_test.stub, which is not a *host.Client") {
		t.Errorf("the error does not name the types as they are: %v", err)
	}
	none := fakeConfig(t, "version-2")
	none.Plugins, none.Versions = nil, map[int]plugin.Set{2: {}}
	without := start(t, none)
	defer closes(t, without)
	_, err = host.Dispense[*stub](t.Context(), without, "kv")
	if err == nil || !strings.Contains(err.Error(), "Config has no Plugins for version 2") {
		t.Errorf("the error of a host without plugins does not say so: %v", err)
	}
}

func TestCallsSayThatThePluginEnded(t *testing.T) {
	for command, want := range map[string]struct {
		status host.ExitStatus
		stderr string
	}{
		"exit":  {host.ExitStatus{Ended: true, Code: 9}, "last words"},
		"crash": {host.ExitStatus{Ended: true, Code: 2}, "panic: boom"},
	} {
		t.Run(command, func(t *testing.T) {
			noLeaks(t)
			c := start(t, fakeConfig(t, "good"))
			check := func(what string, err error) {
				t.Helper()
				var exit *host.ExitError
				if !errors.As(err, &exit) {
					t.Fatalf("%s: there is no *ExitError in %v", what, err)
				}
				if exit.Status != want.status || !strings.Contains(string(exit.Stderr), want.stderr) || exit.PID != c.PID() {
					t.Errorf("%s: %+v", what, exit)
				}
			}
			_, err := do(t.Context(), c, command)
			check("the call", err)
			check("Err at once", c.Err())
			if status.Code(err) != codes.Unavailable {
				t.Errorf("the code is %v, want UNAVAILABLE", status.Code(err))
			}
			<-c.Done()
			check("Err", c.Err())
			err = c.Ping(t.Context())
			check("a call afterwards", err)
			if status.Code(err) != codes.Unavailable {
				t.Errorf("the code of a call afterwards is %v, want UNAVAILABLE", status.Code(err))
			}
			if err := c.Close(); err != nil {
				t.Errorf("closing afterwards: %v", err)
			}
			c.Kill()
			check("Err after Close and Kill", c.Err())
			check("a call after Kill", c.Ping(t.Context()))
			if c.ExitStatus() != want.status {
				t.Errorf("exit status %v, want %v", c.ExitStatus(), want.status)
			}
		})
	}
}

func TestUnavailableFromALivePluginIsPassedOn(t *testing.T) {
	noLeaks(t)
	c := start(t, fakeConfig(t, "good"))
	defer closes(t, c)
	_, err := do(t.Context(), c, "unavailable")
	var exit *host.ExitError
	if s := status.Convert(err); s.Code() != codes.Unavailable || s.Message() != "the database is" || errors.As(err, &exit) {
		t.Errorf("got %v", err)
	}
}

func TestPluginKilledFromOutside(t *testing.T) {
	noLeaks(t)
	c := start(t, fakeConfig(t, "good"))
	p, err := os.FindProcess(c.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	var exit *host.ExitError
	if !errors.As(c.Err(), &exit) || exit.Status != killed {
		t.Errorf("got %v", c.Err())
	}
}

// Plugins of old libraries ignore the directory they are given.
func TestSocketOfAnOldPluginIsRemoved(t *testing.T) {
	notOnWindows(t, "plugins listen on TCP")
	noLeaks(t)
	c := start(t, fakeConfig(t, "old-socket"))
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	socket := filepath.Join(os.TempDir(), fmt.Sprintf("plugin%d", c.PID()))
	if !exists(socket) {
		t.Fatal("the fake does not do what it is for")
	}
	c.Kill()
	if exists(socket) {
		t.Error("the socket is still there")
	}
}

func TestCallsAreMappedByTheApplicationToo(t *testing.T) {
	noLeaks(t)
	mine := errors.New("mine")
	cfg := fakeConfig(t, "good")
	cfg.Client.MapError = func(err error) error { return errors.Join(mine, err) }
	c := start(t, cfg)
	_, err := do(t.Context(), c, "exit")
	var exit *host.ExitError
	if !errors.Is(err, mine) || !errors.As(err, &exit) {
		t.Errorf("got %v", err)
	}
}

func TestCallsObeyTheirDeadline(t *testing.T) {
	noLeaks(t)
	c := start(t, fakeConfig(t, "good"))
	defer closes(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := do(ctx, c, "hang"); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}
