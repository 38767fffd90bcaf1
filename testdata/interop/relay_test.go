//go:build !oldgoplugin

package interop_test

import (
	"context"
	"flag"
	"os"
	"slices"
	"testing"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside"
	"github.com/tenonrpc/tenon/plugin/interop/relay"
	"github.com/tenonrpc/tenon/plugin/interop/upstream"
)

// runAsProgram makes a relay or a host of this process if it was started as one.
func runAsProgram() (code int, ran bool) {
	if code, ran := runDyingHost(flag.Args()); ran {
		return code, true
	}
	return relay.Run(flag.Args())
}

// relayed are the cases that a relay passes on.
var relayed = []string{
	"ping", "unary", "unary of 16 MiB", "status with details", "status message escaped",
	"deadline seen", "many calls at once", "shutdown",
}

// TestRelay has one process, this test binary once more, serve a plugin with
// one library and host a plugin with the other.
func TestRelay(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	startUpstream := func(log *cases.Output, args ...string) (cases.Host, error) {
		h, err := upstream.Start(true, log, self, args...)
		if err != nil {
			return nil, err
		}
		return h, nil
	}
	startTenon := func(log *cases.Output, args ...string) (cases.Host, error) {
		h, err := tenonside.Start(true, log, self, args...)
		if err != nil {
			return nil, err
		}
		return h, nil
	}
	for _, r := range []struct {
		name, host  string
		start       func(*cases.Output, ...string) (cases.Host, error)
		mode, inner string
	}{
		{"tenon, in it go-plugin", "tenon", startTenon, relay.OnTenon, upstreamPlugin},
		{"tenon, in it go-plugin", "go-plugin", startUpstream, relay.OnTenon, upstreamPlugin},
		{"go-plugin, in it tenon", "tenon", startTenon, relay.OnUpstream, tenonPlugin},
		{"go-plugin, in it tenon", "go-plugin", startUpstream, relay.OnUpstream, tenonPlugin},
	} {
		t.Run(r.host+" host of "+r.name, func(t *testing.T) {
			before := leak.Now()
			log := new(cases.Output)
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the host's and the plugin's log:\n%s", log)
				}
			})
			h, err := r.start(log, r.mode, program(r.inner))
			if err != nil {
				t.Fatalf("starting the relay: %v", err)
			}
			defer h.Stop(context.Background())
			for _, c := range cases.All() {
				if !slices.Contains(relayed, c.Name) {
					continue
				}
				t.Run(c.Name, func(t *testing.T) {
					if err := c.Try(t.Context(), h); err != nil {
						t.Fatal(err)
					}
					passed(r.host, r.name, cases.Mode{AutoMTLS: true}, c.Name)
				})
			}
			if err := before.Since(r.host == "tenon", true); err != nil {
				t.Error(err)
			}
		})
	}
}
