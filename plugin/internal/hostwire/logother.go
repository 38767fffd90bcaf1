package hostwire

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/wire"
)

// logKeys are the keys of a JSON line that hold its level, message and time, or "".
type logKeys struct{ level, message, time string }

// note considers a key of the line. Names of levels and messages are ranked: logrus sorts
// its keys, so that a field "message" comes before its own "msg". For times the first key
// counts: zap and slog write theirs before all fields, which may have any name.
func (k *logKeys) note(key string) {
	switch key {
	case logKeyLevel:
		k.level = key
	case "level":
		if k.level != logKeyLevel {
			k.level = key
		}
	case "lvl":
		if k.level == "" || k.level == "severity" {
			k.level = key
		}
	case "severity":
		if k.level == "" {
			k.level = key
		}
	case logKeyMessage:
		k.message = key
	case "msg":
		if k.message != logKeyMessage {
			k.message = key
		}
	case "message":
		if k.message == "" {
			k.message = key
		}
	case logKeyTime:
		k.time = key
	case "ts", "time", "timestamp":
		if k.time == "" {
			k.time = key
		}
	}
}

// parseOtherJSONLine parses a JSON line of a logger other than hclog; ok is false if line
// is not one. An object that only happens to have a level is not a log line: it must have
// a message.
func parseOtherJSONLine(line []byte, keys logKeys) (r LogRecord, ok bool) {
	if keys.level == "" || keys.message == "" {
		return r, false
	}
	ok = r.eachKey(line, func(key string, raw json.RawMessage) (ok bool) {
		switch {
		case key == keys.level:
			r.Level, r.Tagged = parseOtherLevel(raw)
		case key == keys.message:
			r.Message, ok = jsonText(raw)
			return ok
		case key == keys.time && key != "":
			r.Time, ok = parseOtherTime(raw)
			return ok
		case key == logKeyModule:
			r.Module, _ = jsonText(raw)
		default:
			r.setJSONAttr(key, raw)
		}
		return true
	})
	return r, ok && r.Tagged
}

// otherLevels are the names of levels in zap, logrus, slog and zerolog.
var otherLevels = [...]struct {
	name  string
	level wire.LogLevel
}{
	{"trace", wire.LogTrace},
	{"debug", wire.LogDebug},
	{"info", wire.LogInfo},
	{"warn", wire.LogWarn},
	{"warning", wire.LogWarn},
	{"error", wire.LogError},
	{"dpanic", wire.LogError},
	{"panic", wire.LogError},
	{"fatal", wire.LogError},
}

// parseOtherLevel parses the level of a logger other than hclog.
func parseOtherLevel(raw json.RawMessage) (wire.LogLevel, bool) {
	name, isString := jsonText(raw)
	if !isString {
		return 0, false
	}
	name = strings.TrimSpace(name)
	for _, l := range otherLevels {
		if strings.EqualFold(name, l.name) {
			return l.level, true
		}
	}
	return parseSlogLevel(name)
}

// parseSlogLevel parses a level that slog has no name for: one of its four with an
// offset, which is negative only below debug.
func parseSlogLevel(s string) (wire.LogLevel, bool) {
	at := strings.IndexAny(s, "+-")
	if at < 0 {
		return 0, false
	}
	if _, ok := wire.Decimal(s[at+1:], math.MaxInt32); !ok {
		return 0, false
	}
	level, ok := parseLevel(s[:at])
	switch {
	case !ok || level == wire.LogTrace || level == wire.LogOff:
		return 0, false
	case s[at] == '+':
		return level, true
	}
	return wire.LogTrace, level == wire.LogDebug
}

// parseOtherTime parses the time of a logger other than hclog. Zap's are seconds by
// default; as a float64 they are precise to a microsecond.
func parseOtherTime(raw json.RawMessage) (time.Time, bool) {
	text, isString := jsonText(raw)
	if isString {
		for _, layout := range prettyTimeLayouts {
			if t, err := parseLogTime(layout, text); err == nil {
				return t, true
			}
		}
		return time.Time{}, false
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds < 0 || seconds >= maxLogSeconds {
		return time.Time{}, false
	}
	t := time.UnixMicro(int64(math.Round(seconds * 1e6))).UTC()
	return t, t.Year() <= 9999
}
