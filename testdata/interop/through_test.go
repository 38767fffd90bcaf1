//go:build !oldgoplugin

package interop_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/upstream"
)

// TestThroughRelay has every case pass through cmd/relay, between hosts and plugins
// that do not know of it, and whose libraries it does not know.
func TestThroughRelay(t *testing.T) {
	if err := build(program(relayProgram), relayProgram); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(slices.Clip(pairs), pair{host: "go-plugin", plugin: "go-plugin", temps: true}) {
		for _, mode := range upstream.Modes {
			t.Run(fmt.Sprintf("%s host to %s plugin/%v", p.host, p.plugin, mode), func(t *testing.T) {
				before := leak.Now()
				log := new(cases.Output)
				t.Cleanup(func() {
					if err := before.Since(p.goroutines, p.temps); err != nil {
						t.Error(err)
					}
					if t.Failed() {
						t.Logf("the host's, the relay's and the plugin's log:\n%s", log)
					}
				})
				h, err := p.start(cases.Setup{}, mode, log, program(relayProgram), "-cookie", cases.MagicCookieKey)
				if err != nil {
					t.Fatalf("starting the relay: %v", err)
				}
				defer h.Stop(context.Background())
				for _, c := range cases.All() {
					if c.Multiplexed && !mode.Multiplex {
						continue
					}
					t.Run(c.Name, func(t *testing.T) {
						if err := c.Try(t.Context(), h); err != nil {
							t.Error(err)
						}
					})
				}
				if !t.Failed() {
					passed(p.host, p.plugin, mode, "through a relay")
				}
			})
		}
	}
}
