package sloghclog

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strconv"
	"time"
)

// appendAttr appends an attribute as a member of a JSON object, with a leading ','. top
// reports whether hclog's own names are in the same object.
func appendAttr(b []byte, attr slog.Attr, top bool) []byte {
	attr.Value = attr.Value.Resolve()
	if attr.Equal(slog.Attr{}) {
		return b // as slog.Handler requires
	}
	if attr.Value.Kind() != slog.KindGroup {
		if top && reserved(attr.Key) {
			attr.Key = "_" + attr.Key
		}
		return appendValue(append(appendString(append(b, ','), attr.Key), ':'), attr.Value)
	}
	if attr.Key == "" { // its members belong to the enclosing object
		for _, member := range attr.Value.Group() {
			b = appendAttr(b, member, top)
		}
		return b
	}
	var members []byte
	for _, member := range attr.Value.Group() {
		members = appendAttr(members, member, false)
	}
	if len(members) == 0 {
		return b
	}
	b = append(appendString(append(b, ','), attr.Key), ":{"...)
	return append(append(b, members[1:]...), '}')
}

// reserved reports whether hclog gives a name a meaning.
func reserved(key string) bool {
	switch key {
	case "@level", "@message", "@module", "@timestamp", "@caller":
		return true
	}
	return false
}

func appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindString:
		return appendString(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindFloat64:
		if f := v.Float64(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return appendAny(b, f)
		}
		return appendString(b, v.String())
	case slog.KindDuration:
		return appendString(b, v.Duration().String())
	case slog.KindTime:
		return appendString(b, v.Time().Format(time.RFC3339Nano))
	}
	return appendAny(b, v.Any())
}

// appendAny appends a value of any type. A fault in the value's own methods must not end
// the program that logs it.
func appendAny(b []byte, v any) (out []byte) {
	defer func() {
		if p := recover(); p != nil {
			out = appendString(b, fmt.Sprintf("!PANIC: %v", p))
		}
	}()
	if err, ok := v.(error); ok {
		if _, own := v.(json.Marshaler); !own {
			return appendString(b, err.Error())
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		return appendString(b, fmt.Sprint(v))
	}
	return append(b, text...)
}

// appendString appends a JSON string. Bytes that are not UTF-8 become the replacement
// character.
func appendString(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		return append(b, `""`...) // not reached: every string can be encoded
	}
	return append(b, text...)
}

// appendMember appends a member to an open object.
func appendMember(b []byte, key, value string) []byte {
	return appendString(append(appendString(appendComma(b), key), ':'), value)
}

// appendComma ends the previous member, if there is one.
func appendComma(b []byte) []byte {
	if b[len(b)-1] == '{' {
		return b
	}
	return append(b, ',')
}

// trimComma removes the leading comma of members if they are the first in their object.
func trimComma(b, members []byte) []byte {
	if len(members) > 0 && b[len(b)-1] == '{' {
		return members[1:]
	}
	return members
}

// callerOf returns a place in the code in hclog's form.
func callerOf(frame runtime.Frame) string { return frame.File + ":" + strconv.Itoa(frame.Line) }
