package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
)

// maxTail is how much of each stream errors keep.
const maxTail = 16 << 10

func TestErrorsKeepBoundedTails(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "prints-much")
	// Its first line fails the start. How much follows until it is killed
	// differs; that it is bounded does not.
	cfg.Logger = slog.New(slog.DiscardHandler)
	start := failing(t, cfg)
	for name, data := range map[string][]byte{"stdout": start.Stdout, "stderr": start.Stderr} {
		if len(data) > maxTail {
			t.Errorf("%s: %d bytes are kept, more than %d", name, len(data), maxTail)
		}
	}
	if text := start.Error(); len(text) > 4096 {
		t.Errorf("the text has %d bytes", len(text))
	}
}

func TestTailIsTheEnd(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "logs")
	cfg.Logger = slog.New(slog.DiscardHandler)
	text := strings.Repeat("0123456789abcde\n", 1800) // an environment on Windows has 32 KiB
	cfg.Env = append(cfg.Env, "TN_LOG="+text)
	if got := failing(t, cfg).Stderr; string(got) != text[len(text)-maxTail:] {
		t.Errorf("the tail has %d bytes and is not the end of the %d written", len(got), len(text))
	}
}

func TestCrashIsShownFromItsBeginning(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "logs")
	text := "before\npanic: boom\n\ngoroutine 1 [running]:\n" + strings.Repeat("main.f()\n\t/src/main.go:1 +0x1\n", 40)
	cfg.Env = append(cfg.Env, "TN_LOG="+text)
	got := failing(t, cfg).Error()
	for _, want := range []string{"… 1 more above", "| panic: boom", "| goroutine 1", "… 59 more below"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}

func TestGrandchildrenDoNotHoldUpStart(t *testing.T) {
	noLeaks(t)
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close() // ends the grandchild
	defer in.Close()
	cfg := fakeConfig(t, "leaves-a-child")
	cfg.Cmd.Stdin = in
	begun := time.Now()
	start := failing(t, cfg)
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if want := (host.ExitStatus{Ended: true, Code: 4}); start.ExitStatus != want {
		t.Errorf("exit status %v, want %v", start.ExitStatus, want)
	}
}

// recorder keeps records as JSON lines.
type recorder struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (r *recorder) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
}

func (r *recorder) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(line)
}

// lines returns what was logged about the plugin's stderr, each as "level
// message attribute=value…".
func (r *recorder) lines(t *testing.T) []string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for text := range strings.Lines(r.buf.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(text), &record); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if strings.HasPrefix(fmt.Sprint(record["msg"]), "the plugin does not get") { // before it runs
			continue
		}
		line := fmt.Sprintf("%v %v", record["level"], record["msg"])
		for _, known := range []string{"time", "level", "msg", "plugin", "pid"} {
			if record[known] == nil {
				t.Errorf("%s is missing in %q", known, text)
			}
			delete(record, known)
		}
		if len(record) > 0 {
			rest, err := json.Marshal(record) // in the order of the keys
			if err != nil {
				t.Fatal(err)
			}
			line += " " + string(rest)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestStderrIsLoggedByLevel(t *testing.T) {
	noLeaks(t)
	text := strings.Join([]string{
		"plain words",
		"[WARN] tagged",
		`{"@level":"info","@message":"hello","@module":"kv.store","@timestamp":"2025-01-02T03:04:05.000006Z","n":1,"level":"forged","plugin":{"a":[true]}}`,
		`{"@level":"trace","@message":7}`,
		`{"@message":"no level"}`,
		"2025-01-01T12:00:00.000Z [ERROR] net: dial: addr=a",
		"windows line\r",
		"panic: boom",
		"",
		"goroutine 1 [running]:",
		"[INFO] still tagged",
		"last line without an end",
	}, "\n")
	var rec recorder
	var raw bytes.Buffer
	cfg := fakeConfig(t, "logs")
	cfg.Logger = rec.logger()
	cfg.Output.RawStderr = &raw
	cfg.Env = append(cfg.Env, "TN_LOG="+text)
	failing(t, cfg)
	if raw.String() != text {
		t.Errorf("the copy is %q, want %q", raw.String(), text)
	}
	want := []string{
		"DEBUG plain words",
		"WARN tagged",
		`INFO hello {"module":"kv.store","n":1,"plugin.level":"forged","plugin.plugin":{"a":[true]}}`,
		"DEBUG-4 7",
		`DEBUG {"@message":"no level"}`,
		`ERROR dial {"addr":"a","module":"net"}`,
		"DEBUG windows line",
		"INFO still tagged",
		`ERROR panic: boom {"stack":"\ngoroutine 1 [running]:\nlast line without an end"}`,
	}
	got := rec.lines(t)
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("line %d: got %q, want %q", i, g, w)
		}
	}
}

func TestLongLinesAreLoggedInPieces(t *testing.T) {
	notOnWindows(t, "an environment has 32 KiB")
	noLeaks(t)
	// One argument or variable of a process may have 128 KiB on Linux.
	text := strings.Repeat("0123456789", 12000) + "\nnext"
	var rec recorder
	cfg := fakeConfig(t, "logs")
	cfg.Logger = rec.logger()
	cfg.Env = append(cfg.Env, "TN_LOG="+text)
	failing(t, cfg)
	var joined strings.Builder
	lines := rec.lines(t)
	for _, line := range lines {
		joined.WriteString(strings.TrimPrefix(line, "DEBUG "))
	}
	if want := strings.ReplaceAll(text, "\n", ""); joined.String() != want || len(lines) != 3 {
		t.Errorf("%d records with %d bytes; want 3 with %d", len(lines), joined.Len(), len(want))
	}
}

// The plugin's name must be in its records, and a level that is off must cost
// nothing but the parsing.
func TestLoggerDecidesByLevel(t *testing.T) {
	noLeaks(t)
	var rec recorder
	cfg := fakeConfig(t, "logs")
	cfg.Logger = slog.New(slog.NewJSONHandler(&rec, &slog.HandlerOptions{Level: slog.LevelWarn}))
	cfg.Env = append(cfg.Env, "TN_LOG=debug\n[INFO] info\n[WARN] warn\n")
	failing(t, cfg)
	if got := rec.lines(t); len(got) != 1 || got[0] != "WARN warn" {
		t.Errorf("logged %q, want the warning alone", got)
	}
	if cfg.Logger.Enabled(context.Background(), slog.LevelInfo) {
		t.Error("the logger's level has changed")
	}
}
