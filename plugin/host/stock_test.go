package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// stock counts what a process must not have more of after a test than before.
type stock struct {
	goroutines int
	children   []string // "pid name"
	files      []string // what the open descriptors lead to
	temp       []string // entries of the directory for temporary files
}

// takeStock counts. Children and descriptors are read from /proc, and left out
// where there is none.
func takeStock() stock {
	s := stock{goroutines: runtime.NumGoroutine()}
	fds, _ := os.ReadDir("/proc/self/fd")
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && !strings.HasPrefix(to, "/proc/") {
			s.files = append(s.files, to)
		}
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (name) state ppid …
		text := string(data)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			s.children = append(s.children, text[:strings.LastIndexByte(text, ')')+1]+" "+fields[0])
		}
	}
	entries, _ := os.ReadDir(os.TempDir())
	for _, entry := range entries {
		s.temp = append(s.temp, entry.Name())
	}
	return s
}

// more returns what now has that s does not.
func (s stock) more(now stock) string {
	var found []string
	if now.goroutines > s.goroutines {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		found = append(found, fmt.Sprintf("%d goroutines instead of %d:\n%s", now.goroutines, s.goroutines, buf))
	}
	if extra := surplus(s.children, now.children); extra != nil {
		found = append(found, fmt.Sprintf("children %q", extra))
	}
	if extra := surplus(s.files, now.files); extra != nil {
		found = append(found, fmt.Sprintf("descriptors %q", extra))
	}
	if extra := surplus(s.temp, now.temp); extra != nil {
		found = append(found, fmt.Sprintf("temporary files %q", extra))
	}
	return strings.Join(found, "\n")
}

func surplus(before, now []string) (extra []string) {
	before = slices.Clone(before)
	for _, name := range now {
		if i := slices.Index(before, name); i >= 0 {
			before = slices.Delete(before, i, i+1)
			continue
		}
		extra = append(extra, name)
	}
	return extra
}

// waitSame waits for goroutines that are about to end, and returns what is
// still there after a generous time.
func (s stock) waitSame() string {
	deadline := time.Now().Add(5 * time.Second)
	for {
		diff := s.more(takeStock())
		if diff == "" || time.Now().After(deadline) {
			return diff
		}
		runtime.Gosched()
	}
}

// noLeaks fails the test if it leaves anything behind.
func noLeaks(t *testing.T) {
	t.Helper()
	before := takeStock()
	t.Cleanup(func() {
		if diff := before.waitSame(); diff != "" {
			t.Errorf("left over: %s", diff)
		}
	})
}
