// Package sloghclog has a [slog.Handler] for plugins that writes hclog's JSON lines. The
// host, built with hashicorp/go-plugin or with this module, shows every record with its
// level, module and attributes.
//
//	func main() {
//		log := slog.New(sloghclog.NewHandler(os.Stderr, &sloghclog.Options{Module: "kv"}))
//		plugin.Serve(&plugin.ServeConfig{Logger: log, …})
//	}
//
// Make the handler before plugin.Serve is called: hosts look for log lines on the
// process's own stderr, and Serve replaces os.Stderr.
//
// For hosts, [ToLogger] does the reverse: it passes slog's records on to an hclog.Logger.
//
// This is a package of its own because it links log/slog and encoding/json, which adds a
// quarter of a megabyte to a program. plugin.NewLogger needs neither.
package sloghclog

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"

	"github.com/tenonrpc/tenon/wire"
)

// LevelTrace is hclog's level trace, which stands for all levels below slog.LevelDebug.
const LevelTrace = slog.LevelDebug - 4

// Options are the options of a Handler. Nil means the zero value.
type Options struct {
	// Level is the lowest level that is written. Nil means all levels: the host chooses
	// what it shows.
	Level slog.Leveler
	// Module is the name that hosts show, hclog's "@module". Empty means none.
	Module string
	// AddSource adds the place in the code, hclog's "@caller".
	AddSource bool
}

// Handler is a [slog.Handler]. It may be used concurrently, also together with the
// handlers derived from it by WithAttrs and WithGroup; each record is one call of Write.
//
// The levels are hclog's: a level between two of slog's becomes the lower one, and a
// level below debug becomes trace. Attributes keep their types as far as JSON has them:
// errors are written as their texts, durations by their String method, times as in RFC
// 3339, and groups as objects. What cannot be encoded as JSON is written as fmt prints
// it. Names that hclog uses itself, such as "@level", get a '_' in front.
type Handler struct {
	options Options
	out     *output
	scopes  []scope // the first is outside of all groups
}

// scope is a group opened by WithGroup, with the attributes added to it by WithAttrs.
type scope struct {
	group string
	attrs []byte // members of a JSON object, each with a leading ','
}

// output is shared by a handler and all handlers derived from it.
type output struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

// NewHandler returns a handler that writes to w, usually os.Stderr. A nil options means
// the zero value.
func NewHandler(w io.Writer, options *Options) *Handler {
	h := &Handler{out: &output{w: w}, scopes: make([]scope, 1)}
	if options != nil {
		h.options = *options
	}
	return h
}

// Enabled reports whether records of this level are written.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	return h.options.Level == nil || level >= h.options.Level.Level()
}

// WithAttrs returns a handler that adds the attributes to each record.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.derive(func(last *scope, top bool) {
		last.attrs = slices.Clip(last.attrs) // so that other handlers do not share the array
		for _, attr := range attrs {
			last.attrs = appendAttr(last.attrs, attr, top)
		}
	})
}

// WithGroup returns a handler that puts all further attributes into an object of that
// name.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	d := *h
	d.scopes = append(slices.Clip(h.scopes), scope{group: name})
	return &d
}

// derive returns a copy of h whose last scope has been changed by change.
func (h *Handler) derive(change func(last *scope, top bool)) *Handler {
	d := *h
	d.scopes = slices.Clone(h.scopes)
	change(&d.scopes[len(d.scopes)-1], len(d.scopes) == 1)
	return &d
}

// Handle writes one record as one line.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	var own []byte
	r.Attrs(func(attr slog.Attr) bool {
		own = appendAttr(own, attr, len(h.scopes) == 1)
		return true
	})
	// Groups that would be empty are left out.
	scopes := h.scopes
	for len(own) == 0 && len(scopes) > 1 && len(scopes[len(scopes)-1].attrs) == 0 {
		scopes = scopes[:len(scopes)-1]
	}
	line := wire.AppendLogLine(nil, r.Time.UTC(), levelOf(r.Level), h.options.Module, r.Message)
	line = line[:len(line)-len("}\n")] // more members follow
	if h.options.AddSource && r.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		line = appendMember(line, "@caller", callerOf(frame))
	}
	for i, s := range scopes {
		if i > 0 {
			line = append(appendString(appendComma(line), s.group), ":{"...)
		}
		line = append(line, trimComma(line, s.attrs)...)
	}
	line = append(line, trimComma(line, own)...)
	for range scopes {
		line = append(line, '}')
	}
	line = append(line, '\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(line)
	return err
}

// levelOf returns hclog's level for a level of slog.
func levelOf(level slog.Level) wire.LogLevel {
	switch {
	case level < slog.LevelDebug:
		return wire.LogTrace
	case level < slog.LevelInfo:
		return wire.LogDebug
	case level < slog.LevelWarn:
		return wire.LogInfo
	case level < slog.LevelError:
		return wire.LogWarn
	}
	return wire.LogError
}
