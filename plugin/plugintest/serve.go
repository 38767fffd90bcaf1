package plugintest

import (
	"context"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// Serve serves a plugin in this process, on a real socket, until the test ends. It
// returns the record with which hosts, in this process or another, attach to it: as
// host.Config.Reattach, or through host.FormatProviders in the variable
// TF_REATTACH_PROVIDERS. The record tells hosts not to end the plugin. Any number of
// plugins can be served at the same time.
//
// The plugin uses plaintext unless config has TLS, as in Terraform's own acceptance
// tests: hosts need InsecurePlaintext. Its socket is in the directory for temporary
// files, and only this user can connect. Without a Handshake a default is used; of that,
// hosts that attach compare only the version. If Logger is nil the plugin logs to the
// test's log. Process and Test must be nil. Serve fails the test at once if the plugin
// cannot be served, and at the end of the test if it does not end properly. Of several
// versions the highest is served; for a host without it, leave those above the host's
// out of config.Versions.
func Serve(t testing.TB, config *plugin.ServeConfig) *host.Reattach {
	t.Helper()
	if config.Process != nil || config.Test != nil {
		t.Fatal("plugintest: Process and Test must be nil: Serve sets them")
	}
	cfg := *config
	if cfg.Handshake == (plugin.Handshake{}) {
		cfg.Handshake = defaultHandshake
	}
	if cfg.Logger == nil {
		cfg.Logger = testLogger(t)
	}
	ready := make(chan host.Reattach, 1)
	// With a Process of its own the plugin leaves the test's signals alone.
	cfg.Process = new(plugin.Process)
	cfg.Test = &plugin.TestMode{Ready: func(r host.Reattach) { ready <- r }}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- plugin.ServeContext(ctx, &cfg) }()
	select {
	case r := <-ready:
		t.Cleanup(func() {
			stop()
			if err := <-ended; err != nil {
				t.Errorf("plugintest: serving: %v", err)
			}
		})
		return &r
	case err := <-ended:
		stop()
		t.Fatalf("plugintest: serving: %v", err)
		return nil
	}
}
