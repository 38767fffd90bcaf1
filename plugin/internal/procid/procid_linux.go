package procid

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// bootIDFile has new contents after each boot: proc_sys_kernel(5).
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// startField is the index of the start time among the fields of /proc/PID/stat after the
// program's name: proc_pid_stat(5), field 22; the name is field 2.
const startField = 22 - 3

func known() bool {
	_, err := os.Stat("/proc/self/stat")
	return err == nil
}

func of(pid int) (ID, bool) {
	fields, ok := Stat(pid)
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

// ended uses field 3, the state: zombie or dead.
func ended(pid int) bool {
	fields, ok := Stat(pid)
	return ok && strings.ContainsAny(string(fields[0]), "ZX")
}

// parent uses field 4.
func parent(pid int) (int, bool) {
	fields, ok := Stat(pid)
	if !ok {
		return 0, false
	}
	up, err := strconv.Atoi(string(fields[1]))
	return up, err == nil
}

// user uses /proc/PID/status: proc_pid_status(5). The directory has another owner for
// processes that must not be debugged.
func user(pid int) (int, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		// Real, effective, saved and file system user id.
		if ids := bytes.Fields(line); len(ids) == 5 && string(ids[0]) == "Uid:" {
			uid, err := strconv.Atoi(string(ids[2]))
			return uid, err == nil
		}
	}
	return 0, false
}

// Stat returns the fields of /proc/PID/stat after the program's name, which is field 2, at
// least up to the 22nd. The name, in parentheses, can contain anything, even parentheses
// and spaces.
func Stat(pid int) (fields [][]byte, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, false
	}
	end := bytes.LastIndexByte(text, ')')
	fields = bytes.Fields(text[end+1:])
	return fields, end >= 0 && len(fields) > startField
}
