package wire_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tenonrpc/tenon/wire"
)

func TestLogVectors(t *testing.T) {
	runVectors(t, "log", func(t *testing.T, v *vector) {
		r := wire.ParseLogLine([]byte(v.text(t, "input")))
		if v.wantError(t, nil) {
			return
		}
		wantText(t, "level", r.Level.String(), v.get(t, "level"))
		wantText(t, "tagged", strconv.FormatBool(r.Tagged), v.get(t, "tagged"))
		wantText(t, "message", r.Message, v.text(t, "message"))
		wantText(t, "truncated", strconv.FormatBool(r.Truncated), v.optional(t, "truncated", "false"))
		module := unquote(t, v.name, v.optional(t, "module", `""`))
		wantText(t, "module", r.Module, module)
		stamp := ""
		if !r.Time.IsZero() {
			stamp = r.Time.Format(time.RFC3339Nano)
		}
		wantText(t, "time", stamp, v.optional(t, "time", ""))
		attrs := v.all("attr")
		if len(attrs) != len(r.Attrs) {
			t.Fatalf("got %d attributes %.300v, want %d", len(r.Attrs), r.Attrs, len(attrs))
		}
		for i, attr := range attrs {
			key, value, _ := strings.Cut(attr, " = ")
			wantText(t, "key", r.Attrs[i].Key, unquote(t, v.name, key))
			got, err := json.Marshal(r.Attrs[i].Value)
			if err != nil {
				t.Fatal(err)
			}
			wantText(t, "value of "+key, string(got), unquote(t, v.name, value))
		}
	})
}

func TestIsPanicStart(t *testing.T) {
	for line, want := range map[string]bool{
		"panic: oops":                 true,
		"fatal error: all goroutines": true,
		"panic:":                      false,
		" panic: oops":                false,
		"[ERROR] panic: oops":         false,
		"":                            false,
	} {
		if got := wire.IsPanicStart([]byte(line)); got != want {
			t.Errorf("IsPanicStart(%q) = %v, want %v", line, got, want)
		}
	}
}

func TestLogAppend(t *testing.T) {
	r := wire.LogRecord{
		Level: wire.LogWarn, Message: "slow", Module: "kv",
		Time: time.Date(2025, 1, 2, 4, 4, 5, 6789, time.FixedZone("", 3600)),
		Attrs: []wire.LogAttr{
			{Key: "n", Value: 3}, {Key: "@level", Value: "mine"},
			{Key: "bad", Value: math.Inf(1)}, {Key: "list", Value: []any{"a", nil}},
		},
	}
	wantText(t, "line", string(r.Append(nil)),
		`{"@level":"warn","@message":"slow","@module":"kv","@timestamp":"2025-01-02T03:04:05.000006Z",`+
			`"n":3,"_@level":"mine","bad":"+Inf","list":["a",null]}`+"\n")
	wantText(t, "empty record", string(wire.LogRecord{}.Append(nil)), `{"@message":""}`+"\n")
}

func TestLogLevelString(t *testing.T) {
	wantText(t, "no level", wire.LogLevel(0).String(), "LogLevel(0)")
	wantText(t, "an unknown level", wire.LogLevel(-1).String(), "LogLevel(-1)")
	wantText(t, "the highest level", wire.LogOff.String(), "off")
}

func FuzzLog(f *testing.F) {
	for _, v := range loadVectors(f, "log") {
		f.Add([]byte(v.text(f, "input")))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r := wire.ParseLogLine(line)
		checkLogLimits(t, r)
		if !r.Tagged {
			if r.Level != wire.LogDebug || r.Module != "" || !r.Time.IsZero() || r.Attrs != nil {
				t.Fatalf("%q is untagged but has parts: %+v", line, r)
			}
			return
		}
		// Written as JSON a tagged line reads the same, but for time below
		// the microsecond and for what was cut the first time.
		r.Time = r.Time.Truncate(time.Microsecond)
		for _, a := range r.Attrs {
			if strings.HasPrefix(a.Key, "@") {
				return // text lines may use the names of known keys
			}
		}
		written := r.Append(nil)
		if len(written) > wire.MaxLogLine {
			return // escapes made it longer than a line may be
		}
		again := wire.ParseLogLine(written)
		r.Truncated = again.Truncated
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("%q reads as\n%+v\nand written and read again as\n%+v", line, r, again)
		}
	})
}

// checkLogLimits checks the limits that LogRecord and LogAttr promise.
func checkLogLimits(t *testing.T, r wire.LogRecord) {
	t.Helper()
	if r.Level < wire.LogTrace || r.Level > wire.LogOff {
		t.Fatalf("level %v", r.Level)
	}
	if !utf8.ValidString(r.Message) || !utf8.ValidString(r.Module) {
		t.Fatalf("message %q or module %q is not UTF-8", r.Message, r.Module)
	}
	if len(r.Attrs) > wire.MaxLogAttrs {
		t.Fatalf("%d attributes", len(r.Attrs))
	}
	for _, a := range r.Attrs {
		if !utf8.ValidString(a.Key) || len(a.Key) > wire.MaxLogKey {
			t.Fatalf("key %q", a.Key)
		}
		values := 0
		if depth := logValueDepth(t, a.Value, &values); depth > wire.MaxLogDepth || values > wire.MaxLogValues {
			t.Fatalf("attribute %q nests %d deep and holds %d values", a.Key, depth, values)
		}
	}
}

func logValueDepth(t *testing.T, value any, values *int) (depth int) {
	t.Helper()
	*values++
	switch value := value.(type) {
	case nil, bool, json.Number:
	case string:
		if !utf8.ValidString(value) {
			t.Fatalf("value %q is not UTF-8", value)
		}
	case []any:
		for _, v := range value {
			depth = max(depth, logValueDepth(t, v, values))
		}
		depth++
	case map[string]any:
		for _, v := range value {
			depth = max(depth, logValueDepth(t, v, values))
		}
		depth++
	default:
		t.Fatalf("value of type %T", value)
	}
	return depth
}
