package hostwire_test

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire"
)

func TestLogVectors(t *testing.T) {
	vectors.Run(t, "log", nil, func(t *testing.T, v *vectors.Vector) {
		r := hostwire.ParseLogLine([]byte(v.Text(t, "input")))
		if v.WantError(t, nil) {
			return
		}
		vectors.WantText(t, "level", r.Level.String(), v.Get(t, "level"))
		vectors.WantText(t, "tagged", strconv.FormatBool(r.Tagged), v.Get(t, "tagged"))
		vectors.WantText(t, "message", r.Message, v.Text(t, "message"))
		vectors.WantText(t, "truncated", strconv.FormatBool(r.Truncated), v.Optional(t, "truncated", "false"))
		module := v.Unquote(t, v.Optional(t, "module", `""`))
		vectors.WantText(t, "module", r.Module, module)
		stamp := ""
		if !r.Time.IsZero() {
			stamp = r.Time.Format(time.RFC3339Nano)
		}
		vectors.WantText(t, "time", stamp, v.Optional(t, "time", ""))
		attrs := v.All("attr")
		if len(attrs) != len(r.Attrs) {
			t.Fatalf("got %d attributes %.300v, want %d", len(r.Attrs), r.Attrs, len(attrs))
		}
		for i, attr := range attrs {
			key, value, _ := strings.Cut(attr, " = ")
			vectors.WantText(t, "key", r.Attrs[i].Key, v.Unquote(t, key))
			got, err := json.Marshal(r.Attrs[i].Value)
			if err != nil {
				t.Fatal(err)
			}
			vectors.WantText(t, "value of "+key, string(got), v.Unquote(t, value))
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
		if got := hostwire.IsPanicStart([]byte(line)); got != want {
			t.Errorf("IsPanicStart(%q) = %v, want %v", line, got, want)
		}
	}
}

func FuzzLog(f *testing.F) {
	for _, v := range vectors.Load(f, "log") {
		f.Add([]byte(v.Text(f, "input")))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r := hostwire.ParseLogLine(line)
		checkLogLimits(t, r)
		if !r.Tagged {
			if r.Level != wire.LogDebug || r.Module != "" || !r.Time.IsZero() || r.Attrs != nil {
				t.Fatalf("%q is untagged but has parts: %+v", line, r)
			}
			return
		}
		// Written as JSON a tagged line reads the same, except time below the microsecond
		// and what was cut the first time.
		r.Time = r.Time.Truncate(time.Microsecond)
		for _, a := range r.Attrs {
			if strings.HasPrefix(a.Key, "@") {
				return // text lines may use the names of known keys
			}
		}
		written := appendRecord(t, r)
		if len(written) > hostwire.MaxLogLine {
			return // escapes made it longer than a line may be
		}
		again := hostwire.ParseLogLine(written)
		r.Truncated = again.Truncated
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("%q reads as\n%+v\nand written and read again as\n%+v", line, r, again)
		}
	})
}

// appendRecord returns the record as hclog's JSON line.
func appendRecord(t *testing.T, r hostwire.LogRecord) []byte {
	t.Helper()
	line := wire.AppendLogLine(nil, r.Time, r.Level, r.Module, r.Message)
	line = line[:len(line)-len("}\n")]
	for _, a := range r.Attrs {
		key, err := json.Marshal(a.Key)
		value, err2 := json.Marshal(a.Value)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		line = append(append(append(append(line, ','), key...), ':'), value...)
	}
	return append(line, '}', '\n')
}

// checkLogLimits checks the limits that LogRecord and LogAttr promise.
func checkLogLimits(t *testing.T, r hostwire.LogRecord) {
	t.Helper()
	if r.Level < wire.LogTrace || r.Level > wire.LogOff {
		t.Fatalf("level %v", r.Level)
	}
	if !utf8.ValidString(r.Message) || !utf8.ValidString(r.Module) {
		t.Fatalf("message %q or module %q is not UTF-8", r.Message, r.Module)
	}
	if len(r.Attrs) > hostwire.MaxLogAttrs {
		t.Fatalf("%d attributes", len(r.Attrs))
	}
	for _, a := range r.Attrs {
		if !utf8.ValidString(a.Key) || len(a.Key) > hostwire.MaxLogKey {
			t.Fatalf("key %q", a.Key)
		}
		values := 0
		if depth := logValueDepth(t, a.Value, &values); depth > hostwire.MaxLogDepth || values > hostwire.MaxLogValues {
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
