// Package proc reads what Linux knows of processes.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Memory returns the physical memory of a process, now and at its peak, in bytes
// (proc_pid_status(5): VmRSS and VmHWM).
func Memory(pid int) (now, peak uint64, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(b) {
		name, rest, _ := bytes.Cut(line, []byte(":"))
		var to *uint64
		switch string(name) {
		case "VmRSS":
			to = &now
		case "VmHWM":
			to = &peak
		default:
			continue
		}
		if _, err := fmt.Sscanf(string(rest), "%d kB", to); err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/status: %q: %w", pid, line, err)
		}
		*to <<= 10
	}
	if now == 0 || peak == 0 {
		return 0, 0, fmt.Errorf("/proc/%d/status says nothing of memory", pid)
	}
	return now, peak, nil
}

// ForgetPeak makes the peak of this process's memory begin anew
// (proc_pid_clear_refs(5)).
func ForgetPeak() error { return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// CPU returns the processor time that all threads of a process have used
// (proc_pid_schedstat: the first figure, to the nanosecond, of each thread).
// Threads that have ended are missing.
func CPU(pid int) (time.Duration, error) {
	dir := "/proc/" + strconv.Itoa(pid) + "/task"
	threads, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, thread := range threads {
		b, err := os.ReadFile(dir + "/" + thread.Name() + "/schedstat")
		if err != nil {
			return 0, err
		}
		var ran time.Duration
		if _, err := fmt.Sscan(string(b), &ran); err != nil {
			return 0, fmt.Errorf("%s/%s/schedstat: %q: %w", dir, thread.Name(), b, err)
		}
		sum += ran
	}
	return sum, nil
}
