//go:build oldgoplugin

package interop_test

import (
	"errors"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/interop/cases"
	"github.com/tenonrpc/tenon/plugin/interop/cases/leak"
	"github.com/tenonrpc/tenon/plugin/interop/cases/tenonside"
)

// runAsProgram is for what only the newer version is tested with: this test
// binary is never run as anything else.
func runAsProgram() (code int, ran bool) { return 0, false }

// TestNoMultiplexing asks a plugin for it that does not know what that is.
func TestNoMultiplexing(t *testing.T) {
	for _, autoMTLS := range []bool{false, true} {
		before := leak.Now()
		mode := cases.Mode{AutoMTLS: autoMTLS, Multiplex: true}
		h, err := tenonside.StartIn(mode, new(cases.Output), program(upstreamPlugin))
		if err == nil {
			h.Stop(t.Context())
			t.Fatalf("%v: the plugin was started", mode)
		}
		start := (*host.StartError)(nil)
		if !errors.Is(err, host.ErrMuxUnsupported) || !errors.As(err, &start) || start.Hint == "" {
			t.Errorf("%v: %v", mode, err)
		}
		if err := before.Since(true, true); err != nil {
			t.Error(err)
		}
		passed("tenon", "go-plugin", mode, "refused with a reason")
	}
}
