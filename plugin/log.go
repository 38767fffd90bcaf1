package plugin

import (
	"io"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/loglimit"
	"github.com/tenonrpc/tenon/wire"
)

// Logger is what the library logs to. *slog.Logger is one, and so is
// hclog.Logger. It is an interface so that a plugin does not link log/slog for the
// few things that the library has to say.
type Logger = h2grpc.Logger

// NewLogger returns a Logger that writes hclog's JSON lines to w, one write
// each: on a plugin's stderr, hosts log them with level, module and attributes.
// All levels are written; the host decides what it shows. It may be used
// concurrently and links neither log/slog nor encoding/json; for programs that use
// log/slog, package plugin/sloghclog has a handler that does the same.
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

// limitLog fills Logger in, and bounds what others can make the library log there.
// What it returns writes what is to be told of lines that were left out.
func (cfg *ServeConfig) limitLog(stderr io.Writer) (tell func()) {
	if cfg.Logger == nil {
		cfg.Logger = NewLogger(stderr, "plugin")
	}
	cfg.Logger, tell = loglimit.Wrap(cfg.Logger)
	return tell
}
