package supervise_test

import (
	"syscall"
	"unsafe"
)

var getProcessHandleCount = syscall.NewLazyDLL("kernel32.dll").NewProc("GetProcessHandleCount")

// descriptors returns how many handles this process has, or 0 if it is not known, as under
// Wine. (/proc, which Wine shows, has Wine's own descriptors.)
func descriptors() int {
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0
	}
	var n uint32
	if ok, _, _ := getProcessHandleCount.Call(uintptr(self), uintptr(unsafe.Pointer(&n))); ok == 0 {
		return 0
	}
	return int(n)
}
