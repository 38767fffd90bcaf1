package main

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/cmd/internal/kv"
	"github.com/tenonrpc/tenon/cmd/internal/kvshared"
	"github.com/tenonrpc/tenon/plugin/host"
)

// TestMultiplexingLeftOut builds the plugin with and without multiplexing. Without it,
// a host that asks for it is refused, and the plugin's log has the reason.
func TestMultiplexingLeftOut(t *testing.T) {
	if os.Getenv("TENON_BUILT") != "" {
		t.Skip("there is no go command")
	}
	for _, tc := range []struct {
		tags          string
		multiplex, ok bool
	}{
		{"", true, true},
		{"tenon_nomux", true, false},
		{"tenon_nomux", false, true},
	} {
		path := filepath.Join(t.TempDir(), "kvplugin.exe")
		build := exec.Command("go", "build", "-tags="+tc.tags, "-o", path, "../kvplugin")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", build, err, out)
		}
		temp(t)
		c, err := host.Start(t.Context(), &host.Config{
			Handshake: kvshared.Handshake,
			Plugins:   kvshared.Plugins(nil),
			Cmd:       exec.Command(path),
			Multiplex: tc.multiplex,
			Logger:    slog.New(slog.DiscardHandler),
		})
		if !tc.ok {
			var start *host.StartError
			if !errors.As(err, &start) || !errors.Is(err, host.ErrMuxUnsupported) || !strings.Contains(string(start.Stderr), "built without (tenon_nomux)") {
				t.Errorf("tags %q, Multiplex %v: %v", tc.tags, tc.multiplex, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("tags %q, Multiplex %v: %v", tc.tags, tc.multiplex, err)
		}
		store, err := host.Dispense[kv.KVClient](t.Context(), c, kvshared.Name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(t.Context(), &kv.PutRequest{Key: "a", Value: []byte("b")}); err != nil {
			t.Errorf("tags %q, Multiplex %v: %v", tc.tags, tc.multiplex, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
