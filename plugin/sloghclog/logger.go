package sloghclog

import (
	"context"
	"log/slog"
	"reflect"
	"slices"

	"github.com/tenonrpc/tenon/wire"
)

// Logger is hclog.Logger, as far as a handler made by [ToLogger] needs it. L is the
// interface or type itself, whose Named returns another of its kind.
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

// ToLogger returns a [slog.Handler] that passes records on to l, for hosts whose own
// log is hclog's and whose host.Config.Logger is a [slog.Logger]:
//
//	host.Config{Logger: slog.New(sloghclog.ToLogger(appLogger))}
//
// What is below debug is hclog's trace. A record's time is its argument "timestamp",
// since hclog's methods take none: that of a plugin's record is the plugin's. The
// attributes "plugin" and "module" outside of groups, by which package host says whose
// record it is, become names, as go-plugin's hosts have them; other attributes are
// arguments, and those in groups have the groups' names in front, with dots. Names and
// keys are escaped, since hclog does not, and a plugin may have chosen them. A nil l,
// also as a pointer in an interface, is a handler that passes nothing on.
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

// maxName cuts names and keys, which hclog's text shows as they are: those of a plugin's
// records are the plugin's, and could end a line of the host's log and begin another.
// It is many times what any are.
const maxName = 1 << 10

// hclogTime is how hclog's plugins and hosts write times.
const hclogTime = "2006-01-02T15:04:05.000Z0700"

type toLogger[L Logger[L]] struct {
	to     L
	prefix string // the open groups' names, each with a dot behind
	args   []any  // of WithAttrs
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

// add adds an attribute, of the groups in prefix, by slog.Handler's rules.
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
