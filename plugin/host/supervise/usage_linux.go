package supervise

import (
	"os"
	"strconv"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/procid"
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
	fields, ok := procid.Stat(pid)
	if !ok || len(fields) <= rssField {
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
