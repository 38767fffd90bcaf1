// Package kvmain is the TestMain of packages whose examples start plugins: their test
// binary is the plugin as well.
package kvmain

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// Variable makes the test binary a plugin.
const Variable = "TN_KV_PLUGIN"

// patience is how long what must happen at once may take.
const patience = 20 * time.Second

// Run runs the tests, or the plugin, and returns the exit status. Goroutines that are
// left are a failure.
func Run(m *testing.M) (code int) {
	if os.Getenv(Variable) != "" {
		plugin.Serve(&plugin.ServeConfig{
			Handshake: kvshared.Handshake,
			Plugins:   plugin.Set{"kv": kvshared.Plugin{}},
		})
		return 0
	}
	// The runtime's goroutine for signals, which a fuzz run starts, stays for good.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	signal.Stop(interrupts)
	before := runtime.NumGoroutine()
	code = m.Run()
	// The goroutines of the last connections may need a moment.
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before && code == 0 {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", buf[:runtime.Stack(buf, true)])
			code = 1
		}
		runtime.Gosched()
	}
	return code
}
