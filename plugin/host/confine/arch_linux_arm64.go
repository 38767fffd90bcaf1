package confine

// auditArch is AUDIT_ARCH_AARCH64 of include/uapi/linux/audit.h.
const auditArch = 0xc00000b7
