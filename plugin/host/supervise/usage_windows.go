package supervise

import (
	"syscall"
	"time"
	"unsafe"
)

// tellsUsage reports whether usageOf works on this system.
const tellsUsage = true

var getProcessMemoryInfo = syscall.NewLazyDLL("kernel32.dll").NewProc("K32GetProcessMemoryInfo")

// memoryCounters is PROCESS_MEMORY_COUNTERS.
type memoryCounters struct {
	size, faults                                         uint32
	peakWorkingSet, workingSet                           uintptr
	peakPaged, paged, peakNonPaged, nonPaged, file, peak uintptr
}

// queryLimited is PROCESS_QUERY_LIMITED_INFORMATION.
const queryLimited = 0x1000

// usageOf returns what a process has used, or zero if it is not known.
func usageOf(pid int) Usage {
	h, err := syscall.OpenProcess(queryLimited, false, uint32(pid))
	if err != nil {
		return Usage{}
	}
	defer syscall.CloseHandle(h)
	var u Usage
	m := memoryCounters{size: uint32(unsafe.Sizeof(memoryCounters{}))}
	if ok, _, _ := getProcessMemoryInfo.Call(uintptr(h), uintptr(unsafe.Pointer(&m)), uintptr(m.size)); ok != 0 {
		u.RSS = int64(m.workingSet)
	}
	var created, exited, kernel, user syscall.Filetime
	if syscall.GetProcessTimes(h, &created, &exited, &kernel, &user) == nil {
		u.CPU = duration(kernel) + duration(user)
	}
	return u
}

// duration converts a time in units of 100 ns.
func duration(t syscall.Filetime) time.Duration {
	return time.Duration(uint64(t.HighDateTime)<<32|uint64(t.LowDateTime)) * 100
}
