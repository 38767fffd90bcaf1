package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestOutput checks that output is printed by lines, however it is written, and cannot
// control the terminal.
func TestOutput(t *testing.T) {
	var out bytes.Buffer
	w := newStory(&out).output("stdout")
	for _, s := range []string{"one\ntw", "o\n\n", "\x1b[2Jthree", "\n", strings.Repeat("x", maxLine), "four\nnever ended"} {
		if n, err := fmt.Fprint(w, s); n != len(s) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	want := `stdout     "one"
stdout     "two"
stdout     ""
stdout     "\x1b[2Jthree"
stdout     "` + strings.Repeat("x", maxLine) + `"
stdout     "four"
`
	if out.String() != want {
		t.Errorf("told:\n%s\nwant:\n%s", out.String(), want)
	}
}

func TestLogHandler(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(newStory(&out).logHandler(slog.LevelInfo)).With("plugin", "kvplugin")
	log.Debug("too quiet")
	log.Error("a\nb", "n", 1, "s", "two words", "bad", "\x1b")
	if got, want := out.String(), `log        ERROR "a\nb" n=1 s="two words" bad="\x1b"`+"\n"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

func TestAwait(t *testing.T) {
	var out bytes.Buffer
	s := newStory(&out)
	seen := s.await("log", "needle")
	for _, line := range []struct{ title, text string }{{"log", "hay"}, {"stdout", "needle"}} {
		s.tell(line.title, "%s", line.text)
		select {
		case <-seen:
			t.Fatalf("%s %q is not the line that is awaited", line.title, line.text)
		default:
		}
	}
	s.tell("log", "a %s in it", "needle")
	<-seen
}
