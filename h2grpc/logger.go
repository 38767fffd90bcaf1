package h2grpc

// Logger receives what no caller is told: a panic in a handler, a connection that
// failed. args are alternating keys and values, as in package log/slog. *slog.Logger
// is a Logger, and so is hclog.Logger. Its methods may be called concurrently.
//
// It is an interface so that a program that logs by other means does not link
// log/slog, which brings encoding/json along.
type Logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}
