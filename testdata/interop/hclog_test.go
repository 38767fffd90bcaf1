package interop_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/tenonrpc/tenon/plugin/sloghclog"
)

// TestToLogger has go-plugin's own logger behind a host's.
func TestToLogger(t *testing.T) {
	var buf bytes.Buffer
	app := hclog.New(&hclog.LoggerOptions{Name: "app", Level: hclog.Debug, Output: &buf, JSONFormat: true})
	log := slog.New(sloghclog.ToLogger(app)).With("plugin", "kv")
	log.Log(t.Context(), sloghclog.LevelTrace, "small")
	log.Warn("slow", "module", "store", "err", errors.New("no disk"), slog.Group("req", "id", 7))
	var got map[string]any
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatalf("%v in %q", err, &buf)
	}
	for key, want := range map[string]any{
		"@level": "warn", "@message": "slow", "@module": "app.kv.store", "err": "no disk", "req.id": 7.0,
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if got["timestamp"] == nil {
		t.Error("the record's time is missing")
	}

	// What a plugin names things is its own: one record is one line of text.
	buf.Reset()
	text := slog.New(sloghclog.ToLogger(hclog.New(&hclog.LoggerOptions{Output: &buf})))
	text.Info("m", "module", "a\n[ERROR] b", "k\n[ERROR] c", "v", slog.Group("g\n[ERROR] d", "x", []any{"\n[ERROR] e"}))
	if n := bytes.Count(buf.Bytes(), []byte("\n")); n != 1 {
		t.Errorf("one record is %d lines: %q", n, &buf)
	}
}
