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

// parseLevel reads "@level". Like hclog it ignores case and space around it.
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
	// Value is nil, a bool, a string, a json.Number as the plugin wrote it, a
	// []any or a map[string]any of these. Attributes of text lines are
	// strings. What nests deeper than maxLogDepth, or holds more than
	// maxLogValues values, is its JSON as a string of at most maxLogText bytes.
	Value any
}

// LogRecord is one line of a plugin's stderr.
type LogRecord struct {
	// Level is the line's level, and wire.LogDebug if it has none.
	Level wire.LogLevel
	// Tagged reports whether the line itself said its level. After a line for
	// which IsPanicStart is true, untagged lines are errors.
	Tagged bool
	// Message is the text, always UTF-8; of an untagged line it is the line.
	Message string
	// Module is the logger's name, "" if unknown.
	Module string
	// Time is the plugin's own time stamp in UTC, zero if there is none.
	Time time.Time
	// Attrs are the other keys, in the line's order, at most maxLogAttrs. Of a
	// repeated key the last value counts.
	Attrs []LogAttr
	// Truncated reports that something was over its limit and was cut.
	Truncated bool
}

// The names of hclog's JSON keys.
const (
	logKeyLevel   = "@level"
	logKeyMessage = "@message"
	logKeyModule  = "@module"
	logKeyTime    = "@timestamp"
)

// ParseLogLine reads one line of a plugin's stderr, with or without its line
// end, and keeps nothing of it. It never fails and never panics. A line is, in
// this order:
//
//   - hclog's JSON: an object with a known "@level". Keys may hold any JSON
//     type; a "@message" or "@module" that is no string is kept as its JSON.
//     With an unknown "@level", or with a "@timestamp" that is no RFC 3339
//     time, the line is plain text.
//   - JSON of zap, logrus, slog and others: an object without "@level" that has
//     a level and a message. The level is in "level", "lvl" or "severity", the
//     message in "msg" or "message", the first of these that is there, and the
//     time in "ts", "time" or "timestamp", the first in the line; "@message",
//     "@module" and "@timestamp" come before them. What is not taken for one of
//     these is an attribute. A level is one of hclog's but "off", or warning,
//     dpanic, panic or fatal, in any case, or between two of slog's, as in
//     INFO+2. A time is RFC 3339, with or without the colon of its zone, or a
//     number of seconds since 1970, read to the microsecond. With anything else
//     for a level or a time, or a message that is no string, the line is plain
//     text.
//   - text behind [TRACE], [DEBUG], [INFO], [WARN] or [ERROR], which is removed;
//   - hclog's own text form, "time [LEVEL]  module: message: key=value". That
//     form is ambiguous: a first word that ends in a colon is taken for the
//     module;
//   - plain text: untagged, at wire.LogDebug.
//
// Of a line over maxLogLine the rest is cut.
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

// IsPanicStart reports whether line is how the Go runtime begins its last
// words. From there on the untagged lines of the stream are errors.
func IsPanicStart(line []byte) bool {
	return bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: "))
}

// parseJSONLine reads a JSON line; ok is false if line is none.
func parseJSONLine(line []byte) (r LogRecord, ok bool) {
	// Valid first: it bounds nesting, and no error can occur half-way.
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

// eachKey calls f with the keys of a line's object and their values, and reports
// whether it returned true for all of them.
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

// setJSONAttr adds an attribute as JSON has it, within the limits.
func (r *LogRecord) setJSONAttr(key string, raw json.RawMessage) {
	value, cut := jsonValue(raw)
	r.Truncated = r.Truncated || cut
	r.setAttr(key, value)
}

// setAttr adds an attribute, within the limits, or replaces it.
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

// jsonText returns a JSON string's content, or the JSON of any other value.
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

// parseLogTime reads a time stamp as UTC. The local time zone plays no part,
// and the year must have four digits in UTC too, so that it can be written.
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

// cutText cuts s to at most max bytes of whole UTF-8 characters.
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
