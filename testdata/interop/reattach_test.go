//go:build !oldgoplugin

package interop_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/tenonrpc/tenon/h2grpc/health"
	tenon "github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside/richh2grpc"
	"github.com/tenonrpc/tenon/plugin/interop/upstream"
	"github.com/tenonrpc/tenon/plugin/interop/upstream/richgrpc"
	"github.com/tenonrpc/tenon/wire"
)

// leave starts a plugin with this library and lets it go.
func leave(t *testing.T, program string, autoMTLS bool) *host.Reattach {
	t.Helper()
	c, err := host.Start(t.Context(), &host.Config{
		Handshake:         tenonside.Handshake,
		Plugins:           tenonside.Plugins,
		Cmd:               exec.Command(program),
		InsecurePlaintext: !autoMTLS,
		Detach:            true,
		Logger:            slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.ReattachWithKey()
	if err != nil {
		c.Kill()
		t.Fatal(err)
	}
	if err := c.Detach(); err != nil {
		t.Error(err)
	}
	return r
}

// attachConfig is for attaching to a plugin with this library.
func attachConfig(r *host.Reattach) *host.Config {
	return &host.Config{
		Handshake:         tenonside.Handshake,
		Plugins:           tenonside.Plugins,
		Reattach:          r,
		InsecurePlaintext: len(r.Certificate) == 0,
		Logger:            slog.New(slog.DiscardHandler),
	}
}

// attach attaches to a plugin with this library.
func attach(t *testing.T, r *host.Reattach) *host.Client {
	t.Helper()
	c, err := host.Start(t.Context(), attachConfig(r))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	return c
}

// echo pings a plugin and calls it.
func echo(t *testing.T, c *host.Client) {
	t.Helper()
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	out, err := richh2grpc.NewRichClient(c.Conn()).Echo(t.Context(), &richpb.EchoRequest{Payload: []byte("hello")})
	if err != nil || string(out.GetPayload()) != "hello" {
		t.Errorf("got %v, %v", out, err)
	}
}

// TestReattach attaches to plugins of both libraries with this one. Under
// AutoMTLS, the other library's hosts cannot do that with either.
func TestReattach(t *testing.T) {
	for name, pkg := range map[string]string{"go-plugin": upstreamPlugin, "tenon": tenonPlugin} {
		for _, autoMTLS := range []bool{false, true} {
			mode := cases.Mode{AutoMTLS: autoMTLS}
			t.Run(name+"/"+mode.String(), func(t *testing.T) {
				before := leak.Now()
				r := leave(t, program(pkg), autoMTLS)
				for range 2 {
					c := attach(t, r)
					echo(t, c)
					if err := c.Detach(); err != nil {
						t.Error(err)
					}
				}
				c := attach(t, r)
				if err := c.Close(); err != nil || !c.ExitStatus().Ended {
					t.Errorf("got %v, %v", err, c.ExitStatus())
				}
				if err := before.Since(true, true); err != nil {
					t.Error(err)
				}
				passed("tenon", name, mode, reattaching)
			})
		}
	}
}

// TestReattachMultiplexed has this library refuse what cannot be.
func TestReattachMultiplexed(t *testing.T) {
	for plugin, pkg := range map[string]string{"go-plugin": upstreamPlugin, "tenon": tenonPlugin} {
		for _, autoMTLS := range []bool{false, true} {
			mode := cases.Mode{AutoMTLS: autoMTLS, Multiplex: true}
			attaching := &host.Config{
				Reattach: &host.Reattach{
					Protocol: wire.ProtocolGRPC, ProtocolVersion: cases.ProtocolVersion,
					PID: os.Getpid(), Network: wire.NetworkUnix, Address: "/nowhere/at/all",
					Multiplexed: true,
				},
			}
			leaving := &host.Config{Cmd: exec.Command(program(pkg)), Detach: true}
			for _, config := range []*host.Config{attaching, leaving} {
				config.Handshake = tenonside.Handshake
				config.Plugins = tenonside.Plugins
				config.InsecurePlaintext = !autoMTLS
				config.Multiplex = true
				config.Logger = slog.New(slog.DiscardHandler)
				c, err := host.Start(t.Context(), config)
				if err == nil {
					c.Kill()
				}
				if err == nil || !strings.Contains(err.Error(), "multiplex") {
					t.Errorf("%v: got %v", mode, err)
				}
			}
			if !t.Failed() {
				refused("tenon", plugin, mode, reattaching, onceOnly)
			}
		}
	}
}

// The names of the cases, and why some cannot be.
const (
	reattaching = "reattach"
	testMode    = "test mode"
	onceOnly    = "A plugin that multiplexes serves one connection and ends with it, by the protocol."
)

// TestUpstreamAttaches attaches to a plugin of this library with the other.
func TestUpstreamAttaches(t *testing.T) {
	before := leak.Now()
	r := leave(t, program(tenonPlugin), false)
	upstreamAttaches(t, r, false)
	if _, err := os.Stat(r.Address); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the plugin's socket is still there: %v", err)
	}
	// This library's hosts remove the directory, when they come by.
	os.RemoveAll(filepath.Dir(filepath.Dir(r.Address)))
	if err := before.Since(false, true); err != nil {
		t.Error(err)
	}
	passed("go-plugin", "tenon", cases.Mode{}, reattaching)
}

// TestUpstreamDoesNotAttach has the other library fail at what it cannot do.
func TestUpstreamDoesNotAttach(t *testing.T) {
	for _, mode := range upstream.Modes[1:] {
		t.Run(mode.String(), func(t *testing.T) {
			r := leave(t, program(tenonPlugin), mode.AutoMTLS)
			out, err := upstreamEcho(t, r, false, mode)
			why := "A limit of go-plugin's hosts: they keep no key to attach with."
			if mode.Multiplex {
				why = onceOnly
			}
			if err == nil {
				t.Errorf("it attached, and got %v", out)
			} else {
				t.Log(err)
				refused("go-plugin", "tenon", mode, reattaching, why)
			}
			// Its Kill may have ended the plugin. If not, this does.
			if c, err := host.Start(t.Context(), attachConfig(r)); err == nil {
				c.Close()
			}
			os.RemoveAll(filepath.Dir(filepath.Dir(r.Address)))
		})
	}
}

// serveTest serves a plugin of this library in this process until the test ends, with
// the health of the application's own unless that is nil.
func serveTest(t *testing.T, current *health.Server) *host.Reattach {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	records := make(chan host.Reattach, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- tenon.ServeContext(ctx, &tenon.ServeConfig{
			Handshake: tenonside.Handshake,
			Plugins:   tenonside.Plugins,
			Health:    current,
			Test:      &tenon.TestMode{Ready: func(r host.Reattach) { records <- r }},
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	r := <-records
	return &r
}

// TestUpstreamAttachesToATest attaches to a plugin that serves in this process.
func TestUpstreamAttachesToATest(t *testing.T) {
	r := serveTest(t, nil)
	for range 2 {
		upstreamAttaches(t, r, true) // Kill leaves it alone
	}
	passed("go-plugin", "tenon", cases.Mode{}, testMode)
}

// TestAttachesToATest does so with this library, twice to each library's plugin.
func TestAttachesToATest(t *testing.T) {
	for name, serve := range map[string]func(*testing.T) *host.Reattach{
		"tenon":     func(t *testing.T) *host.Reattach { return serveTest(t, nil) },
		"go-plugin": func(t *testing.T) *host.Reattach { return serveUpstreamTest(t, upstream.NewServer) },
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t)
			for range 2 {
				c := attach(t, r)
				echo(t, c)
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
			passed("tenon", name, cases.Mode{}, testMode)
		})
	}
}

// serveUpstreamTest serves a plugin of the other library in this process, with the
// server that newServer makes.
func serveUpstreamTest(t *testing.T, newServer func([]grpc.ServerOption) *grpc.Server) *host.Reattach {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	records := make(chan *plugin.ReattachConfig, 1)
	ended := make(chan struct{})
	go plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: upstream.Handshake,
		Plugins:         plugin.PluginSet{cases.PluginName: upstream.Plugin{Version: cases.ProtocolVersion}},
		GRPCServer:      newServer,
		Logger:          hclog.NewNullLogger(),
		Test:            &plugin.ServeTestConfig{Context: ctx, ReattachConfigCh: records, CloseCh: ended},
	})
	t.Cleanup(func() { stop(); <-ended })
	r := <-records
	return &host.Reattach{
		Protocol:        wire.ProtocolGRPC,
		ProtocolVersion: r.ProtocolVersion,
		PID:             r.Pid,
		Test:            r.Test,
		Network:         r.Addr.Network(),
		Address:         r.Addr.String(),
	}
}

