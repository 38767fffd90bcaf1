package interop_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/interop/cases"
)

// withoutList runs what follows as a host does that knows nothing of versions:
// without a list of them.
var withoutList = []string{"/bin/sh", "-c", `unset PLUGIN_PROTOCOL_VERSIONS; exec "$0" "$@"`}

// removeSockets removes the sockets of a plugin that go-plugin's host has killed
// because it did not like it. This library's hosts do that themselves.
func removeSockets(t *testing.T, p pair) {
	t.Helper()
	if p.host != "go-plugin" {
		return
	}
	sockets, err := filepath.Glob(filepath.Join(os.TempDir(), "plugin*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sockets {
		if err := os.RemoveAll(name); err != nil {
			t.Error(err)
		}
	}
}

// TestVersions has hosts and plugins agree on a version, and use its sets on
// both sides.
func TestVersions(t *testing.T) {
	each(t, func(t *testing.T, p pair, mode cases.Mode, log *cases.Output) {
		for _, c := range []struct {
			name         string
			host, plugin []int // nil: the handshake's one version
			launch       []string
			want         int
		}{
			{"version: the highest of both", []int{2, 3, 6, 10}, []int{1, 2, 10, 12}, nil, 10},
			{"version: the highest of both", []int{2, 3}, []int{3, 2}, nil, 3},
			{"version: a host with one", nil, []int{2, 3, 4}, nil, cases.ProtocolVersion},
			{"version: a plugin with one", []int{2, 3, 4}, nil, nil, cases.ProtocolVersion},
			{"version: the lowest for hosts that send no list", []int{1, 2, 3}, []int{3, 2}, withoutList, 2},
		} {
			t.Run(fmt.Sprintf("%s/%v %v", c.name, c.host, c.plugin), func(t *testing.T) {
				h, err := p.start(cases.Setup{HostVersions: c.host, PluginVersions: c.plugin}, mode, log, c.launch...)
				if err != nil {
					t.Fatal(err)
				}
				if err := cases.Served(t.Context(), h, c.want); err != nil {
					t.Error(err)
				}
				if err := h.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				if !t.Failed() {
					passed(p.host, p.plugin, mode, c.name)
				}
			})
		}
	})
}

// TestNoCommonVersion has hosts refuse plugins. The error must name the host's
// versions and what the plugin has said of its own: go-plugin's says its lowest
// alone.
func TestNoCommonVersion(t *testing.T) {
	each(t, func(t *testing.T, p pair, mode cases.Mode, log *cases.Output) {
		h, err := p.start(cases.Setup{HostVersions: []int{5, 4}, PluginVersions: []int{2, 1, 7}}, mode, log)
		if err == nil {
			h.Stop(t.Context())
			t.Fatal("the plugin was started")
		}
		removeSockets(t, p)
		var want []string
		switch p {
		case pairs[0]:
			want = []string{"the plugin speaks version 1 ", "this host 4, 5"}
		case pairs[1]:
			want = []string{"Plugin version: 1, Client versions: ", "4", "5"}
		case pairs[2]:
			want = []string{"the plugin speaks version 1 ", "this host 4, 5", "[4 5]", "[1 2 7]"}
		}
		if slices.ContainsFunc(want, func(text string) bool { return !strings.Contains(err.Error(), text) }) {
			t.Errorf("the error lacks one of %q:\n%v", want, err)
			return
		}
		passed(p.host, p.plugin, mode, "version: none of both is an error")
	})
}

// some are the cases for a plugin that is set up in another way: each kind of
// connection is made once.
func some() []cases.Case {
	return cases.Named("ping", "unary", "unary of 16 MiB", "stdio", "broker: host serves", "broker: plugin serves", "shutdown")
}

func runSome(t *testing.T, h cases.Host) {
	t.Helper()
	defer h.Stop(t.Context())
	for _, c := range some() {
		if err := c.Try(t.Context(), h); err != nil {
			t.Errorf("%s: %v", c.Name, err)
			return
		}
	}
}

// TestOwnTLS has both sides use a certificate of the application's own.
func TestOwnTLS(t *testing.T) {
	dir := t.TempDir()
	if err := cases.WriteCertificate(dir); err != nil {
		t.Fatal(err)
	}
	strangers := t.TempDir()
	if err := cases.WriteCertificate(strangers); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, p pair, mode cases.Mode, log *cases.Output) {
		if mode.AutoMTLS {
			return // it is one or the other
		}
		h, err := p.start(cases.Setup{TLS: dir}, mode, log)
		if err != nil {
			t.Fatal(err)
		}
		runSome(t, h)
		h, err = p.start(cases.Setup{TLS: dir, PluginTLS: strangers}, mode, log)
		if err == nil {
			err = h.Ping(t.Context())
			h.Stop(t.Context())
		}
		if err == nil {
			t.Error("a plugin with a stranger's certificate was taken")
		}
		removeSockets(t, p)
		if !t.Failed() {
			passed(p.host, p.plugin, mode, "own certificates")
		}
	})
}

// TestTCP has plugins listen on TCP.
func TestTCP(t *testing.T) {
	each(t, func(t *testing.T, p pair, mode cases.Mode, log *cases.Output) {
		const name = "TCP"
		h, err := p.start(cases.Setup{TCP: true}, mode, log)
		if err != nil {
			t.Fatal(err)
		}
		network, address := h.Socket()
		if p.plugin == "go-plugin" && network == "unix" {
			if err := h.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			refused(p.host, p.plugin, mode, name, "A limit of go-plugin's plugins: they listen on TCP on Windows alone.")
			return
		}
		if network != "tcp" {
			t.Errorf("the plugin listens on %q %q", network, address)
		}
		runSome(t, h)
		if !t.Failed() {
			passed(p.host, p.plugin, mode, name)
		}
	})
}
