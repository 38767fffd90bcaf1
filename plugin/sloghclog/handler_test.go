package sloghclog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/plugin/sloghclog"
	"github.com/tenonrpc/tenon/wire"
)

// TestHandler runs the tests of package testing/slogtest.
func TestHandler(t *testing.T) {
	var buf bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		buf.Reset()
		return sloghclog.NewHandler(&buf, nil)
	}, func(t *testing.T) map[string]any {
		var m map[string]any
		if err := json.Unmarshal(buf.Bytes(), &m); err != nil {
			t.Fatalf("%v in %q", err, buf.String())
		}
		for ours, theirs := range map[string]string{"@timestamp": slog.TimeKey, "@level": slog.LevelKey, "@message": slog.MessageKey} {
			if v, ok := m[ours]; ok {
				m[theirs] = v
				delete(m, ours)
			}
		}
		return m
	})
}

// user hides its password in logs.
type user struct{ name, password string }

func (u user) LogValue() slog.Value { return slog.GroupValue(slog.String("name", u.name)) }

// endless resolves to itself.
type endless struct{}

func (endless) LogValue() slog.Value { return slog.AnyValue(endless{}) }

// broken panics when it is written.
type broken struct{ p *int }

func (b broken) MarshalJSON() ([]byte, error) { return json.Marshal(*b.p) }

// coded is an error with a JSON encoding of its own.
type coded struct{ code int }

func (c coded) Error() string                { return "coded" }
func (c coded) MarshalJSON() ([]byte, error) { return json.Marshal(c.code) }

var at = time.Date(2025, 1, 2, 3, 4, 5, 6789, time.FixedZone("", 3600))

