package wire_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/testdata/vectors"
	"github.com/tenonrpc/tenon/wire"
)

var lineTime = time.Date(2025, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

func TestAppendLogLine(t *testing.T) {
	got := string(wire.AppendLogLine(nil, lineTime, wire.LogWarn, "kv", "say \"hi\"\n\x01é\xff", "n", 3, "ok", true, "err", errors.New("no"), "d", time.Second, "nil", nil))
	want := `{"@level":"warn","@message":"say \"hi\"\n\u0001é` + "\uFFFD" + `","@module":"kv","@timestamp":"2025-03-04T05:06:07.890000Z","n":3,"ok":true,"err":"no","d":"1s","nil":null}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	nasty := "\x7f\u009b\u202e\u2028日\u200d"
	line := string(wire.AppendLogLine(nil, lineTime, wire.LogWarn, "", nasty))
	if want := `"@message":"\u007f\u009b\u202e\u2028日` + "\u200d\""; !strings.Contains(line, want) {
		t.Errorf("%q is not in %s", want, line)
	}
	var read map[string]string
	if err := json.Unmarshal([]byte(line), &read); err != nil || read["@message"] != nasty {
		t.Errorf("%s reads as %q, %v", line, read, err)
	}
	line = string(wire.AppendLogLine(nil, time.Time{}, wire.LogTrace, "", ""))
	if want := `{"@level":"trace","@message":""}` + "\n"; line != want {
		t.Errorf("without time and module: got %s, want %s", line, want)
	}
	for _, args := range [][]any{{"alone"}, {1, 2}, {nil}, {"k", "v", "odd"}} {
		line := wire.AppendLogLine(nil, lineTime, wire.LogInfo, "", "m", args...)
		if !json.Valid(line) {
			t.Errorf("%v gives %s, which is not JSON", args, line)
		}
	}
}

func FuzzAppendLogLine(f *testing.F) {
	f.Add("module", "message", "key", "value")
	f.Add("", "\x00\"\\\x7f\xf0\x9f", "@level", "\u2028")
	f.Fuzz(func(t *testing.T, module, msg, key, value string) {
		line := wire.AppendLogLine(nil, lineTime, wire.LogError, module, msg, key, value)
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	})
}

func TestLogLevelString(t *testing.T) {
	vectors.WantText(t, "no level", wire.LogLevel(0).String(), "LogLevel(0)")
	vectors.WantText(t, "an unknown level", wire.LogLevel(-1).String(), "LogLevel(-1)")
	vectors.WantText(t, "the highest level", wire.LogOff.String(), "off")
}
