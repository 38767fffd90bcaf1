// Package loglimit limits how many log lines peers can cause. A peer that causes a
// line by connecting, or by a message, may do so a hundred thousand times: the lines
// would fill a disk, and hide all others.
package loglimit

import (
	"sync"
	"time"
)

const (
	// burst is how many lines of a kind are written at once: enough for all lines of any
	// trouble that is not an attack.
	burst = 10
	// period is the time after which another line of a kind is allowed. Omitted lines
	// are also reported once in this time, in one line: soon enough for somebody who
	// watches, and 8640 lines a day at most.
	period = 10 * time.Second
	// maxKinds is how many kinds are distinguished. The module has some forty texts; any
	// that a program adds beyond the limit share one kind.
	maxKinds = 64
)

// leftOut is the key of the number of similar lines that were omitted.
const leftOut = "more_like_it"

// Logger is h2grpc.Logger, which this package cannot import.
type Logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

// limiter is a Logger that omits lines. A kind of lines is one message, whose text
// must be constant, at one level. The first few lines of each kind are written as
// they come, and then one every few seconds: the last that came, with the number of
// those omitted. The numbers and the lines written add up to all lines.
type limiter struct {
	to Logger

	mu sync.Mutex
	// guarded by mu
	kinds map[name]*kind
	timer *time.Timer // reports omitted lines; nil if there are none
}

// name identifies a kind. The zero name is that of all kinds beyond maxKinds.
type name struct {
	level byte
	msg   string
}

// kind is the state of the lines of one kind.
type kind struct {
	granted int       // lines that may be written at once
	since   time.Time // when granted was counted

	held int // lines that were omitted and not yet reported
	last line
}

type line struct {
	log  func(Logger, string, ...any)
	msg  string
	args []any
}

// Wrap returns a Logger that writes to another one within these limits, and tell,
// which reports the lines omitted so far. tell is to be called when no more lines are
// expected, and may be called any number of times. Both may be used concurrently if
// to may be. to is never called with a lock held.
//
// If to comes from Wrap, it is returned as it is and tell does nothing, so that a
// line is counted once, by the first Wrap. If to is nil, log drops everything.
func Wrap(to Logger) (log Logger, tell func()) {
	switch to.(type) {
	case nil:
		return silent{}, func() {}
	case *limiter, silent:
		return to, func() {}
	}
	l := &limiter{to: to, kinds: make(map[name]*kind)}
	return l, l.tell
}

// silent is a Logger that drops everything.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

func (l *limiter) Debug(msg string, args ...any) { l.log('D', Logger.Debug, msg, args) }
func (l *limiter) Info(msg string, args ...any)  { l.log('I', Logger.Info, msg, args) }
func (l *limiter) Warn(msg string, args ...any)  { l.log('W', Logger.Warn, msg, args) }
func (l *limiter) Error(msg string, args ...any) { l.log('E', Logger.Error, msg, args) }

func (l *limiter) log(level byte, log func(Logger, string, ...any), msg string, args []any) {
	if l.allow(name{level, msg}, line{log, msg, args}) {
		log(l.to, msg, args...)
	}
}

// allow reports whether a line is to be written now. Otherwise it counts as omitted.
func (l *limiter) allow(n name, ln line) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.kinds[n] == nil && len(l.kinds) >= maxKinds {
		n = name{}
	}
	k := l.kinds[n]
	if k == nil {
		k = &kind{granted: burst, since: now}
		l.kinds[n] = k
	}
	if periods := int(now.Sub(k.since) / period); periods > 0 {
		k.granted = min(burst, k.granted+periods)
		k.since = k.since.Add(time.Duration(periods) * period)
	}
	if k.granted > 0 && k.held == 0 {
		k.granted--
		return true
	}
	k.held++
	k.last = ln
	if l.timer == nil {
		l.timer = time.AfterFunc(period, l.tell)
	}
	return false
}

// tell writes a line for each kind with omitted lines.
func (l *limiter) tell() {
	var lines []line
	l.mu.Lock()
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	for _, k := range l.kinds {
		if k.held == 0 {
			continue
		}
		ln := k.last
		if k.held > 1 {
			ln.args = append(ln.args[:len(ln.args):len(ln.args)], leftOut, k.held-1)
		}
		lines = append(lines, ln)
		// The line written now uses what is allowed for the next period.
		*k = kind{since: time.Now()}
	}
	l.mu.Unlock()
	for _, ln := range lines {
		ln.log(l.to, ln.msg, ln.args...)
	}
}
