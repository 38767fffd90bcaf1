package plugin

import (
	"io"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/loglimit"
	"github.com/tenonrpc/tenon/wire"
)

// Logger is what the library logs to. *slog.Logger and hclog.Logger implement it. It is
// an interface so that a plugin need not link log/slog for the library's few messages.
type Logger = h2grpc.Logger

// NewLogger returns a Logger that writes hclog's JSON lines to w, each in one Write. On a
// plugin's stderr, hosts log them with level, module and attributes; make it before
// [Serve] is called, which replaces os.Stderr. All levels are written; the host chooses
// what it shows. The Logger may be used concurrently, even if w may not. It links neither
// log/slog nor encoding/json; programs that use log/slog have the handler of package
// plugin/sloghclog instead.
func NewLogger(w io.Writer, module string) Logger { return &lineLogger{w: w, module: module} }

type lineLogger struct {
	module string

	mu sync.Mutex
	w  io.Writer // guarded by mu
}

func (l *lineLogger) Debug(msg string, args ...any) { l.log(wire.LogDebug, msg, args) }
func (l *lineLogger) Info(msg string, args ...any)  { l.log(wire.LogInfo, msg, args) }
func (l *lineLogger) Warn(msg string, args ...any)  { l.log(wire.LogWarn, msg, args) }
func (l *lineLogger) Error(msg string, args ...any) { l.log(wire.LogError, msg, args) }

func (l *lineLogger) log(level wire.LogLevel, msg string, args []any) {
	line := wire.AppendLogLine(nil, time.Now(), level, l.module, msg, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.Write(line)
}

// limitLog sets the default Logger and limits how often a peer can make it repeat a
// message. The function that it returns logs how many were left out.
func (cfg *ServeConfig) limitLog(stderr io.Writer) (tell func()) {
	if cfg.Logger == nil {
		cfg.Logger = NewLogger(stderr, "plugin")
	}
	cfg.Logger, tell = loglimit.Wrap(cfg.Logger)
	return tell
}
