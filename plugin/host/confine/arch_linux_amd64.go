package confine

import "syscall"

// auditArch is AUDIT_ARCH_X86_64 of include/uapi/linux/audit.h.
const auditArch = 0xc000003e

// Numbers that package syscall lacks: arch/x86/entry/syscalls/syscall_64.tbl.
const (
	sysOpenByHandleAt = 304
	sysSendmmsg       = 307
	sysSetns          = 308
	sysBPF            = 321
)

// oldCalls are the calls that later architectures have only in the form that takes a
// directory's descriptor.
var oldCalls = fileCalls{
	metadata: []uint32{syscall.SYS_CHMOD, syscall.SYS_CHOWN, syscall.SYS_LCHOWN, syscall.SYS_UTIME, syscall.SYS_UTIMES},
	times:    []timesCall{{syscall.SYS_FUTIMESAT, nil}},
	modes:    []modeCall{{syscall.SYS_CHMOD, 1}, {syscall.SYS_CREAT, 1}, {syscall.SYS_MKNOD, 1}},
	opens:    []openCall{{syscall.SYS_OPEN, 1}},
}
