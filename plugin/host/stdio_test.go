package host_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/plugin/host"
)

// sink is a writer that passes on each of its writes.
type sink struct{ writes chan string }

func newSink() *sink { return &sink{make(chan string, 64)} }

func (s *sink) Write(data []byte) (int, error) {
	s.writes <- string(data)
	return len(data), nil
}

func TestPluginsOutputArrives(t *testing.T) {
	noLeaks(t)
	stdout, stderr := newSink(), newSink()
	cfg := fakeConfig(t, "good")
	cfg.Output.Stdout, cfg.Output.Stderr = stdout, stderr
	c := start(t, cfg)
	for _, tc := range []struct {
		command string
		to      *sink
	}{{"stdout", stdout}, {"stderr", stderr}, {"print", stdout}} {
		if _, err := do(t.Context(), c, tc.command+" some "+tc.command); err != nil {
			t.Fatal(err)
		}
		if got, want := <-tc.to.writes, "some "+tc.command; got != want {
			t.Errorf("%s: %q arrived, want %q", tc.command, got, want)
		}
	}
	closes(t, c)
}

func TestNonsenseInTheOutputIsDropped(t *testing.T) {
	noLeaks(t)
	stdout := newSink()
	cfg := fakeConfig(t, "good")
	cfg.Output.Stdout, cfg.Output.Stderr = stdout, stdout
	c := start(t, cfg)
	for _, command := range []string{"nonsense xx", "stdout sense"} {
		if _, err := do(t.Context(), c, command); err != nil {
			t.Fatal(err)
		}
	}
	if got := <-stdout.writes; got != "sense" {
		t.Errorf("%q arrived", got)
	}
	closes(t, c)
}

// What a plugin prints while it ends is not lost, and the process's own stdout
// is read to its end.
func TestLastWordsArrive(t *testing.T) {
	noLeaks(t)
	var mu sync.Mutex
	var printed bytes.Buffer
	cfg := fakeConfig(t, "last-words")
	cfg.Output.Stdout = writerFunc(func(data []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return printed.Write(data)
	})
	closes(t, start(t, cfg))
	if got := printed.String(); got != "good bye" {
		t.Errorf("%q arrived", got)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(data []byte) (int, error) { return f(data) }

// A plugin that prints much to its process's stdout is not blocked, and costs the host
// no memory.
func TestStdoutIsDrained(t *testing.T) {
	noLeaks(t)
	for name, change := range map[string]func(*host.Config){
		"nobody wants it": func(c *host.Config) { c.Logger = slog.New(slog.DiscardHandler) },
		"a writer fails": func(c *host.Config) {
			c.Logger = slog.New(slog.DiscardHandler)
			c.Output.Stdout = writerFunc(func([]byte) (int, error) { return 0, errors.New("disk full") })
		},
	} {
		cfg := fakeConfig(t, "good")
		change(cfg)
		c := start(t, cfg)
		if _, err := do(t.Context(), c, "flood"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		closes(t, c)
	}
}

func TestStdoutWithoutAWriterIsLogged(t *testing.T) {
	noLeaks(t)
	var rec recorder
	cfg := fakeConfig(t, "good")
	cfg.Logger = rec.logger()
	c := start(t, cfg)
	if _, err := do(t.Context(), c, "print a line\nthe next"); err != nil {
		t.Error(err)
	}
	closes(t, c)
	got := strings.Join(rec.lines(t), "|")
	if want := `DEBUG a line {"stream":"stdout"}|DEBUG the next {"stream":"stdout"}`; got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
}

func TestFailingWriterIsNotCalledAgain(t *testing.T) {
	noLeaks(t)
	calls := make(chan string, 8)
	stderr := newSink()
	cfg := fakeConfig(t, "good")
	cfg.Output.Stdout = writerFunc(func(data []byte) (int, error) {
		calls <- string(data)
		return 0, errors.New("disk full")
	})
	cfg.Output.Stderr = stderr
	c := start(t, cfg)
	for _, command := range []string{"stdout 1", "stdout 2", "stderr 3"} {
		if _, err := do(t.Context(), c, command); err != nil {
			t.Fatal(err)
		}
		if command == "stdout 1" {
			if got := <-calls; got != "1" {
				t.Errorf("%q was written", got)
			}
		}
	}
	if got := <-stderr.writes; got != "3" {
		t.Errorf("%q arrived on stderr", got)
	}
	if len(calls) > 0 {
		t.Errorf("%q was written after a failure", <-calls)
	}
	closes(t, c)
}

// A writer that blocks may delay the plugin, but not its end.
func TestBlockedWriterDoesNotHoldUpClose(t *testing.T) {
	noLeaks(t)
	release, blocked := make(chan struct{}), make(chan struct{})
	defer close(release)
	cfg := fakeConfig(t, "good")
	cfg.Output.Stdout = writerFunc(func(data []byte) (int, error) {
		close(blocked)
		<-release
		return len(data), nil
	})
	c := start(t, cfg)
	if _, err := do(t.Context(), c, "stdout x"); err != nil {
		t.Fatal(err)
	}
	<-blocked
	within(t, ample/2, "Close", func() { closes(t, c) })
}
