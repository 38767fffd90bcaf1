package plugintest

import (
	"log/slog"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// defaultHandshake is the Handshake of a pair whose configuration has none.
var defaultHandshake = plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "PLUGINTEST", MagicCookieValue: "plugintest"}

// Config configures both halves of a pair. What must be the same in both needs to be set
// only once: a half without Handshake, or without Plugins and Versions, has those of the
// other. If neither half has a Handshake, a default is used.
//
// Fields that say how to start, listen and dial must not be set in either half: Cmd,
// Runner, Reattach, Detach, Process, Test, and Listen, Dial and Network of Sockets.
type Config struct {
	// Plugin configures the plugin. If its Logger is nil it writes hclog's lines to its
	// stderr, as usual, and the host logs them.
	Plugin plugin.ServeConfig
	// Host configures the host. As everywhere, its zero value means AutoMTLS; set
	// InsecurePlaintext, or the faster Curve host.P256, to save time. If its Logger is
	// nil it logs to the test's log.
	Host host.Config
}

// New starts a plugin that serves set in this process, and connects to it without TLS.
// Both end with the test, which fails if either does not end properly. New fails the test
// at once if the plugin does not start.
func New(t testing.TB, set plugin.Set) *host.Client {
	t.Helper()
	return Start(t, &Config{
		Plugin: plugin.ServeConfig{Plugins: set},
		Host:   host.Config{InsecurePlaintext: true},
	})
}

// Dispense is New followed by host.Dispense: it returns the application's client for the
// plugin of that name. It fails the test if there is no such plugin or the client is not
// a T.
func Dispense[T any](t testing.TB, set plugin.Set, name string) T {
	t.Helper()
	client, err := host.Dispense[T](t.Context(), New(t, set), name)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Start is New with a configuration for both halves. The configuration is not changed,
// and may be used again.
func Start(t testing.TB, config *Config) *host.Client {
	t.Helper()
	serve, hc := config.Plugin, config.Host
	switch {
	case hc.Cmd != nil || hc.Runner != nil || hc.Reattach != nil || hc.Detach || hc.Sockets.Listen != nil || hc.Sockets.Dial != nil:
		t.Fatal("plugintest: Config.Host says how to launch or reach a plugin (Cmd, Runner, Reattach, Detach, Sockets.Listen, Sockets.Dial); the pair does that itself")
	case serve.Sockets.Network != "" || serve.Sockets.Listen != nil || serve.Sockets.Dial != nil || serve.Process != nil || serve.Test != nil:
		t.Fatal("plugintest: Config.Plugin says how to serve (Sockets.Network, Sockets.Listen, Sockets.Dial, Process, Test); the pair does that itself")
	}
	if serve.Handshake == (plugin.Handshake{}) {
		serve.Handshake = hc.Handshake
	}
	if serve.Handshake == (plugin.Handshake{}) {
		serve.Handshake = defaultHandshake
	}
	if hc.Handshake == (plugin.Handshake{}) {
		hc.Handshake = serve.Handshake
	}
	if serve.Plugins == nil && serve.Versions == nil {
		serve.Plugins, serve.Versions = hc.Plugins, hc.Versions
	}
	if hc.Plugins == nil && hc.Versions == nil {
		hc.Plugins, hc.Versions = serve.Plugins, serve.Versions
	}
	if hc.Logger == nil {
		hc.Logger = testLogger(t)
	}
	network := newMemory()
	serve.Sockets.Listen, serve.Sockets.Dial = network.listen, network.dial
	hc.Sockets.Listen, hc.Sockets.Dial = network.listen, network.dial
	hc.Runner = &runner{config: serve, network: network}
	client, err := host.Start(t.Context(), &hc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("plugintest: ending the pair: %v", err)
		}
	})
	return client
}

// testLogger logs to the test's log until the test ends: a handler that runs on must not
// panic by logging.
func testLogger(t testing.TB) *slog.Logger {
	w := &testLog{t: t}
	t.Cleanup(w.end)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
