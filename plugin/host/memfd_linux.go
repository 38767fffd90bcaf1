package host

import (
	"syscall"
	"unsafe"
)

// memfdCreate is the system call memfd_create(2). It takes its name by pointer, and
// nothing in the standard library makes the call: this is the one use of unsafe in this
// package outside of Windows, by the fourth pattern of package unsafe's documentation.
// The alternative without it, an unlinked file that is opened again for reading, could
// be written to until it is executed by anyone who reaches this process's descriptors,
// and needs a file system to execute from.
func memfdCreate(name string, flags uintptr) (fd uintptr, err error) {
	number, ok := memfdNumber()
	if !ok {
		return 0, syscall.ENOSYS
	}
	p, err := syscall.BytePtrFromString(name)
	if err != nil {
		return 0, err
	}
	fd, _, errno := syscall.Syscall(number, uintptr(unsafe.Pointer(p)), flags, 0)
	if errno != 0 {
		return 0, errno
	}
	return fd, nil
}
