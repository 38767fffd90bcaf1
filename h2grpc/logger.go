package h2grpc

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
