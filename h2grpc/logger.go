package h2grpc

import "github.com/tenonrpc/tenon/h2grpc/loglimit"

// Logger receives what nobody else is told: a panic in a handler, a connection
// that failed. *slog.Logger is a Logger, and so is hclog.Logger. Its methods
// may be called concurrently.
//
// It is an interface because a program that logs by other means should not
// carry log/slog, which brings encoding/json along.
type Logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

// Discard is a [Logger] that drops everything; a config without a Logger has it.
type Discard struct{}

func (Discard) Debug(string, ...any) {}
func (Discard) Info(string, ...any)  {}
func (Discard) Warn(string, ...any)  {}
func (Discard) Error(string, ...any) {}

// limitLog returns the logger to use for the one of a config, which may be nil,
// and what is to be called when nothing more will be logged.
func limitLog(l Logger) (limited Logger, tell func()) {
	if l == nil || l == (Discard{}) {
		return Discard{}, func() {}
	}
	return loglimit.Wrap(l)
}
