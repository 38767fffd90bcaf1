package hostwire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tenonrpc/tenon/wire"
)

// parseLevel parses "@level". Like hclog it ignores case and surrounding space.
func parseLevel(s string) (wire.LogLevel, bool) {
	s = strings.TrimSpace(s)
	for l := wire.LogTrace; l <= wire.LogOff; l++ {
		if strings.EqualFold(s, l.String()) {
			return l, true
		}
	}
	return 0, false
}

// LogAttr is one attribute of a log line.
type LogAttr struct {
	// Key is UTF-8 of at most maxLogKey bytes.
	Key string
	// Value is nil, a bool, a string, a json.Number as the plugin wrote it, or a []any or
	// map[string]any of these. Attributes of text lines are strings. An attribute that
	// nests deeper than maxLogDepth, or holds more than maxLogValues values, is its JSON
	// as a string of at most maxLogText bytes.
	Value any
}

// LogRecord is one line of a plugin's stderr.
type LogRecord struct {
	// Level is the line's level, or wire.LogDebug if it has none.
	Level wire.LogLevel
	// Tagged reports whether the line itself has a level. After a line for which
	// IsPanicStart is true, untagged lines are errors.
	Tagged bool
	// Message is the text, always UTF-8; for an untagged line it is the whole line.
	Message string
	// Module is the logger's name, or "" if unknown.
	Module string
	// Time is the plugin's own timestamp in UTC, or zero if there is none.
	Time time.Time
	// Attrs are the other keys, in the line's order, at most maxLogAttrs. If a key is
	// repeated the last value counts.
	Attrs []LogAttr
	// Truncated reports that something exceeded its limit and was cut.
	Truncated bool
}

// The names of hclog's JSON keys.
const (
	logKeyLevel   = "@level"
	logKeyMessage = "@message"
	logKeyModule  = "@module"
	logKeyTime    = "@timestamp"
)

// ParseLogLine parses one line of a plugin's stderr, with or without its line end, and
// keeps no reference to it. It never fails and never panics. A line is the first of these
// that matches:
//
//   - hclog's JSON: an object with a known "@level". Keys may hold any JSON type; a
//     "@message" or "@module" that is not a string is kept as its JSON. With an unknown
//     "@level", or a "@timestamp" that is not an RFC 3339 time, the line is plain text.
//   - JSON of zap, logrus, slog and others: an object without "@level" that has a level and
//     a message. The level is in "level", "lvl" or "severity", and the message in "msg" or
//     "message", in this order of preference; the time is in "ts", "time" or "timestamp",
//     whichever is first in the line. "@message", "@module" and "@timestamp" take precedence.
//     All other keys are attributes. A level is one of hclog's except "off", or warning,
//     dpanic, panic or fatal, in any case, or between two of slog's, as in INFO+2. A time is
//     RFC 3339, with or without the colon of its zone, or a number of seconds since 1970,
//     read to the microsecond. With any other level or time, or a message that is not a
//     string, the line is plain text.
//   - text after [TRACE], [DEBUG], [INFO], [WARN] or [ERROR], which is removed;
//   - hclog's own text format, "time [LEVEL]  module: message: key=value". That format is
//     ambiguous: a first word that ends in a colon is taken for the module;
//   - plain text: untagged, at wire.LogDebug.
//
// A line longer than maxLogLine is cut.
func ParseLogLine(line []byte) LogRecord {
	line = bytes.TrimRight(line, "\r\n")
	cut := len(line) > maxLogLine
	if cut {
		line = line[:maxLogLine]
	}
	r := parseLogLine(line)
	r.Truncated = r.Truncated || cut
	return r
}

func parseLogLine(line []byte) LogRecord {
	if r, ok := parseJSONLine(line); ok {
		return r
	}
	text := strings.ToValidUTF8(string(line), string(utf8.RuneError))
	if level, rest, ok := cutLevelTag(text); ok {
		return LogRecord{Level: level, Tagged: true, Message: strings.TrimLeft(rest, " ")}
	}
	if r, ok := parsePrettyLine(text); ok {
		return r
	}
	return LogRecord{Level: wire.LogDebug, Message: text}
}

// IsPanicStart reports whether line begins like the Go runtime's report of a crash. From
// there on the untagged lines of the stream are errors.
func IsPanicStart(line []byte) bool {
	return bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: "))
}

