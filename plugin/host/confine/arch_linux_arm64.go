package confine

import "syscall"

// auditArch is AUDIT_ARCH_AARCH64 of include/uapi/linux/audit.h.
const auditArch = 0xc00000b7

const (
	sysOpenByHandleAt = syscall.SYS_OPEN_BY_HANDLE_AT
	sysSendmmsg       = syscall.SYS_SENDMMSG
	sysSetns          = syscall.SYS_SETNS
	sysBPF            = syscall.SYS_BPF
)

// oldCalls is empty: arm64 never had these calls.
var oldCalls fileCalls
