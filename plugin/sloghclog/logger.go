package sloghclog

import (
	"context"
	"log/slog"
	"reflect"
	"slices"

	"github.com/tenonrpc/tenon/wire"
)

// Logger has the methods of hclog.Logger that [ToLogger] needs. L is the interface or
// type itself: Named returns another of the same kind.
type Logger[L any] interface {
	Trace(msg string, args ...any)
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
	IsTrace() bool
	IsDebug() bool
	IsInfo() bool
	IsWarn() bool
	IsError() bool
	Named(name string) L
}

// ToLogger returns a [slog.Handler] that passes records on to l. It is for hosts that log
// to hclog, because host.Config.Logger is a [slog.Logger]:
//
//	host.Config{Logger: slog.New(sloghclog.ToLogger(appLogger))}
//
// Levels below debug become hclog's trace. A record's time is passed as the argument
// "timestamp", because hclog's methods take no time; a plugin's record has the plugin's
// time. The attributes "plugin" and "module" outside of groups, by which package host
// identifies the source of a record, become the logger's names, as in go-plugin's hosts.
// Other attributes become arguments; those in groups have the groups' names and a dot in
// front. Names and keys are escaped, because hclog does not escape them and a plugin may
// have chosen them. If l is nil, or an interface that holds a nil pointer, the handler
// discards everything.
//
// The handler may be used concurrently if l may, as hclog's loggers may.
func ToLogger[L Logger[L]](l L) slog.Handler {
	v := reflect.ValueOf(&l).Elem()
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return slog.DiscardHandler
	}
	return &toLogger[L]{to: l}
}

// maxName bounds names and keys in bytes. hclog's text format shows them as they are;
// those of a plugin's records come from the plugin, and could end a line of the host's
// log and begin another. It is many times the length of any in use.
const maxName = 1 << 10

// hclogTime is the layout of times in hclog.
const hclogTime = "2006-01-02T15:04:05.000Z0700"

type toLogger[L Logger[L]] struct {
	to     L
	prefix string // the open groups' names, each followed by a dot
	args   []any  // from WithAttrs
}

func (h *toLogger[L]) Enabled(_ context.Context, level slog.Level) bool {
	switch levelOf(level) {
	case wire.LogTrace:
		return h.to.IsTrace()
	case wire.LogDebug:
		return h.to.IsDebug()
	case wire.LogInfo:
		return h.to.IsInfo()
	case wire.LogWarn:
		return h.to.IsWarn()
	}
	return h.to.IsError()
}

func (h *toLogger[L]) Handle(_ context.Context, r slog.Record) error {
	now := *h
	now.args = slices.Clone(h.args)
	r.Attrs(func(a slog.Attr) bool {
		now.add(now.prefix, a)
		return true
	})
	if !r.Time.IsZero() {
		now.args = append(now.args, "timestamp", r.Time.Format(hclogTime))
	}
	log := now.to.Error
	switch levelOf(r.Level) {
	case wire.LogTrace:
		log = now.to.Trace
	case wire.LogDebug:
		log = now.to.Debug
	case wire.LogInfo:
		log = now.to.Info
	case wire.LogWarn:
		log = now.to.Warn
	}
	log(r.Message, now.args...)
	return nil
}

func (h *toLogger[L]) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	derived.args = slices.Clone(h.args)
	for _, a := range attrs {
		derived.add(derived.prefix, a)
	}
	return &derived
}

func (h *toLogger[L]) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	derived := *h
	derived.prefix += name + "."
	return &derived
}

// add adds an attribute of the group in prefix, by the rules of slog.Handler.
func (h *toLogger[L]) add(prefix string, a slog.Attr) {
	a.Value = a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
	case a.Value.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range a.Value.Group() {
			h.add(prefix, member)
		}
	case prefix == "" && (a.Key == "plugin" || a.Key == "module") && a.Value.Kind() == slog.KindString:
		h.to = h.to.Named(wire.Printable(a.Value.String(), maxName))
	default:
		h.args = append(h.args, wire.Printable(prefix+a.Key, maxName), a.Value.Any())
	}
}
