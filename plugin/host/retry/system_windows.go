package retry

import "syscall"

// Windows' own errors: package syscall has made up numbers for the names of Unix.
const (
	errBusy    = syscall.Errno(32)    // ERROR_SHARING_VIOLATION: a program is open for writing
	errRefused = syscall.Errno(10061) // WSAECONNREFUSED: nobody listens at an address
)

// systemShortages are the errors for what the system lacks at the moment.
var systemShortages = []syscall.Errno{
	4,     // ERROR_TOO_MANY_OPEN_FILES
	8,     // ERROR_NOT_ENOUGH_MEMORY
	14,    // ERROR_OUTOFMEMORY
	1450,  // ERROR_NO_SYSTEM_RESOURCES
	1455,  // ERROR_COMMITMENT_LIMIT
	10024, // WSAEMFILE
	10055, // WSAENOBUFS
}
