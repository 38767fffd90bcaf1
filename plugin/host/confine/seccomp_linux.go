//go:build amd64 || arm64

package confine

import (
	"runtime"
	"syscall"
	"unsafe"
)

// Numbers of the kernel's interface: include/uapi/linux/{seccomp,prctl,in}.h.
const (
	prSetSeccomp      = 22
	seccompModeFilter = 2
	seccompRetAllow   = 0x7fff0000
	seccompRetErrno   = 0x00050000

	// Offsets in struct seccomp_data. Arguments have 8 bytes each, of which the
	// lower half comes first on the architectures that are little-endian.
	offsetNumber   = 0
	offsetArch     = 4
	offsetProtocol = 16 + 2*8 // the third argument

	ipprotoMPTCP    = 262
	sysIoUringSetup = 425
	// x32Bit is in the numbers of amd64's system calls for 32-bit pointers.
	x32Bit = 0x40000000
)

// noOtherTCP has the kernel refuse, to the calling thread and what it starts,
// the ways to TCP that Landlock does not see: sockets of MPTCP, which the
// application then does without, as on kernels that lack it, and io_uring. System
// calls of other architectures, whose numbers differ, are refused as well.
func noOtherTCP() error {
	const load, jumpEqual, jumpAtLeast, ret = syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS,
		syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, syscall.BPF_JMP | syscall.BPF_JGE | syscall.BPF_K, syscall.BPF_RET | syscall.BPF_K
	filter := []syscall.SockFilter{
		0:  {Code: load, K: offsetArch},
		1:  {Code: jumpEqual, K: auditArch, Jf: 9 - 2},
		2:  {Code: load, K: offsetNumber},
		3:  {Code: jumpAtLeast, K: x32Bit, Jt: 9 - 4},
		4:  {Code: jumpEqual, K: sysIoUringSetup, Jt: 9 - 5},
		5:  {Code: jumpEqual, K: syscall.SYS_SOCKET, Jf: 8 - 6},
		6:  {Code: load, K: offsetProtocol},
		7:  {Code: jumpEqual, K: ipprotoMPTCP, Jt: 10 - 8},
		8:  {Code: ret, K: seccompRetAllow},
		9:  {Code: ret, K: seccompRetErrno | uint32(syscall.ENOSYS)},
		10: {Code: ret, K: seccompRetErrno | uint32(syscall.EPROTONOSUPPORT)},
	}
	prog := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := syscall.Syscall6(syscall.SYS_PRCTL, prSetSeccomp, seccompModeFilter, uintptr(unsafe.Pointer(&prog)), 0, 0, 0)
	runtime.KeepAlive(filter)
	if errno != 0 {
		return errno
	}
	return nil
}