// parseJSONLine parses a JSON line; ok is false if line is not one.
func parseJSONLine(line []byte) (r LogRecord, ok bool) {
	// Valid first: it bounds nesting, and no error can then occur half-way.
	if start := bytes.TrimLeft(line, " \t"); len(start) == 0 || start[0] != '{' || !json.Valid(line) {
		return r, false
	}
	var keys logKeys
	ok = r.eachKey(line, func(key string, raw json.RawMessage) bool {
		keys.note(key)
		switch key {
		case logKeyLevel:
			level, _ := jsonText(raw)
			r.Level, r.Tagged = parseLevel(level)
		case logKeyMessage:
			r.Message, _ = jsonText(raw)
		case logKeyModule:
			r.Module, _ = jsonText(raw)
		case logKeyTime:
			text, isString := jsonText(raw)
			t, err := parseLogTime(time.RFC3339Nano, text)
			if !isString || err != nil {
				return false
			}
			r.Time = t
		default:
			r.setJSONAttr(key, raw)
		}
		return true
	})
	if ok && keys.level != logKeyLevel {
		return parseOtherJSONLine(line, keys)
	}
	return r, ok && r.Tagged
}

// eachKey calls f with each key of a line's object and its value, and reports whether f
// returned true for all of them.
func (r *LogRecord) eachKey(line []byte, f func(key string, raw json.RawMessage) bool) bool {
	dec := json.NewDecoder(bytes.NewReader(line))
	if _, err := dec.Token(); err != nil { // the opening brace
		return false
	}
	for keys := 0; dec.More(); keys++ {
		if keys == maxLogKeys {
			r.Truncated = true
			break
		}
		token, err := dec.Token()
		key, isKey := token.(string)
		var raw json.RawMessage
		if err != nil || !isKey || dec.Decode(&raw) != nil || !f(key, raw) {
			return false
		}
	}
	return true
}

// setJSONAttr adds an attribute from its JSON, within the limits.
func (r *LogRecord) setJSONAttr(key string, raw json.RawMessage) {
	value, cut := jsonValue(raw)
	r.Truncated = r.Truncated || cut
	r.setAttr(key, value)
}

// setAttr adds or replaces an attribute, within the limits.
func (r *LogRecord) setAttr(key string, value any) {
	key, cut := cutText(key, maxLogKey)
	r.Truncated = r.Truncated || cut
	for i := range r.Attrs {
		if r.Attrs[i].Key == key {
			r.Attrs[i].Value = value
			return
		}
	}
	if len(r.Attrs) == maxLogAttrs {
		r.Truncated = true
		return
	}
	r.Attrs = append(r.Attrs, LogAttr{Key: key, Value: value})
}

// jsonText returns the content of a JSON string, or the JSON of any other value.
func jsonText(raw json.RawMessage) (text string, isString bool) {
	if json.Unmarshal(raw, &text) == nil && raw[0] == '"' {
		return text, true
	}
	return strings.ToValidUTF8(string(raw), string(utf8.RuneError)), false
}

// jsonValue decodes an attribute's value within the limits.
func jsonValue(raw json.RawMessage) (value any, cut bool) {
	if depth, values := jsonShape(raw); depth <= maxLogDepth && values <= maxLogValues {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if dec.Decode(&value) == nil {
			return value, false
		}
	}
	text, _ := cutText(string(raw), maxLogText)
	return text, true
}

// jsonShape measures valid JSON without decoding it: how deep it nests, and at
// most how many values it holds.
func jsonShape(raw []byte) (depth, values int) {
	inString, open := false, 0
	values = 1
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			open++
			values++
			depth = max(depth, open)
		case c == '}' || c == ']':
			open--
		case c == ',':
			values++
		}
	}
	return depth, values
}

// parseLogTime parses a timestamp and converts it to UTC. The local time zone plays no
// part. The year must have four digits in UTC too, so that it can be written.
func parseLogTime(layout, s string) (time.Time, error) {
	t, err := time.ParseInLocation(layout, s, time.UTC)
	if err != nil {
		return time.Time{}, err
	}
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("year %d is out of range", t.Year())
	}
	return t, nil
}

// cutText cuts s to at most max bytes, between UTF-8 characters.
func cutText(s string, max int) (text string, cut bool) {
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	if len(s) <= max {
		return s, false
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max], true
}
