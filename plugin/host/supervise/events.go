package supervise

import (
	"context"
	"log/slog"
	"time"
)

// events are those that wait for Config.Event. Supervisor.mu guards them.
type events struct {
	queue   []Event
	running bool // a goroutine calls Config.Event
}

// emit logs an event, and passes it on to Config.Event without waiting.
func (s *Supervisor) emit(e Event) {
	e.Plugin, e.At = s.cfg.Name, time.Now()
	s.log(e)
	if s.cfg.Event == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := &s.events
	if len(q.queue) == maxEvents {
		q.queue[1].Missed += q.queue[0].Missed + 1
		q.queue = q.queue[1:]
	}
	q.queue = append(q.queue, e)
	if !q.running {
		q.running = true
		go s.deliver()
	}
}

// deliver calls Config.Event until no event waits.
func (s *Supervisor) deliver() {
	for {
		s.mu.Lock()
		q := &s.events
		if len(q.queue) == 0 {
			q.queue, q.running = nil, false
			s.mu.Unlock()
			return
		}
		e := q.queue[0]
		q.queue = q.queue[1:]
		s.mu.Unlock()
		s.cfg.Event(e)
	}
}

// log writes a record of an event.
func (s *Supervisor) log(e Event) {
	attrs := []any{"plugin", e.Plugin, "process", e.Process}
	if e.PID != 0 {
		attrs = append(attrs, "pid", e.PID)
	}
	level, text := slog.LevelInfo, "a plugin is "+e.State.String()
	switch e.State {
	case Starting, Stopped:
		level = slog.LevelDebug
	case Unhealthy:
		level = slog.LevelWarn
		attrs = append(attrs, "error", e.Err)
	case Exited:
		text = "a plugin's process has ended"
		attrs = append(attrs, "how", e.Exit.String())
		if e.Exit.failed() {
			level = slog.LevelWarn
		}
	case Restarting:
		attrs = append(attrs, "in", e.In)
	case GaveUp:
		level, text = slog.LevelError, "a plugin is not started again"
		attrs = append(attrs, "error", e.Err)
	}
	s.cfg.logger().Log(context.Background(), level, text, attrs...)
}

// failed reports whether the end was not wanted.
func (e *Exit) failed() bool {
	switch e.Why {
	case WhyStart, WhyCrash, WhyUnhealthy, WhySilent, WhyMemory:
		return true
	}
	return false
}