func upstreamAttaches(t *testing.T, r *host.Reattach, test bool) {
	t.Helper()
	out, err := upstreamEcho(t, r, test, cases.Mode{})
	if err != nil || string(out.GetPayload()) != "hello" {
		t.Errorf("got %v, %v", out, err)
	}
}

func upstreamEcho(t *testing.T, r *host.Reattach, test bool, mode cases.Mode) (*richpb.EchoReply, error) {
	t.Helper()
	client := attachUpstream(r, test, mode)
	defer client.Kill()
	proto, err := client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := proto.Dispense(cases.PluginName)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), cases.Timeout)
	defer cancel()
	return raw.(richgrpc.RichClient).Echo(ctx, &richpb.EchoRequest{Payload: []byte("hello")})
}

// attachUpstream returns a host of the other library that is to attach to a plugin.
func attachUpstream(r *host.Reattach, test bool, mode cases.Mode) *plugin.Client {
	return plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:     upstream.Handshake,
		Plugins:             plugin.PluginSet{cases.PluginName: richPlugin{}},
		AllowedProtocols:    []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:              hclog.NewNullLogger(),
		AutoMTLS:            mode.AutoMTLS,
		GRPCBrokerMultiplex: mode.Multiplex,
		Reattach: &plugin.ReattachConfig{
			Protocol:        plugin.ProtocolGRPC,
			ProtocolVersion: r.ProtocolVersion,
			Addr:            &net.UnixAddr{Net: r.Network, Name: r.Address},
			Pid:             r.PID,
			Test:            test,
		},
	})
}