func TestLines(t *testing.T) {
	const begin = `{"@level":"info","@message":"m","@module":"kv","@timestamp":"2025-01-02T02:04:05.000006Z"`
	for name, tc := range map[string]struct {
		with  func(slog.Handler) slog.Handler
		attrs []any
		want  string
	}{
		"nothing":     {nil, nil, ""},
		"scalars":     {nil, []any{"s", "a\"\n\x01\xff", "i", -1, "u", uint64(math.MaxUint64), "f", 1.5, "b", true, "n", nil}, `,"s":"a\"\n\u0001` + "\\ufffd" + `","i":-1,"u":18446744073709551615,"f":1.5,"b":true,"n":null`},
		"no numbers":  {nil, []any{"nan", math.NaN(), "inf", math.Inf(-1)}, `,"nan":"NaN","inf":"-Inf"`},
		"durations":   {nil, []any{"d", 1500 * time.Millisecond}, `,"d":"1.5s"`},
		"times":       {nil, []any{"t", at}, `,"t":"2025-01-02T03:04:05.000006789+01:00"`},
		"errors":      {nil, []any{"err", fmt.Errorf("reading: %w", io.EOF), "own", coded{7}}, `,"err":"reading: EOF","own":7`},
		"structs":     {nil, []any{"v", struct{ A []int }{[]int{1, 2}}, "m", map[string]any{"k": nil}}, `,"v":{"A":[1,2]},"m":{"k":null}`},
		"LogValuer":   {nil, []any{"u", user{"me", "secret"}}, `,"u":{"name":"me"}`},
		"no JSON":     {nil, []any{"c", complex(1, 2)}, `,"c":"(1+2i)"`},
		"its panic":   {nil, []any{"p", broken{}}, `,"p":"!PANIC: runtime error: invalid memory address or nil pointer dereference"`},
		"own names":   {nil, []any{"@level", "off", "@caller", "me", slog.Group("g", "@level", "free")}, `,"_@level":"off","_@caller":"me","g":{"@level":"free"}`},
		"no key":      {nil, []any{"", 1}, `,"":1`},
		"odd":         {nil, []any{"alone"}, `,"!BADKEY":"alone"`},
		"groups":      {nil, []any{slog.Group("a", "x", 1, slog.Group("b", "y", 2), slog.Group("empty"))}, `,"a":{"x":1,"b":{"y":2}}`},
		"inline":      {nil, []any{slog.Group("", "x", 1, "@module", "other")}, `,"x":1,"_@module":"other"`},
		"only empty":  {nil, []any{slog.Group("a", slog.Group("b"))}, ""},
		"WithAttrs":   {func(h slog.Handler) slog.Handler { return h.WithAttrs([]slog.Attr{slog.Int("a", 1)}) }, []any{"b", 2}, `,"a":1,"b":2`},
		"WithGroup":   {func(h slog.Handler) slog.Handler { return h.WithGroup("g") }, []any{"b", 2, "@level", 3}, `,"g":{"b":2,"@level":3}`},
		"empty scope": {func(h slog.Handler) slog.Handler { return h.WithGroup("g").WithGroup("h") }, nil, ""},
		"no name":     {func(h slog.Handler) slog.Handler { return h.WithGroup("") }, []any{"b", 2}, `,"b":2`},
		"nested": {func(h slog.Handler) slog.Handler {
			return h.WithAttrs([]slog.Attr{slog.Int("a", 1)}).WithGroup("g").WithAttrs([]slog.Attr{slog.Int("b", 2)}).WithGroup("h").WithGroup("i")
		}, []any{"c", 3}, `,"a":1,"g":{"b":2,"h":{"i":{"c":3}}}`},
		"nested and left empty": {func(h slog.Handler) slog.Handler {
			return h.WithGroup("g").WithAttrs([]slog.Attr{slog.Int("b", 2)}).WithGroup("h")
		}, nil, `,"g":{"b":2}`},
	} {
		var buf bytes.Buffer
		var h slog.Handler = sloghclog.NewHandler(&buf, &sloghclog.Options{Module: "kv"})
		if tc.with != nil {
			h = tc.with(h)
		}
		r := slog.NewRecord(at, slog.LevelInfo, "m", 0)
		r.Add(tc.attrs...)
		if err := h.Handle(context.Background(), r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := begin + tc.want + "}\n"; buf.String() != want {
			t.Errorf("%s:\ngot  %swant %s", name, buf.String(), want)
		}
		if !json.Valid(buf.Bytes()) {
			t.Errorf("%s: that is not JSON", name)
		}
	}
}

func TestEndlessValue(t *testing.T) {
	var buf bytes.Buffer
	slog.New(sloghclog.NewHandler(&buf, nil)).Info("m", "v", endless{})
	if !json.Valid(buf.Bytes()) || !strings.Contains(buf.String(), "LogValue") {
		t.Errorf("got %s", buf.String())
	}
}

func TestLevels(t *testing.T) {
	var buf bytes.Buffer
	log := slog.New(sloghclog.NewHandler(&buf, nil))
	for level, want := range map[slog.Level]wire.LogLevel{
		slog.LevelDebug - 8: wire.LogTrace, sloghclog.LevelTrace: wire.LogTrace, slog.LevelDebug - 1: wire.LogTrace,
		slog.LevelDebug: wire.LogDebug, slog.LevelDebug + 1: wire.LogDebug,
		slog.LevelInfo: wire.LogInfo, slog.LevelInfo + 2: wire.LogInfo,
		slog.LevelWarn: wire.LogWarn, slog.LevelError: wire.LogError, slog.LevelError + 4: wire.LogError,
	} {
		buf.Reset()
		log.Log(t.Context(), level, "m")
		if got := hostwire.ParseLogLine(buf.Bytes()).Level; got != want {
			t.Errorf("%v is %v, want %v", level, got, want)
		}
	}
	var lowest slog.LevelVar
	lowest.Set(slog.LevelWarn)
	log = slog.New(sloghclog.NewHandler(&buf, &sloghclog.Options{Level: &lowest}))
	buf.Reset()
	log.Info("not written")
	if log.Warn("written"); strings.Count(buf.String(), "\n") != 1 {
		t.Errorf("wrote %s", buf.String())
	}
}

func TestSource(t *testing.T) {
	var buf bytes.Buffer
	slog.New(sloghclog.NewHandler(&buf, &sloghclog.Options{AddSource: true})).WithGroup("g").Info("m", "k", 1)
	var m map[string]any
	if err := json.Unmarshal(buf.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	if caller, _ := m["@caller"].(string); !strings.Contains(caller, "handler_test.go:") {
		t.Errorf("the caller is %q", caller)
	}
}

// TestDerivedHandlers derives two handlers from one; they must not share anything.
func TestDerivedHandlers(t *testing.T) {
	var buf bytes.Buffer
	base := slog.New(sloghclog.NewHandler(&buf, nil)).With("a", 1).With("b", 2)
	one, two := base.With("c", 3), base.With("d", 4)
	one.Info("m")
	two.Info("m")
	if got := buf.String(); strings.Count(got, `"a":1,"b":2,"c":3}`) != 1 || strings.Count(got, `"a":1,"b":2,"d":4}`) != 1 {
		t.Errorf("got %s", got)
	}
}

// lines fails for a Write that is not one whole line.
type lines struct {
	t     *testing.T
	count int
}

func (l *lines) Write(b []byte) (int, error) {
	if !json.Valid(b) || bytes.Count(b, []byte{'\n'}) != 1 {
		l.t.Errorf("wrote %q", b)
	}
	l.count++
	return len(b), nil
}

func TestConcurrentUse(t *testing.T) {
	out := &lines{t: t}
	log := slog.New(sloghclog.NewHandler(out, nil))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			log := log.With("i", i).WithGroup("g")
			for j := range 100 {
				log.Info("m", "j", j)
			}
		})
	}
	wg.Wait()
	if out.count != 800 {
		t.Errorf("%d lines", out.count)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWriteError(t *testing.T) {
	err := sloghclog.NewHandler(failing{}, nil).Handle(t.Context(), slog.NewRecord(at, slog.LevelInfo, "m", 0))
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// TestHostUnderstands reads a line as a host does, and runs a plugin that logs with the
// handler.
func TestHostUnderstands(t *testing.T) {
	var buf bytes.Buffer
	var log plugin.Logger = slog.New(sloghclog.NewHandler(&buf, &sloghclog.Options{Module: "kv"})).With("id", 7).WithGroup("req")
	log.Warn("slow", "took", time.Second, "err", io.EOF)
	r := hostwire.ParseLogLine(buf.Bytes())
	if r.Level != wire.LogWarn || r.Message != "slow" || r.Module != "kv" || r.Time.IsZero() || fmt.Sprint(r.Attrs) != "[{id 7} {req map[err:EOF took:1s]}]" {
		t.Errorf("the host reads %+v", r)
	}
}
