package plugintest

import (
	"bytes"
	"sync"
	"testing"
)

// testLog writes lines to a test's log until it is ended.
type testLog struct {
	mu sync.Mutex
	t  testing.TB // guarded by mu; nil once the test has ended
}

func (l *testLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		l.t.Log(string(bytes.TrimSuffix(line, []byte{'\n'})))
	}
	return len(line), nil
}

func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t = nil
}
