package host_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// multiplexed returns the configuration of a fake with Multiplex.
func multiplexed(name string) func(*testing.T) *host.Config {
	return func(t *testing.T) *host.Config {
		c := fakeConfig(t, name)
		c.Multiplex = true
		return c
	}
}

func TestMultiplexUnsupported(t *testing.T) {
	for name, want := range map[string]bool{
		"multiplexing-unknown": true,
		"multiplexing-refused": true,
		"multiplexing-unclear": false, // its handshake is broken
	} {
		noLeaks(t)
		start := failing(t, multiplexed(name)(t))
		if start.Stage != host.StageCheck || errors.Is(start, host.ErrMuxUnsupported) != want || start.Hint == "" {
			t.Errorf("%s: %v", name, start)
		}
	}
	// A host that does not ask for it does not check it.
	noLeaks(t)
	start := failing(t, fakeConfig(t, "multiplexing-refused"))
	if start.Stage != host.StageConnect { // nobody listens there
		t.Errorf("without Multiplex: %v", start)
	}
}

// TestMultiplex uses one connection for everything.
func TestMultiplex(t *testing.T) {
	for _, plain := range []bool{false, true} {
		noLeaks(t)
		cfg := multiplexed("real")(t)
		cfg.Plugins = plugin.Set{"echo": echo{}}
		cfg.InsecurePlaintext = plain
		stdout := newSink()
		cfg.Output.Stdout = stdout
		c := start(t, cfg)
		client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		var p peer.Peer
		if err := c.Conn().Invoke(t.Context(), echoMethod, &words{Service: "x"}, new(words), h2grpc.Peer(&p)); err != nil {
			t.Fatal(err)
		}
		if secured := p.TLS != nil; secured == plain {
			t.Errorf("plaintext %v: secured %v", plain, secured)
		}
		if got := <-stdout.writes; got != "stdout: x\n" {
			t.Errorf("%q arrived on stdout", got)
		}
		// Nobody else can connect, and neither side has a socket left.
		if conn, err := net.Dial(p.Addr.Network(), p.Addr.String()); err == nil {
			conn.Close()
			t.Error("the plugin takes a second connection")
		}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				name := fmt.Sprintf("host %d, ", i)
				id, err := client.broker.Serve(t.Context(), func(s *h2grpc.Server) error {
					s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Host", Methods: []h2grpc.MethodDesc{
						method("Name", func(_ context.Context, in string) (string, error) { return name + in, nil }),
					}}, nil)
					return nil
				})
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := client.call(t.Context(), callMethod, fmt.Sprint(id)); err != nil || got != name+"who" {
					t.Errorf("plaintext %v: got %q, %v", plain, got, err)
				}
			})
		}
		all.Wait()
		if p.Addr.Network() != "unix" {
			// There is nothing to find.
		} else if sockets, _ := filepath.Glob(filepath.Dir(p.Addr.String()) + "/[^.]*"); len(sockets) != 0 {
			t.Errorf("sockets: %v", sockets)
		}
		closes(t, c)
		if want := (host.ExitStatus{Ended: true}); c.ExitStatus() != want {
			t.Errorf("exit status %v, want %v", c.ExitStatus(), want)
		}
	}
}

// TestMultiplexedPluginDies checks that callers, and those who wait for the broker,
// learn how the plugin ended.
func TestMultiplexedPluginDies(t *testing.T) {
	noLeaks(t)
	cfg := multiplexed("real")(t)
	cfg.Plugins = plugin.Set{"echo": echo{}}
	c := start(t, cfg)
	dialled := make(chan error, 1)
	go func() {
		_, err := c.Broker().Dial(t.Context(), 99)
		dialled <- err
	}()
	self, err := os.FindProcess(c.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *host.ExitError
	for err = error(nil); err == nil; {
		err = c.Conn().Invoke(t.Context(), echoMethod, &words{}, new(words))
	}
	if !errors.As(err, &exit) || exit.Status != killed {
		t.Errorf("a call: %v", err)
	}
	<-c.Done()
	if err := <-dialled; err == nil {
		t.Error("a brokered connection to a dead plugin is dialled")
	}
	c.Close()
}
