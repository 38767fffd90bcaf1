package peercred

import (
	"errors"
	"net"
	"syscall"
)

// of uses SO_PEERCRED of unix(7): the process that called connect or listen, at that
// time.
func of(conn *net.UnixConn) (c Cred, known bool, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Cred{}, false, err
	}
	var cred *syscall.Ucred
	ctlErr := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(ctlErr, err); err != nil {
		return Cred{}, false, err
	}
	return Cred{UID: int(cred.Uid), PID: int(cred.Pid)}, true, nil
}

// Numbers of the kernel's interface that package syscall lacks. They are the same on all
// architectures, except the option on sparc: asm-generic/socket.h, and
// pidfd_send_signal(2).
const (
	soPeerPidfd        = 77 // Linux 6.5
	sysPidfdSendSignal = 424
)

// lives gets a pidfd of the process at the other end, and checks whether that can still
// be signalled. Both results are false if the kernel does not tell.
func lives(conn *net.UnixConn) (alive, ended bool) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false, false
	}
	pidfd := -1
	if raw.Control(func(fd uintptr) { pidfd, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, soPeerPidfd) }) != nil {
		return false, false
	}
	if err != nil { // before Linux 6.16 there is no pidfd of a process that has been waited for
		return false, err == syscall.ESRCH || err == syscall.EINVAL
	}
	defer syscall.Close(pidfd)
	_, _, errno := syscall.RawSyscall6(sysPidfdSendSignal, uintptr(pidfd), 0, 0, 0, 0, 0)
	return errno == 0 || errno == syscall.EPERM, errno == syscall.ESRCH
}
