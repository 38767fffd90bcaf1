package procid

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// bootIDFile is made anew by the kernel at each boot: proc_sys_kernel(5).
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// startField is the place of the start time among the fields of
// /proc/PID/stat after the program's name: proc_pid_stat(5), field 22; the name
// is field 2.
const startField = 22 - 3

func of(pid int) (ID, bool) {
	fields, ok := stat(pid)
	if !ok {
		return ID{}, false
	}
	boot, err := os.ReadFile(bootIDFile)
	if err != nil {
		return ID{}, false
	}
	start, err := strconv.ParseUint(string(fields[startField]), 10, 64)
	id := ID{start, strings.TrimSpace(string(boot))}
	return id, err == nil && start > 0 && id.BootID != ""
}

// ended looks at field 3, the state: zombie or dead.
func ended(pid int) bool {
	fields, ok := stat(pid)
	return ok && strings.ContainsAny(string(fields[0]), "ZX")
}

// stat returns the fields of /proc/PID/stat after the program's name, at least
// up to startField. The name, in parentheses, can hold anything, more
// parentheses and spaces included.
func stat(pid int) (fields [][]byte, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, false
	}
	end := bytes.LastIndexByte(text, ')')
	fields = bytes.Fields(text[end+1:])
	return fields, end >= 0 && len(fields) > startField
}
