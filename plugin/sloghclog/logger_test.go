package sloghclog_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/tenonrpc/tenon/plugin/sloghclog"
)

// appLogger is a logger with hclog's methods that records its calls.
type appLogger struct {
	name  string
	least int // the lowest level that it logs: 0 is trace
	lines *[]line
}

type line struct {
	name, level, msg string
	args             []any
}

func (a *appLogger) note(level, msg string, args []any) {
	*a.lines = append(*a.lines, line{a.name, level, msg, args})
}

func (a *appLogger) Trace(msg string, args ...any) { a.note("trace", msg, args) }
func (a *appLogger) Debug(msg string, args ...any) { a.note("debug", msg, args) }
func (a *appLogger) Info(msg string, args ...any)  { a.note("info", msg, args) }
func (a *appLogger) Warn(msg string, args ...any)  { a.note("warn", msg, args) }
func (a *appLogger) Error(msg string, args ...any) { a.note("error", msg, args) }
func (a *appLogger) IsTrace() bool                 { return a.least <= 0 }
func (a *appLogger) IsDebug() bool                 { return a.least <= 1 }
func (a *appLogger) IsInfo() bool                  { return a.least <= 2 }
func (a *appLogger) IsWarn() bool                  { return a.least <= 3 }
func (a *appLogger) IsError() bool                 { return a.least <= 4 }

func (a *appLogger) Named(name string) *appLogger {
	named := *a
	named.name = strings.TrimPrefix(a.name+"."+name, ".")
	return &named
}

// TestToLoggerKeepsTheRules runs the tests of package testing/slogtest.
func TestToLoggerKeepsTheRules(t *testing.T) {
	var lines []line
	slogtest.Run(t, func(*testing.T) slog.Handler {
		lines = nil
		return sloghclog.ToLogger(&appLogger{lines: &lines})
	}, func(t *testing.T) map[string]any {
		if len(lines) != 1 {
			t.Fatalf("%d lines", len(lines))
		}
		result := map[string]any{slog.LevelKey: lines[0].level, slog.MessageKey: lines[0].msg}
		for pair := range slices.Chunk(lines[0].args, 2) {
			key := pair[0].(string)
			if key == "timestamp" {
				key = slog.TimeKey
			}
			at := result
			path := strings.Split(key, ".")
			for _, group := range path[:len(path)-1] {
				if at[group] == nil {
					at[group] = map[string]any{}
				}
				at = at[group].(map[string]any)
			}
			at[path[len(path)-1]] = pair[1]
		}
		return result
	})
}

// TestToLogger: levels, times, names and values arrive as hclog has them.
func TestToLogger(t *testing.T) {
	var lines []line
	h := sloghclog.ToLogger(&appLogger{name: "app", lines: &lines})
	at := time.Date(2025, 1, 2, 3, 4, 5, 6e6, time.FixedZone("", 3600))
	err := errors.New("no disk")
	for _, level := range []slog.Level{sloghclog.LevelTrace, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError + 4} {
		r := slog.NewRecord(at, level, "m", 0)
		r.Add("module", "kv", "n", 7, "err", err, slog.Group("g", "module", "x"))
		if err := h.WithAttrs([]slog.Attr{slog.String("plugin", "p"), slog.Int("pid", 9)}).Handle(t.Context(), r); err != nil {
			t.Error(err)
		}
	}
	for i, level := range []string{"trace", "debug", "info", "warn", "error", "error"} {
		want := line{"app.p.kv", level, "m", []any{"pid", int64(9), "n", int64(7), "err", err, "g.module", "x", "timestamp", "2025-01-02T03:04:05.006+0100"}}
		if got := lines[i]; fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Errorf("got\n%#v, want\n%#v", got, want)
		}
	}
}

// TestToLoggerNamesArePrintable: names and keys that a plugin has chosen do not end a line
// of the host's log.
func TestToLoggerNamesArePrintable(t *testing.T) {
	var lines []line
	log := slog.New(sloghclog.ToLogger(&appLogger{name: "app", lines: &lines}))
	log.Info("m", "module", "a\nb", "k\x1b[2J", 1, slog.Group("g\n", "x\r", 2))
	if got := lines[0]; got.name != `app.a\nb` || got.args[0] != `k\x1b[2J` || got.args[2] != `g\n.x\r` {
		t.Errorf("got %q with %q", got.name, got.args)
	}
}

func TestToLoggerLevels(t *testing.T) {
	for least := range 6 {
		h := sloghclog.ToLogger(&appLogger{least: least})
		for i, level := range []slog.Level{sloghclog.LevelTrace, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			if got := h.Enabled(t.Context(), level); got != (i >= least) {
				t.Errorf("a logger that takes level %d and above: %v enabled is %t", least, level, got)
			}
		}
	}
}

// face is an interface with hclog's methods.
type face interface{ sloghclog.Logger[face] }

type faced struct{ *appLogger }

func (f faced) Named(string) face { return f }

// TestToLoggerOfNothing: nil loggers, as from applications that did not set theirs,
// discard everything and do not panic.
func TestToLoggerOfNothing(t *testing.T) {
	var none face
	var lines []line
	for name, h := range map[string]slog.Handler{
		"nil interface": sloghclog.ToLogger(none),
		"nil pointer":   sloghclog.ToLogger((*appLogger)(nil)),
	} {
		if h.Enabled(t.Context(), slog.LevelError) {
			t.Errorf("%s: it is enabled", name)
		}
		slog.New(h).With("plugin", "x").Error("m")
	}
	slog.New(sloghclog.ToLogger[face](faced{&appLogger{lines: &lines}})).Info("m")
	if len(lines) != 1 {
		t.Errorf("a logger behind an interface has had %d lines", len(lines))
	}
}
