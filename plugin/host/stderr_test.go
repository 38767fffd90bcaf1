package host_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/sloghclog"
)

// logged returns the JSON records that are logged for lines on a plugin's stderr. It
// calls between after each line.
func logged(t *testing.T, between func(), lines ...string) []map[string]any {
	t.Helper()
	var buf bytes.Buffer
	line, flush := host.StderrLog(slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug - 4})))
	for _, text := range lines {
		line([]byte(text))
		between()
	}
	flush()
	var records []map[string]any
	for text := range strings.Lines(buf.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(text), &record); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		records = append(records, record)
	}
	return records
}

func TestTimesOfRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := logged(t, func() {},
			`{"@level":"info","@message":"m","@timestamp":"2025-01-02T03:04:05.000006+02:00"}`,
			"plain")
		if got := records[0]["time"]; got != "2025-01-02T01:04:05.000006Z" {
			t.Errorf("the plugin's time became %v", got)
		}
		if got, err := time.Parse(time.RFC3339Nano, fmt.Sprint(records[1]["time"])); err != nil || !got.Equal(time.Now()) {
			t.Errorf("a line without a time has %v, want that of its arrival", records[1]["time"])
		}
	})
}

// TestOtherLoggersArrive has lines as zap, logrus and slog write them.
func TestOtherLoggersArrive(t *testing.T) {
	var own bytes.Buffer
	slog.New(slog.NewJSONHandler(&own, nil)).With("module", "kv").WithGroup("req").Warn("slow", "id", 7)
	var got []string
	for _, r := range logged(t, func() {},
		`{"level":"fatal","ts":1735787045.5,"caller":"kv/main.go:3","msg":"no disk","n":3}`,
		`{"level":"warning","msg":"slow","n":3,"time":"2025-01-02T03:04:05+01:00"}`,
		strings.TrimSpace(own.String()),
	) {
		if r["msg"] == "slow" && r["req"] != nil { // slog's own time is that of the test
			delete(r, "time")
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(text))
	}
	want := []string{
		`{"caller":"kv/main.go:3","level":"ERROR","msg":"no disk","n":3,"time":"2025-01-02T03:04:05.5Z"}`,
		`{"level":"WARN","msg":"slow","n":3,"time":"2025-01-02T02:04:05Z"}`,
		`{"level":"WARN","msg":"slow","plugin.module":"kv","req":{"id":7}}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestGroupsArrive checks that objects are groups, whose members handlers show as they
// show those of this process.
func TestGroupsArrive(t *testing.T) {
	var own bytes.Buffer
	log := slog.New(sloghclog.NewHandler(&own, nil))
	log.WithGroup("req").Info("slow", "id", 7, slog.Group("from", "name", "x y", "none", map[string]any{}))
	var text bytes.Buffer
	line, flush := host.StderrLog(slog.New(slog.NewTextHandler(&text, nil)))
	line(bytes.TrimSpace(own.Bytes()))
	flush()
	for _, want := range []string{"req.id=7", `req.from.name="x y"`, "req.from.none=map[]"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in %q", want, text.String())
		}
	}
}

// TestCrashIsOneRecord has a crash with another goroutine's log line in it, and later
// lines of a plugin that lives on all the same.
func TestCrashIsOneRecord(t *testing.T) {
	account := []string{"panic: boom", "", "goroutine 1 [running]:", "main.main()", "\t/src/main.go:7 +0x1d", "exit status 2"}
	all := append([]string{"before"}, account[:3]...)
	all = append(all, "[WARN] another goroutine")
	all = append(all, account[3:]...)
	want := `DEBUG before ""|WARN another goroutine ""|ERROR panic: boom ` + fmt.Sprintf("%q", strings.Join(account[1:], "\n"))
	summary := func(records []map[string]any) string {
		var texts []string
		for _, r := range records {
			stack, _ := r["stack"].(string)
			texts = append(texts, fmt.Sprintf("%v %v %q", r["level"], r["msg"], stack))
		}
		return strings.Join(texts, "|")
	}
	synctest.Test(t, func(t *testing.T) {
		if got := summary(logged(t, func() {}, all...)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		// A line that only looks like a crash is not kept back for ever.
		got := summary(logged(t, func() { time.Sleep(time.Minute) }, "panic: not at all", "untagged", "panic: again"))
		if want := `ERROR panic: not at all ""|ERROR untagged ""|ERROR panic: again ""`; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// TestLongCrash has a crash report of a megabyte, of which nothing is lost.
func TestLongCrash(t *testing.T) {
	const frame = "main.f(0xc000012345)"
	lines := []string{"fatal error: all goroutines are asleep - deadlock!"}
	for range 50_000 {
		lines = append(lines, frame)
	}
	records := logged(t, func() {}, lines...)
	frames := 0
	for i, r := range records {
		stack := r["stack"].(string)
		frames += strings.Count(stack, frame)
		if r["level"] != "ERROR" || len(stack) > 256<<10 || !strings.HasPrefix(r["msg"].(string), lines[0]) || strings.HasSuffix(r["msg"].(string), "(continued)") != (i > 0) {
			t.Errorf("record %d: %v %v with %d bytes", i, r["level"], r["msg"], len(stack))
		}
	}
	if frames != 50_000 || len(records) > 6 {
		t.Errorf("%d frames in %d records", frames, len(records))
	}
}

// TestOverlongAttributes has more attributes than a record may have.
func TestOverlongAttributes(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"@level":"info","@message":"m"`)
	for i := range 1000 {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	b.WriteString("}")
	records := logged(t, func() {}, b.String(), `{"@level":"info","@message":"m","k":1}`)
	if got := records[0]["plugin.line"]; got != b.String() {
		t.Errorf("what was cut is not kept: %.80v", got)
	}
	if got, there := records[1]["plugin.line"]; there {
		t.Errorf("a short line is logged twice: %v", got)
	}
}

// TestPluginsSlogArrives has a plugin that logs with package sloghclog.
func TestPluginsSlogArrives(t *testing.T) {
	noLeaks(t)
	var rec recorder
	cfg := fakeConfig(t, "real-slog")
	cfg.Logger = rec.logger()
	closes(t, start(t, cfg))
	got := strings.Join(rec.lines(t), "|")
	want := `WARN slow {"id":7,"module":"kv","req":{"err":"EOF","took":"1s"}}|DEBUG-4 small {"module":"kv"}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
