package plugintest

import (
	"log/slog"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// defaultHandshake is what a pair agrees on unless it is told otherwise.
var defaultHandshake = plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "PLUGINTEST", MagicCookieValue: "plugintest"}

// Config configures both halves of a pair. What they must agree on needs to be
// given once: the Handshake, Plugins and Versions of the half that has none are
// those of the other. A pair without any Handshake has one made up.
//
// Fields that say how to launch, listen and dial must not be set, in either half:
// Cmd, Runner, Reattach, Detach, Process, Test, and Listen, Dial and Network of
// Sockets.
type Config struct {
	// Plugin is the plugin's half. Its Logger nil means hclog's lines on its
	// stderr, as usual, which are logged by the host's half.
	Plugin plugin.ServeConfig
	// Host is the host's half. As everywhere, its zero value means AutoMTLS; set
	// InsecurePlaintext, or the faster Curve host.P256, to do with less. Its
	// Logger nil means the test's log.
	Host host.Config
}

// New starts a plugin that serves the set, in this process, and connects to it
// without TLS. Both end with the test, which fails if they do not end well.
// New fails the test at once if the plugin does not start.
func New(t testing.TB, set plugin.Set) *host.Client {
	t.Helper()
	return Start(t, &Config{
		Plugin: plugin.ServeConfig{Plugins: set},
		Host:   host.Config{InsecurePlaintext: true},
	})
}

// Dispense is New and host.Dispense: it returns the application's client for the
// plugin of that name, and fails the test if there is none or it is not a T.
func Dispense[T any](t testing.TB, set plugin.Set, name string) T {
	t.Helper()
	client, err := host.Dispense[T](t.Context(), New(t, set), name)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Start is New with a configuration of both halves. The configuration is not
// changed, and may be used again.
func Start(t testing.TB, config *Config) *host.Client {
	t.Helper()
	serve, hc := config.Plugin, config.Host
	switch {
	case hc.Cmd != nil || hc.Runner != nil || hc.Reattach != nil || hc.Detach || hc.Sockets.Listen != nil || hc.Sockets.Dial != nil:
		t.Fatal("plugintest: Config.Host says how to launch or reach a plugin (Cmd, Runner, Reattach, Detach, Sockets.Listen, Sockets.Dial); that is what the pair does")
	case serve.Sockets.Network != "" || serve.Sockets.Listen != nil || serve.Sockets.Dial != nil || serve.Process != nil || serve.Test != nil:
		t.Fatal("plugintest: Config.Plugin says how to serve (Sockets.Network, Sockets.Listen, Sockets.Dial, Process, Test); that is what the pair does")
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

// testLogger logs to the test's log for as long as the test lasts: a handler
// that goes on after its end must not make it panic.
func testLogger(t testing.TB) *slog.Logger {
	w := &testLog{t: t}
	t.Cleanup(w.end)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
