package agent

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/proc"
)

// usage says what this process has used. With settle, what is not needed is
// given back before, and Peak begins anew afterwards.
func usage(settle bool) (*Usage, error) {
	if settle {
		runtime.GC()
		debug.FreeOSMemory() // collects once more: what pools hold survives one collection
	}
	cpu, err := cpuTime()
	if err != nil {
		return nil, err
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	u := &Usage{CPU: cpu, Mallocs: mem.Mallocs, Live: mem.HeapAlloc + mem.StackInuse}
	if u.Resident, u.Peak, err = proc.Memory(os.Getpid()); err != nil {
		return nil, err
	}
	if settle {
		err = proc.ForgetPeak()
	}
	return u, err
}

// cpuTime returns the processor time of this process so far. Linux counts it to
// the nanosecond and reports it to the microsecond.
func cpuTime() (time.Duration, error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), nil
}
