package wire

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// LogLevel is the level of a plugin's log line.
type LogLevel int8

// The levels of hclog, in ascending order. The zero LogLevel is none of them.
const (
	LogTrace LogLevel = 1 + iota
	LogDebug
	LogInfo
	LogWarn
	LogError
	LogOff // only for filters; hardly any line has it
)

var logLevelNames = [...]string{LogTrace: "trace", LogDebug: "debug", LogInfo: "info", LogWarn: "warn", LogError: "error", LogOff: "off"}

// String returns the level's name as "@level" has it, such as "info".
func (l LogLevel) String() string {
	if l < LogTrace || l > LogOff {
		return fmt.Sprintf("LogLevel(%d)", int8(l))
	}
	return logLevelNames[l]
}

// logTimeLayout is the layout of @timestamp in hclog's JSON lines.
const logTimeLayout = "2006-01-02T15:04:05.000000Z07:00"

// AppendLogLine appends one hclog JSON line with its newline. A plugin writes such lines
// to its stderr so that a host knows level, module and attributes. args are alternating
// keys and values, as for slog and hclog; a value that is not a string, number or boolean
// is written as fmt prints it. An argument without a partner is kept under the key
// "!BADKEY", as in slog. A zero time and an empty module are left out. It does not use
// encoding/json, so that no plugin must link that for its log.
func AppendLogLine(b []byte, at time.Time, level LogLevel, module, msg string, args ...any) []byte {
	b = append(b, `{"@level":`...)
	b = appendJSONString(b, level.String())
	b = append(b, `,"@message":`...)
	b = appendJSONString(b, msg)
	if module != "" {
		b = append(b, `,"@module":`...)
		b = appendJSONString(b, module)
	}
	if !at.IsZero() {
		b = append(b, `,"@timestamp":`...)
		b = appendJSONString(b, at.Format(logTimeLayout))
	}
	for len(args) > 0 {
		key, ok := args[0].(string)
		if !ok || len(args) == 1 {
			key, args = "!BADKEY", append([]any{""}, args...)
		}
		b = append(b, ',')
		b = appendJSONString(b, key)
		b = append(b, ':')
		b = appendJSONValue(b, args[1])
		args = args[2:]
	}
	return append(b, '}', '\n')
}

func appendJSONValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendJSONString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint32:
		return strconv.AppendUint(b, uint64(v), 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case nil:
		return append(b, "null"...)
	case error:
		return appendJSONString(b, v.Error())
	}
	return appendJSONString(b, fmt.Sprint(v))
}

// appendJSONString appends s as a JSON string (RFC 8259 §7). Bytes that are not UTF-8
// become the replacement character. What a terminal would act on is escaped, because
// people read logs there.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c < 0x20 || c == 0x7f:
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRuneInString(s[i:]) // an invalid byte decodes as U+FFFD
			if r <= 0xffff && r != utf8.RuneError && shown(s[i:]) == 0 {
				b = append(b, '\\', 'u')
				for shift := 12; shift >= 0; shift -= 4 {
					b = append(b, "0123456789abcdef"[r>>shift&15])
				}
			} else {
				b = utf8.AppendRune(b, r)
			}
			i += n
			continue
		}
		i++
	}
	return append(b, '"')
}
