package peercred

import (
	"errors"
	"net"
	"syscall"
)

// of asks the kernel: unix(7), SO_PEERCRED. It is who called connect or listen,
// at that time.
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
