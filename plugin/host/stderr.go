package host

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/wire"
)

// readStderr reads the process's stderr to its end, logs it by line, and copies
// it to the application's writer.
func (p *process) readStderr(out *outputs) {
	defer close(p.stderrDone)
	log := &stderrLog{log: p.log}
	lines := &lineWriter{emit: log.line}
	buf := make([]byte, pipeRead)
	for {
		n, err := p.stderr.Read(buf)
		p.stderrTail.Write(buf[:n])
		lines.Write(buf[:n])
		out.writeRaw(buf[:n])
		if err != nil {
			lines.flush()
			log.flush()
			return
		}
	}
}

// levelTrace is below slog's debug, as hclog's trace is.
const levelTrace = slog.LevelDebug - 4

// levelOf converts a level of hclog.
func levelOf(level wire.LogLevel) slog.Level {
	switch level {
	case wire.LogTrace:
		return levelTrace
	case wire.LogInfo:
		return slog.LevelInfo
	case wire.LogWarn:
		return slog.LevelWarn
	case wire.LogError:
		return slog.LevelError
	}
	return slog.LevelDebug
}

// stderrLog turns the lines of a plugin's stderr into log records: one for each line,
// except that the Go runtime's report of a crash is one record as a whole.
type stderrLog struct {
	log *slog.Logger

	mu sync.Mutex
	// guarded by mu
	crashed bool        // a line that begins a crash report was seen
	account []string    // the lines of the report being collected, or nil
	size    int         // of account, in bytes
	begun   time.Time   // when its first line arrived
	timer   *time.Timer // logs the report if nothing more comes
}

// line logs one line.
func (l *stderrLog) line(line []byte) {
	record := hostwire.ParseLogLine(line)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	level := levelOf(record.Level)
	if !record.Tagged {
		// PROTOCOL: from a crash's first line on, lines without a level of their own
		// belong to the runtime's report.
		starts := hostwire.IsPanicStart(line)
		if starts || l.account != nil {
			l.crashed = true
			l.hold(record.Message, now)
			return
		}
		level = slog.LevelDebug
		if l.crashed {
			level = slog.LevelError
		}
	}
	if record.Time.IsZero() {
		record.Time = now
	}
	var attrs []slog.Attr
	if record.Module != "" {
		attrs = append(attrs, slog.String("module", record.Module))
	}
	for _, attr := range record.Attrs {
		attrs = append(attrs, logAttr(attrKey(attr.Key), attr.Value))
	}
	if record.Truncated { // nothing is lost
		attrs = append(attrs, slog.String("plugin.line", string(bytes.ToValidUTF8(line, []byte("\uFFFD")))))
	}
	l.emit(record.Time, level, record.Message, attrs...)
}

// emit passes a record to the application's logger. Handlers escape attributes as their
// format needs. Some handlers, slog's default among them, write the message as it is,
// so it is escaped here and cannot end its line.
func (l *stderrLog) emit(at time.Time, level slog.Level, message string, attrs ...slog.Attr) {
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(at, level, wire.Printable(message, maxMessage), 0)
	r.AddAttrs(attrs...)
	// There is nobody to report a failing log handler to.
	_ = l.log.Handler().Handle(ctx, r)
}

// hold adds a line to a crash report. It is called with mu held.
func (l *stderrLog) hold(line string, now time.Time) {
	switch {
	case l.account == nil:
		l.begun = now
		l.timer = time.AfterFunc(crashWait, l.flush)
	case l.size+len(line) > maxCrash:
		first := strings.TrimSuffix(l.account[0], continued) + continued
		l.tell()
		l.account = []string{first}
		l.begun = now
		l.timer = time.AfterFunc(crashWait, l.flush)
	default:
		l.timer.Reset(crashWait)
	}
	l.account = append(l.account, line)
	l.size += len(line) + 1
}

// continued marks the records of a very long report, except for the first.
const continued = " (continued)"

// flush logs a report that is being collected.
func (l *stderrLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell()
}

// tell is flush with mu held.
func (l *stderrLog) tell() {
	if l.account == nil {
		return
	}
	l.timer.Stop()
	first, stack := l.account[0], l.account[1:]
	l.account, l.size = nil, 0
	l.emit(l.begun, slog.LevelError, first, slog.String("stack", strings.Join(stack, "\n")))
}

// logAttr returns an attribute for a plugin's. An object becomes a group, as it was to
// the plugin's logger, so that handlers show its members rather than a Go map. Package
// hostwire bounds its depth.
func logAttr(key string, value any) slog.Attr {
	members, ok := value.(map[string]any)
	if !ok || len(members) == 0 { // handlers leave out a group without members
		return slog.Any(key, value)
	}
	var attrs []slog.Attr
	for _, name := range slices.Sorted(maps.Keys(members)) {
		attrs = append(attrs, logAttr(name, members[name]))
	}
	return slog.Attr{Key: key, Value: slog.GroupValue(attrs...)}
}

// attrKey returns the key under which a plugin's attribute is logged: handlers
// write attributes next to their own fields, and a plugin must not be able to
// write a second "level" or "plugin".
func attrKey(key string) string {
	switch key {
	case slog.TimeKey, slog.LevelKey, slog.MessageKey, slog.SourceKey, "plugin", "pid", "module", "stream", "":
		return "plugin." + key
	}
	return key
}
