package host_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
)

// What the protocol's ports to other languages leave out.

// A plugin without TLS announces no certificate, whatever its host asks for.
func TestPluginThatKnowsNoCertificates(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "five-fields-ever")
	start := failing(t, cfg)
	if start.Stage != host.StageCheck || !strings.Contains(start.Error(), "announced no certificate") ||
		!strings.Contains(start.Hint, "AutoMTLS") || !strings.Contains(start.Hint, "InsecurePlaintext") {
		t.Errorf("got %v", start)
	}

	cfg.InsecurePlaintext = true
	c := works(t, cfg)
	closes(t, c)
}

// A plugin that asks for no certificate lets everyone in. Its host still accepts only
// the plugin's certificate, and warns about that.
func TestPluginThatAsksForNoCertificate(t *testing.T) {
	noLeaks(t)
	const warning = "WARN the plugin does not ask for this host's certificate: whoever reaches its socket can use it"
	for name, warned := range map[string]bool{"any-host": true, "good": false} {
		for _, curve := range []host.Curve{host.P521, host.P256} {
			var rec recorder
			cfg := fakeConfig(t, name)
			cfg.Logger = rec.logger()
			cfg.Curve = curve
			closes(t, works(t, cfg))
			if got := slices.Contains(rec.lines(t), warning); got != warned {
				t.Errorf("%s: warned %v, want %v", name, got, warned)
			}
		}
	}

	cfg := fakeConfig(t, "any-host")
	cfg.InsecurePlaintext = true
	var rec recorder
	cfg.Logger = rec.logger()
	closes(t, works(t, cfg))
	if slices.Contains(rec.lines(t), warning) {
		t.Error("warned of certificates where there are none")
	}

	// The server that answers does not have the certificate that such a plugin
	// announces.
	if start := failing(t, fakeConfig(t, "other-certificate")); start.Stage != host.StageConnect ||
		!strings.Contains(start.Error(), "not the pinned one") {
		t.Errorf("got %v", start)
	}
}

// works starts a plugin and calls it.
func works(t *testing.T, cfg *host.Config) *host.Client {
	t.Helper()
	c := start(t, cfg)
	if got, err := do(t.Context(), c, "echo hello"); err != nil || got != "hello" {
		t.Errorf("the plugin says %q, %v", got, err)
	}
	return c
}
