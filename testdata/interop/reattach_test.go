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
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	tenon "github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/cases/richpb"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside/richh2grpc"
	"github.com/tenonrpc/tenon/plugin/interop/upstream"
	"github.com/tenonrpc/tenon/plugin/interop/upstream/richgrpc"
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

// attach attaches to a plugin with this library.
func attach(t *testing.T, r *host.Reattach) *host.Client {
	t.Helper()
	c, err := host.Start(t.Context(), &host.Config{
		Handshake:         tenonside.Handshake,
		Plugins:           tenonside.Plugins,
		Reattach:          r,
		InsecurePlaintext: len(r.Certificate) == 0,
		Logger:            slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Kill)
	return c
}

// TestReattach attaches to plugins of both libraries with this one. Under
// AutoMTLS, the other library's hosts cannot do that with either.
func TestReattach(t *testing.T) {
	for name, pkg := range map[string]string{"go-plugin": upstreamPlugin, "tenon": tenonPlugin} {
		for _, autoMTLS := range []bool{false, true} {
			t.Run(name+"/"+cases.Mode{AutoMTLS: autoMTLS}.String(), func(t *testing.T) {
				before := leak.Now()
				r := leave(t, program(pkg), autoMTLS)
				for range 2 {
					c := attach(t, r)
					if err := c.Ping(t.Context()); err != nil {
						t.Error(err)
					}
					out, err := richh2grpc.NewRichClient(c.Conn()).Echo(t.Context(), &richpb.EchoRequest{Payload: []byte("hello")})
					if err != nil || string(out.GetPayload()) != "hello" {
						t.Errorf("got %v, %v", out, err)
					}
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
				passed("tenon, attached", name, autoMTLS, "ping, unary, shutdown")
			})
		}
	}
}

// TestUpstreamAttaches attaches to a plugin of this library with the other.
func TestUpstreamAttaches(t *testing.T) {
	before := leak.Now()
	r := leave(t, program(tenonPlugin), false)
	upstreamAttaches(t, r, false)
	if _, err := os.Stat(r.Address); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the plugin's socket is still there: %v", err)
	}
	// This library's hosts remove the directory, when they come by.
	os.RemoveAll(filepath.Dir(r.Address))
	if err := before.Since(false, true); err != nil {
		t.Error(err)
	}
	passed("go-plugin, attached", "tenon", false, "unary, shutdown")
}

// TestUpstreamAttachesToATest attaches to a plugin that serves in this process.
func TestUpstreamAttachesToATest(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	records := make(chan host.Reattach, 1)
	ended := make(chan error)
	go func() {
		ended <- tenon.ServeContext(ctx, &tenon.ServeConfig{
			Handshake: tenonside.Handshake,
			Plugins:   tenonside.Plugins,
			Test:      &tenon.TestMode{Ready: func(r host.Reattach) { records <- r }},
		})
	}()
	r := <-records
	for range 2 {
		upstreamAttaches(t, &r, true) // Kill leaves it alone
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	passed("go-plugin, attached", "tenon in test mode", false, "unary")
}

func upstreamAttaches(t *testing.T, r *host.Reattach, test bool) {
	t.Helper()
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  upstream.Handshake,
		Plugins:          plugin.PluginSet{cases.PluginName: richPlugin{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.NewNullLogger(),
		Reattach: &plugin.ReattachConfig{
			Protocol:        plugin.ProtocolGRPC,
			ProtocolVersion: r.ProtocolVersion,
			Addr:            &net.UnixAddr{Net: r.Network, Name: r.Address},
			Pid:             r.PID,
			Test:            test,
		},
	})
	defer client.Kill()
	proto, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Dispense(cases.PluginName)
	if err != nil {
		t.Fatal(err)
	}
	out, err := raw.(richgrpc.RichClient).Echo(t.Context(), &richpb.EchoRequest{Payload: []byte("hello")})
	if err != nil || string(out.GetPayload()) != "hello" {
		t.Errorf("got %v, %v", out, err)
	}
}
