package hostwire

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/wire"
)

// logKeys are the keys under which a JSON line has its parts, "" for those that
// it has not.
type logKeys struct{ level, message, time string }

// note takes a key of the line into account. Names of levels and messages have
// an order: logrus sorts its keys, so that a field "message" stands before its
// own "msg". For times the first one counts: zap and slog write theirs before
// all fields, whose names may be any.
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

// parseOtherJSONLine reads a JSON line of another logger than hclog; ok is false
// if line is none. An object that only happens to have a level is not taken for
// a log line: a message must be there.
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

// parseOtherLevel reads the level of another logger.
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

// parseSlogLevel reads a level that slog has no name for: one of its four and a
// distance from it, which is negative only below debug.
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

// parseOtherTime reads the time of another logger. Zap's are seconds, unless it
// is told otherwise; as a float64 they are good for a microsecond.
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
