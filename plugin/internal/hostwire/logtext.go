package hostwire

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tenonrpc/tenon/wire"
)

// logTags are the level tags of text lines.
var logTags = [...]struct {
	tag   string
	level wire.LogLevel
}{
	{"[TRACE]", wire.LogTrace},
	{"[DEBUG]", wire.LogDebug},
	{"[INFO]", wire.LogInfo},
	{"[WARN]", wire.LogWarn},
	{"[ERROR]", wire.LogError},
}

// cutLevelTag splits a level tag off the start of s.
func cutLevelTag(s string) (level wire.LogLevel, rest string, ok bool) {
	for _, t := range logTags {
		if rest, ok := strings.CutPrefix(s, t.tag); ok {
			return t.level, rest, true
		}
	}
	return 0, s, false
}

// prettyTimeLayouts are the timestamp layouts of hclog's text format: its own, whose zone
// has no colon, and RFC 3339.
var prettyTimeLayouts = [...]string{"2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999Z07:00"}

// parsePrettyLine parses hclog's text format: "2025-01-01T12:00:00.000Z [INFO]  module:
// message: key=value".
func parsePrettyLine(s string) (r LogRecord, ok bool) {
	stamp, rest, found := strings.Cut(s, " ")
	if !found {
		return r, false
	}
	r.Level, rest, ok = cutLevelTag(rest)
	if !ok {
		return LogRecord{}, false
	}
	timed := false
	for _, layout := range prettyTimeLayouts {
		if t, err := parseLogTime(layout, stamp); err == nil {
			r.Time, timed = t, true
			break
		}
	}
	if !timed {
		return LogRecord{}, false
	}
	r.Tagged = true
	rest = strings.TrimLeft(rest, " ")
	if module, after, found := strings.Cut(rest, ": "); found && isModule(module) {
		r.Module, rest = module, after
	}
	r.Message = rest
	r.cutPrettyAttrs()
	return r, true
}

// isModule reports whether s looks like a logger's name and not like text.
func isModule(s string) bool {
	if s == "" {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("._-/@", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// cutPrettyAttrs moves the "key=value" pairs at the end of r.Message to r.Attrs:
// everything after the first ": " that is followed by nothing but pairs.
func (r *LogRecord) cutPrettyAttrs() {
	s, from := r.Message, 0
	for range maxPrettyTries {
		i := strings.Index(s[from:], ": ")
		if i < 0 {
			return
		}
		at := from + i
		from = at + len(": ")
		if attrs := (LogRecord{}); attrs.parsePairs(s[from:]) {
			r.Message, r.Attrs, r.Truncated = s[:at], attrs.Attrs, attrs.Truncated
			return
		}
	}
}

// parsePairs parses s as at most maxLogAttrs pairs separated by spaces, and reports
// whether it is nothing else. A value is a quoted Go string, a list in brackets or text
// without spaces.
func (r *LogRecord) parsePairs(s string) bool {
	for range maxLogAttrs {
		key, rest, ok := strings.Cut(s, "=")
		if !ok || key == "" || strings.ContainsAny(key, " \"") {
			return false
		}
		var value string
		switch {
		case strings.HasPrefix(rest, `"`):
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return false
			}
			rest = rest[len(quoted):]
			value, _ = strconv.Unquote(quoted) // QuotedPrefix has checked it
			value = strings.ToValidUTF8(value, string(utf8.RuneError))
		case strings.HasPrefix(rest, "["):
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return false
			}
			value, rest = rest[:end+1], rest[end+1:]
		default:
			end := strings.IndexByte(rest, ' ')
			if end < 0 {
				end = len(rest)
			}
			value, rest = rest[:end], rest[end:]
		}
		r.setAttr(key, value)
		if rest = strings.TrimRight(rest, " "); rest == "" {
			return true
		}
		if rest[0] != ' ' {
			return false
		}
		s = rest[1:]
	}
	return false
}
