// Package leak compares what a process holds before and after a piece of
// work: goroutines, file descriptors, child processes and temporary files.
package leak

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settle bounds the wait for what ends by itself shortly after the work: a
// goroutine that has said that it is done and still has to return.
const settle = 10 * time.Second

// State is what the process holds.
type State struct {
	goroutines int
	files      []string // what /proc/self/fd points to, where there is such a thing
	children   []string
	temps      []string
}

// Now returns the state of the process and of the directory for temporary
// files, which should be its own.
func Now() State {
	s := State{goroutines: runtime.NumGoroutine()}
	if names, err := filepath.Glob("/proc/self/fd/*"); err == nil {
		for _, name := range names {
			// The glob's own descriptor is gone by now: it has no target. The
			// runtime makes its poller's when it first needs them.
			target, err := os.Readlink(name)
			if err != nil || strings.HasPrefix(target, "anon_inode:[event") {
				continue
			}
			s.files = append(s.files, target)
		}
	}
	s.children = children()
	_ = filepath.WalkDir(os.TempDir(), func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			s.temps = append(s.temps, path)
		}
		return nil
	})
	slices.Sort(s.files)
	return s
}

// children returns the process's children, zombies included, as /proc has
// them.
func children() []string {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var out []string
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended since
		}
		// pid (name) state parent …, and the name may hold anything.
		text := string(b)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			out = append(out, text[:strings.LastIndexByte(text, ')')+1])
		}
	}
	return out
}

// Since waits until the process holds no more than it did, and says what it
// still holds if that takes too long. goroutines and temps say whether these
// count: other libraries leave some.
func (before State) Since(goroutines, temps bool) error {
	deadline := time.Now().Add(settle)
	for {
		now := Now()
		var left []string
		left = append(left, more("file", before.files, now.files)...)
		left = append(left, more("child process", before.children, now.children)...)
		if temps {
			left = append(left, more("temporary file", before.temps, now.temps)...)
		}
		if goroutines && now.goroutines > before.goroutines {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			left = append(left, fmt.Sprintf("%d goroutines more\n%s", now.goroutines-before.goroutines, stacks))
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("left behind: %s", strings.Join(left, "; "))
		}
		runtime.Gosched()
	}
}

// more returns what is in now and not in before, duplicates counted.
func more(what string, before, now []string) []string {
	before = slices.Clone(before)
	var out []string
	for _, name := range now {
		if i := slices.Index(before, name); i >= 0 {
			before = slices.Delete(before, i, i+1)
			continue
		}
		out = append(out, what+" "+name)
	}
	return out
}
