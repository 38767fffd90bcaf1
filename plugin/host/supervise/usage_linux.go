package supervise

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// tellsUsage reports whether usageOf works on this system.
const tellsUsage = true

// The fields of /proc/PID/stat after the program's name, which is field 2:
// proc_pid_stat(5). Times are in clock ticks, which are 1/100 s for user space on every
// architecture of Go's.
const (
	userField   = 14 - 3
	systemField = 15 - 3
	rssField    = 24 - 3
	tick        = time.Second / 100
)

// usageOf returns what a process has used, or zero if it is not known.
func usageOf(pid int) Usage {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Usage{}
	}
	// The name is in parentheses and may itself contain any character.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) <= rssField {
		return Usage{}
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(string(fields[i]), 10, 64)
		return n
	}
	return Usage{
		RSS: number(rssField) * int64(os.Getpagesize()),
		CPU: time.Duration(number(userField)+number(systemField)) * tick,
	}
}
