package fleet_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// pluginVariable makes the test binary a plugin, for the examples.
const pluginVariable = "TN_FLEET_PLUGIN"

// patience is how long what must happen at once may take.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(pluginVariable) != "" {
		plugin.Serve(&plugin.ServeConfig{
			Handshake: kvshared.Handshake,
			Plugins:   plugin.Set{"kv": kvshared.Plugin{}},
		})
		return
	}
	before := runtime.NumGoroutine()
	code := m.Run()
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
	os.Exit(code)
}
