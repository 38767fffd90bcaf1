package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
)

// maxLine bounds how much of a line without end is kept, in bytes.
const maxLine = 4096

// A story prints lines, each with a title, from several goroutines.
type story struct {
	mu sync.Mutex
	// guarded by mu
	out     io.Writer
	awaited []awaited
}

// awaited is a line that someone waits for.
type awaited struct {
	title, text string
	seen        chan struct{} // closed once it was printed
}

func newStory(out io.Writer) *story { return &story{out: out} }

// tell prints one line.
func (s *story) tell(title, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%-10s %s\n", title, text)
	for i := 0; i < len(s.awaited); i++ {
		if a := s.awaited[i]; a.title == title && strings.Contains(text, a.text) {
			close(a.seen)
			s.awaited = append(s.awaited[:i], s.awaited[i+1:]...)
			i--
		}
	}
}

// await returns a channel that is closed when a line with that title and text is
// printed.
func (s *story) await(title, text string) <-chan struct{} {
	seen := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awaited = append(s.awaited, awaited{title, text, seen})
	return seen
}

// output returns a writer that prints each line written to it. It must be used by one
// goroutine at a time.
func (s *story) output(title string) io.Writer { return &lines{story: s, title: title} }

type lines struct {
	story *story
	title string
	rest  []byte // a line without its end yet
}

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, ended := bytes.Cut(l.rest, []byte("\n"))
		if !ended && len(line) < maxLine {
			return len(b), nil
		}
		// Quoting keeps the plugin's control characters off the terminal.
		l.story.tell(l.title, "%q", line)
		l.rest = rest
	}
}

// logHandler returns a handler for the host's logger that prints each record.
func (s *story) logHandler(level slog.Level) slog.Handler {
	return &logHandler{story: s, level: level}
}

type logHandler struct {
	story *story
	level slog.Level
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q", r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%s", a.Key, word(a.Value))
		return true
	})
	h.story.tell("log", "%s", b.String())
	return nil
}

// word returns a value unchanged if it is one plain word, and quoted otherwise.
func word(v slog.Value) string {
	plain := v.String()
	if quoted := strconv.Quote(plain); quoted != `"`+plain+`"` || strings.Contains(plain, " ") {
		return quoted
	}
	return plain
}

// WithAttrs and WithGroup change nothing: they would add which plugin a record is
// about, and there is only one.
func (h *logHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *logHandler) WithGroup(string) slog.Handler      { return h }
