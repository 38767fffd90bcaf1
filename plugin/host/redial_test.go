package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// proxy is between a host and its plugin's main socket, and drops the connections when
// it is told to.
type proxy struct {
	listener net.Listener
	target   string
	all      sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
}

// newProxy listens beside target, on TCP if that is where target is.
func newProxy(network, target string) *proxy {
	own := "127.0.0.1:0"
	if network == "unix" {
		own = filepath.Join(filepath.Dir(target), "proxy")
	}
	l, err := net.Listen(network, own)
	must(err)
	p := &proxy{listener: l, target: target}
	p.all.Go(p.serve)
	return p
}

func (p *proxy) serve() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial(p.listener.Addr().Network(), p.target)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		p.all.Go(func() { io.Copy(in, out); in.Close() })
		p.all.Go(func() { io.Copy(out, in); out.Close() })
	}
}

// drop breaks all connections.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		conn.Close()
	}
	p.conns = nil
}

func (p *proxy) close() {
	p.listener.Close()
	p.drop()
	p.all.Wait()
}

// proxied is a process behind a proxy.
type proxied struct {
	*running
	proxy **proxy
}

func (p proxied) PluginToHost(network, address string) (string, string, error) {
	if *p.proxy != nil { // a brokered connection
		return network, address, nil
	}
	*p.proxy = newProxy(network, address)
	return network, (*p.proxy).listener.Addr().String(), nil
}

// proxiedRunner is a Runner of proxied processes.
type proxiedRunner struct {
	runner
	proxy *proxy
}

func (r *proxiedRunner) Run(ctx context.Context, launch *host.Launch) (host.Process, error) {
	p, err := r.runner.Run(ctx, launch)
	if err != nil {
		return nil, err
	}
	return proxied{p.(*running), &r.proxy}, nil
}

// TestTheConnectionBreaks breaks the main connection of a plugin that lives.
func TestTheConnectionBreaks(t *testing.T) {
	noLeaks(t)
	r := new(proxiedRunner)
	stdout := newSink()
	cfg := runnerConfig(t, "real", &r.runner)
	cfg.Runner = r
	cfg.Output.Stdout = stdout
	c := start(t, cfg)
	t.Cleanup(func() { r.proxy.close() })
	client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		text := fmt.Sprint("round ", round)
		ctx, cancel := context.WithTimeout(t.Context(), ample)
		for {
			// Calls that are in progress when the connection breaks fail; later ones
			// connect again.
			if got, err := client.call(ctx, echoMethod, text); err == nil {
				if got != "1 "+text {
					t.Errorf("got %q", got)
				}
				break
			}
			if ctx.Err() != nil {
				t.Fatal("the host does not connect again")
			}
		}
		cancel()
		for got := ""; got != "stdout: "+text+"\n"; {
			select {
			case got = <-stdout.writes:
			case <-time.After(ample):
				t.Fatalf("the output of %s does not arrive", text)
			}
		}
		usesBroker(t, c)
		r.proxy.drop()
	}
	closes(t, c)
}

// TestAPluginThatDropsEverything has a plugin that closes its socket and lives on.
func TestAPluginThatDropsEverything(t *testing.T) {
	noLeaks(t)
	r := new(proxiedRunner)
	cfg := runnerConfig(t, "real", &r.runner)
	cfg.Runner = r
	cfg.StopTimeout = short
	c := start(t, cfg)
	r.proxy.close()
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := c.Ping(ctx); err == nil {
		t.Error("the plugin answers")
	}
	// Waiting for what can be served when there is a connection again ends
	// with the plugin.
	failed := make(chan error)
	go func() {
		_, err := c.Broker().Serve(t.Context(), func(*h2grpc.Server) error { return nil })
		failed <- err
	}()
	c.Close()
	if err := <-failed; !errors.Is(err, plugin.ErrBrokerClosed) {
		t.Errorf("announcing a server to nobody: %v", err)
	}
}

// TestAPluginThatHangsUp has a plugin whose connection breaks whenever the host has
// connected to it. The host reconnects ever more slowly.
func TestAPluginThatHangsUp(t *testing.T) {
	noLeaks(t)
	r := new(proxiedRunner)
	again := make(chan time.Time, 100)
	cfg := runnerConfig(t, "real", &r.runner)
	cfg.Runner = r
	cfg.Logger = slog.New(whenSaid{"connected to the plugin again", func() { again <- time.Now() }})
	c := start(t, cfg)
	t.Cleanup(func() { r.proxy.close() })
	begun := time.Now()
	r.proxy.drop()
	const breaks = 8 // of two calls that are kept open, four at least of one
	var last time.Time
	for range breaks {
		select {
		case last = <-again:
			r.proxy.drop()
		case <-time.After(ample):
			t.Fatal("the host does not connect again")
		}
	}
	// The second time after 20 ms, then after 40 and 80 more.
	if d := last.Sub(begun); d < 140*time.Millisecond {
		t.Errorf("the host has connected again %d times within %v", breaks, d)
	}
	closes(t, c)
}

// whenSaid calls a function for records with a message.
type whenSaid struct {
	message string
	f       func()
}

func (w whenSaid) Enabled(context.Context, slog.Level) bool { return true }
func (w whenSaid) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w whenSaid) WithGroup(string) slog.Handler            { return w }
func (w whenSaid) Handle(_ context.Context, r slog.Record) error {
	if r.Message == w.message {
		w.f()
	}
	return nil
}
