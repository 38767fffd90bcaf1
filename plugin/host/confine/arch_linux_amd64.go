package confine

// auditArch is AUDIT_ARCH_X86_64 of include/uapi/linux/audit.h.
const auditArch = 0xc000003e
