// Package sloghclog lets a plugin log with log/slog so that its host, built with
// hashicorp/go-plugin or with this module, shows every record with its level,
// module and attributes: its [slog.Handler] writes hclog's JSON lines.
//
//	func main() {
//		log := slog.New(sloghclog.NewHandler(os.Stderr, &sloghclog.Options{Module: "kv"}))
//		plugin.Serve(&plugin.ServeConfig{Logger: log, …})
//	}
//
// Make the handler before plugin.Serve is called: hosts look for log lines on the
// process's own stderr, and Serve puts something else into os.Stderr.
//
// For hosts, [ToLogger] is the other direction: it passes slog's records on to an
// hclog.Logger.
//
// It is a package of its own because a program that imports it links log/slog and
// encoding/json, which is a quarter of a megabyte. plugin.NewLogger does without.
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

// LevelTrace is hclog's trace: what is below slog.LevelDebug.
const LevelTrace = slog.LevelDebug - 4

// Options are the options of a handler. Nil means the zero value.
type Options struct {
	// Level is the lowest level that is written. Nil means all: the host decides
	// what it shows.
	Level slog.Leveler
	// Module is the name that hosts show, hclog's "@module". Empty means none.
	Module string
	// AddSource adds the place in the code, as hclog's "@caller".
	AddSource bool
}

// Handler is a [slog.Handler]. It and what WithAttrs and WithGroup derive from it
// may be used concurrently; each record is one call of Write.
//
// The levels are hclog's: what lies between two of slog's is the lower one, and
// what is below debug is trace. Attributes keep their types as far as JSON has
// them; errors are their texts, durations and times are as their String methods
// or RFC 3339 have them, and groups are objects. What cannot be written as JSON
// is the text that fmt makes of it. Names that hclog uses itself, such as
// "@level", get a '_' in front.
type Handler struct {
	options Options
	out     *output
	scopes  []scope // the first is outside of all groups
}

// scope is what WithGroup opened, with what WithAttrs added to it.
type scope struct {
	group string
	attrs []byte // members of a JSON object, each with a ',' in front
}

// output is shared by the handlers that were derived from one.
type output struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

// NewHandler returns a handler that writes to w, which is os.Stderr as a rule.
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
		last.attrs = slices.Clip(last.attrs) // the other handlers' own
		for _, attr := range attrs {
			last.attrs = appendAttr(last.attrs, attr, top)
		}
	})
}

// WithGroup returns a handler that puts all further attributes into an object of
// that name.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	d := *h
	d.scopes = append(slices.Clip(h.scopes), scope{group: name})
	return &d
}

// derive returns a copy whose last scope was changed.
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
	line = line[:len(line)-len("}\n")] // to go on
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

// levelOf returns hclog's level for one of slog's.
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
