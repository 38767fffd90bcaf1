//go:build linux && !amd64 && !arm64

package confine_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host/confine"
)

// Without a filter, Start must not promise what only the filter enforces.
func TestNoFilter(t *testing.T) {
	for _, p := range []confine.Policy{{}, {AllowTCP: true}, {AllowUDP: true}, {AllowTCP: true, AllowUDP: true}, {ListenTCP: []uint16{0}, AllowUDP: true, AllowMetadata: true}} {
		err := own(p).Start(exec.Command(os.Args[0]), "")
		if err == nil || !strings.Contains(err.Error(), "set Policy.AllowTCP, AllowUDP and AllowMetadata to do without") {
			t.Errorf("%+v: %v, want an error that says what to set", p, err)
		}
	}
	secret := t.TempDir()
	lines := []string{"list " + secret, "udp 127.0.0.1:0"}
	got := confined(t, own(confine.Policy{AllowTCP: true, AllowUDP: true, AllowMetadata: true}), "", lines...)
	if !strings.Contains(got[0], denied) || strings.Contains(got[1], denied) {
		t.Errorf("got %q", got)
	}
}
