package interop_test

import (
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/hashicorp/go-plugin"

	"github.com/tenonrpc/tenon/plugin/interop/upstream"
)

// TestVersion wants the version that the tests are meant for in the plugin and in
// this process. Test binaries do not list what they link; the files that code was
// compiled from are below a directory with the version in its name.
func TestVersion(t *testing.T) {
	serve := reflect.ValueOf(plugin.Serve).Pointer()
	file, _ := runtime.FuncForPC(serve).FileLine(serve)
	if !strings.Contains(file, "/go-plugin@"+upstream.Version+"/") {
		t.Errorf("this process has Serve from %s, want it of %s: see upstream.BuildFlags", file, upstream.Version)
	}
	t.Logf("go-plugin %s", upstream.Version)
	if got := upstreamVersion(); got != upstream.Version {
		t.Errorf("the plugin links go-plugin %s, want %s", got, upstream.Version)
	}
}
