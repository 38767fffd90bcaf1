package host

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/wire"
)

// tail keeps the last maxTail bytes of what is written to it. Its methods may be called
// by several goroutines at once.
type tail struct {
	mu  sync.Mutex
	buf []byte // guarded by mu; at most 2*maxTail long, of which the end counts
}

// Write adds b. It never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	if len(b) > maxTail {
		b = b[len(b)-maxTail:]
	}
	if len(t.buf)+len(b) > 2*maxTail {
		keep := t.buf[len(t.buf)-maxTail:]
		t.buf = append(t.buf[:0], keep...)
	}
	t.buf = append(t.buf, b...)
	return n, nil
}

// Bytes returns a copy of the last maxTail bytes, nil if nothing was written.
func (t *tail) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.buf[max(0, len(t.buf)-maxTail):])
}

// showTail appends a stream's last lines to an error text. If they contain a crash
// report, it shows the lines from there on: a report's first lines tell more than its
// last.
func showTail(b *strings.Builder, name string, data []byte) {
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		fmt.Fprintf(b, "\n  %s: nothing", name)
		return
	}
	lines := strings.Split(text, "\n")
	first, end := max(0, len(lines)-shownLines), len(lines)
	for i, line := range lines {
		if hostwire.IsPanicStart([]byte(line)) {
			first, end = i, min(len(lines), i+shownLines)
			break
		}
	}
	fmt.Fprintf(b, "\n  %s:", name)
	if first > 0 {
		fmt.Fprintf(b, "\n    … %d more above", first)
	}
	for _, line := range lines[first:end] {
		b.WriteString(strings.TrimRight("\n    | "+wire.Printable(strings.TrimSuffix(line, "\r"), shownColumns), " "))
	}
	if n := len(lines) - end; n > 0 {
		fmt.Fprintf(b, "\n    … %d more below", n)
	}
}

// quoted returns text from the plugin, quoted like a Go string and cut to shownColumns
// bytes.
func quoted(words string) string {
	if len(words) <= shownColumns {
		return strconv.Quote(words)
	}
	return fmt.Sprintf("%q… (%d bytes)", words[:shownColumns], len(words))
}
