//go:build linux && !amd64 && !arm64

package confine

import "syscall"

// auditArch is 0 where there is no filter: on some architectures sockets are made by a
// system call whose arguments are in memory.
const auditArch = 0

func (p *Policy) filter(*syscall.SysProcAttr) error { return nil }
