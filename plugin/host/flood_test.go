package host_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/wire"
)

var flood = flag.Int("flood", floodDefault(), "how much hostile plugins print in tests, in MiB, and how many messages they send, in thousands")

// floodDefault is always more than floodGrowth.
func floodDefault() int {
	if raceEnabled {
		return 64
	}
	return 256
}

const (
	// floodEnv is -flood, for the plugin.
	floodEnv = "TN_FLOOD"
	// floodOver is what a plugin logs when it has sent everything.
	floodOver = "the flood is over"
	// floodGrowth is how much memory a flood may cost its host, in bytes. What
	// is allocated between two collections counts.
	floodGrowth = 32 << 20
)

func floodSize() int {
	n, err := strconv.Atoi(os.Getenv(floodEnv))
	must(err)
	return n
}

// pour writes a flood without a newline.
func pour(w io.Writer) {
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	for range floodSize() {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
	fmt.Fprintln(os.Stderr, "\n[INFO] "+floodOver)
}

func floodStderr() {
	go pour(os.Stderr)
	new(server).run()
}

// floodStdout prints its handshake first, so that the rest is on its second
// line.
func floodStdout() {
	s := &server{line: func(text string) string {
		fmt.Println(text)
		go pour(os.Stdout)
		return "" // in between
	}}
	s.run()
}

func floodStdio() {
	s := new(server)
	s.talk = func(func(*wire.ConnInfo) error) error {
		go func() {
			for range floodSize() << 20 / (16 << 10) {
				s.stdio <- wire.StdioData{Channel: wire.ChannelStdout, Data: make([]byte, 16<<10)}
			}
			fmt.Fprintln(os.Stderr, "[INFO] "+floodOver)
		}()
		return nil
	}
	s.run()
}

// floodAnnouncements announces random ids, with the longest addresses, and
// knocks at random ones.
func floodAnnouncements() {
	s := &server{talk: func(send func(*wire.ConnInfo) error) error {
		address := "/" + strings.Repeat("a", 90)
		for range floodSize() * 1000 {
			info := &wire.ConnInfo{ServiceID: rand.Uint32(), Network: "unix", Address: address}
			switch rand.IntN(8) {
			case 0:
				info.Knock = &wire.Knock{Knock: true}
			case 1:
				info.Knock = &wire.Knock{Knock: true, Ack: true, Error: address}
			}
			if err := send(info); err != nil {
				return err
			}
		}
		fmt.Fprintln(os.Stderr, "[INFO] "+floodOver)
		return nil
	}}
	s.run()
}

// floodWatch is a slog.Handler that waits for the flood's end.
type floodWatch struct {
	once sync.Once
	over chan struct{}
}

func (w *floodWatch) Enabled(context.Context, slog.Level) bool { return true }
func (w *floodWatch) WithAttrs([]slog.Attr) slog.Handler       { return w }
func (w *floodWatch) WithGroup(string) slog.Handler            { return w }
func (w *floodWatch) Handle(_ context.Context, r slog.Record) error {
	if r.Message == floodOver {
		w.once.Do(func() { close(w.over) })
	}
	return nil
}

// heapPeak measures how much the heap grows while f runs.
func heapPeak(f func()) uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, peak := m.HeapAlloc, m.HeapAlloc
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-ticker.C:
			case <-stop:
				return
			}
		}
	}()
	f()
	close(stop)
	<-done
	return peak - before
}

// Whatever a plugin sends costs its host a bounded amount of memory, and the host goes
// on using the plugin.
func TestFloodsOfAPlugin(t *testing.T) {
	for _, name := range []string{"floods-stderr", "floods-stdout", "floods-stdio", "floods-announcements"} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			w := &floodWatch{over: make(chan struct{})}
			cfg := fakeConfig(t, name)
			cfg.Logger = slog.New(w)
			cfg.Output.Stdout = io.Discard
			cfg.Env = append(cfg.Env, floodEnv+"="+strconv.Itoa(*flood))
			grown := heapPeak(func() {
				c := start(t, cfg)
				select {
				case <-w.over:
				case <-c.Done():
					t.Errorf("the plugin has ended: %v", c.Err())
				}
				if got, err := do(t.Context(), c, "echo hello"); err != nil || got != "hello" {
					t.Errorf("got %q, %v", got, err)
				}
				closes(t, c)
			})
			t.Logf("the heap grew by %d KiB", grown>>10)
			if grown > floodGrowth {
				t.Errorf("the heap grew by %d bytes", grown)
			}
		})
	}
}

// logBombs are lines on stderr that are expensive, or not what they seem.
func logBombs() {
	var keys strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&keys, `,"k%d":%d`, i, i)
	}
	fmt.Fprintln(os.Stderr, `{"@level":"error","@message":"many"`+keys.String()+`}`)
	for _, open := range []string{`[`, `{"a":`, `{"a":[`} {
		fmt.Fprintln(os.Stderr, `{"@level":"error","@message":"deep","a":`+strings.Repeat(open, 10_000))
	}
	fmt.Fprintln(os.Stderr, `{"@level":"error","@message":"deep","a":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)+`}`)
	for _, odd := range []string{`1`, `null`, `{}`, `[]`, `true`, `1e999`, `-0`, `"\ud800"`} {
		for _, key := range []string{"@message", "@level", "@timestamp", "@module"} {
			fmt.Fprintf(os.Stderr, "{%q:%s}\n", key, odd)
		}
	}
	fmt.Fprintln(os.Stderr, `{"@level":"info","@message":"`+floodOver+`"}`)
	new(server).run()
}

func TestLogBombs(t *testing.T) {
	noLeaks(t)
	w := &floodWatch{over: make(chan struct{})}
	cfg := fakeConfig(t, "log-bombs")
	cfg.Logger = slog.New(w)
	grown := heapPeak(func() {
		c := start(t, cfg)
		select {
		case <-w.over:
		case <-c.Done():
			t.Errorf("the plugin has ended: %v", c.Err())
		}
		closes(t, c)
	})
	if grown > floodGrowth {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// A handshake line that does not end is cut off at its limit, long before the
// time-out.
func TestEndlessHandshakeLine(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "floods-handshake")
	cfg.Env = append(cfg.Env, floodEnv+"="+strconv.Itoa(*flood))
	grown := heapPeak(func() {
		if failed := failing(t, cfg); failed.Stage != host.StageHandshake || failed.Stderr != nil {
			t.Errorf("got %v", failed)
		}
	})
	if grown > floodGrowth {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// Kill does not wait for a grandchild that holds the plugin's stderr.
func TestGrandchildrenDoNotHoldUpKill(t *testing.T) {
	noLeaks(t)
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close() // ends the grandchild
	defer in.Close()
	cfg := fakeConfig(t, "good")
	cfg.Cmd.Stdin = in
	c := start(t, cfg)
	if _, err := do(t.Context(), c, "leave-a-child"); err != nil {
		t.Fatal(err)
	}
	within(t, ample/2, "Kill", c.Kill)
	select {
	case <-c.Done():
	default:
		t.Error("Done is not closed after Kill")
	}
}
