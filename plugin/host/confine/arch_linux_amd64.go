package confine

// auditArch is AUDIT_ARCH_X86_64 of include/uapi/linux/audit.h.
const auditArch = 0xc000003e

// Numbers that package syscall lacks: arch/x86/entry/syscalls/syscall_64.tbl.
const (
	sysSendmmsg = 307
	sysSetns    = 308
	sysBPF      = 321
)
