//go:build amd64 || arm64

package confine

import (
	"runtime"
	"slices"
	"syscall"
	"unsafe"
)

// Numbers of the kernel's interface: include/uapi/linux/{seccomp,prctl,in,tcp}.h,
// include/linux/net.h and scripts/syscall.tbl.
const (
	prSetSeccomp      = 22
	seccompModeFilter = 2
	seccompRetAllow   = 0x7fff0000
	seccompRetErrno   = 0x00050000

	// Offsets in struct seccomp_data. Arguments have 8 bytes each, of which the lower
	// half comes first: both architectures are little-endian.
	offsetNumber    = 0
	offsetArch      = 4
	offsetArguments = 16

	sockTypeMask    = 0xf // the other bits of a socket's type are flags
	ipprotoMPTCP    = 262
	tcpULP          = 31
	sysIoUringSetup = 425
	sysFsopen       = 430
	sysClone3       = 435
	prioProcess     = 0 // PRIO_PROCESS of include/uapi/linux/resource.h
	ioprioProcess   = 1 // IOPRIO_WHO_PROCESS of include/uapi/linux/ioprio.h
	// x32Bit is in the numbers of amd64's system calls for 32-bit pointers.
	x32Bit = 0x40000000
)

// A rule decides what becomes of a system call whose arguments match. The first rule
// that matches decides; a call that no rule matches is allowed.
type rule struct {
	call  uint32
	errno syscall.Errno // what the call fails with, or allow
	when  []argument
}

const allow syscall.Errno = 0

// An argument matches if it has the value in the bits of mask. Its upper 32 bits are
// ignored unless upper is set, which selects them: the kernel ignores them too, since
// all arguments but pointers are ints to it.
type argument struct {
	number, mask, value uint32
	upper               bool
}

// is matches an argument with exactly this value.
func is(number, value uint32) argument {
	return argument{number: number, mask: ^uint32(0), value: value}
}

// all matches an argument that has all of these bits.
func all(number, bits uint32) argument {
	return argument{number: number, mask: bits, value: bits}
}

// null matches an argument that is a null pointer.
func null(number uint32) []argument {
	return []argument{is(number, 0), {number: number, mask: ^uint32(0), upper: true}}
}

// rules returns what the kernel must refuse for the policy. What Landlock decides
// itself, by port, is allowed here. clone3 reports whether starting the plugin needs
// clone3(2).
func (p *Policy) rules(clone3 bool) []rule {
	rules := slices.Concat(p.socketRules(), p.fileRules(), processRules(clone3))
	refuse := func(call uint32, errno syscall.Errno, when ...argument) {
		rules = append(rules, rule{call, errno, when})
	}
	if !p.AllowTCP {
		// Fast open connects in sendmsg(2), where Landlock does not check the port. The
		// error is that of a system without fast open, so that programs then use
		// connect(2).
		const fastOpen = syscall.MSG_FASTOPEN
		refuse(syscall.SYS_SENDTO, syscall.EOPNOTSUPP, all(3, fastOpen))
		refuse(syscall.SYS_SENDMSG, syscall.EOPNOTSUPP, all(2, fastOpen))
		refuse(sysSendmmsg, syscall.EOPNOTSUPP, all(3, fastOpen))
		// An upper layer may turn a TCP socket into one of its own kind: "smc" does,
		// and Landlock then no longer takes it for TCP.
		refuse(syscall.SYS_SETSOCKOPT, syscall.ENOPROTOOPT, is(1, syscall.IPPROTO_TCP), is(2, tcpULP))
	}
	// io_uring makes sockets and sends without passing seccomp.
	refuse(sysIoUringSetup, syscall.ENOSYS)
	// request_key resolves names of the plugin's choice by a helper, which the kernel
	// starts as root and unconfined. The others read and write the keys of all the
	// user's programs.
	refuse(syscall.SYS_REQUEST_KEY, syscall.ENOSYS)
	refuse(syscall.SYS_KEYCTL, syscall.ENOSYS)
	refuse(syscall.SYS_ADD_KEY, syscall.ENOSYS)
	// As root, BPF programs send frames and redirect connections.
	refuse(sysBPF, syscall.EPERM)
	// What root configures with it connects to a network's file server before Landlock
	// is asked about the mount, which it refuses.
	refuse(sysFsopen, syscall.EPERM)
	// These type into the terminal, for the host's shell to read.
	refuse(syscall.SYS_IOCTL, syscall.EPERM, is(1, syscall.TIOCSTI))
	refuse(syscall.SYS_IOCTL, syscall.EPERM, is(1, syscall.TIOCLINUX))
	if p.Namespaces != 0 {
		// Root could return to the host's namespaces.
		refuse(sysSetns, syscall.EPERM)
	}
	return rules
}

// processRules returns rules that refuse to change processes other than the caller, and
// to make children of other processes.
func processRules(clone3 bool) []rule {
	rules := []rule{
		// A limit can kill a process, or keep it from opening files.
		{syscall.SYS_PRLIMIT64, allow, []argument{is(0, 0)}},
		{syscall.SYS_PRLIMIT64, syscall.EPERM, nil},
		// A process group, and a user's processes, include others.
		{syscall.SYS_SETPRIORITY, allow, []argument{is(0, prioProcess), is(1, 0)}},
		{syscall.SYS_SETPRIORITY, syscall.EPERM, nil},
		{syscall.SYS_IOPRIO_SET, allow, []argument{is(0, ioprioProcess), is(1, 0)}},
		{syscall.SYS_IOPRIO_SET, syscall.EPERM, nil},
		// The host would have children that it does not know and does not wait for.
		{syscall.SYS_CLONE, syscall.EPERM, []argument{all(0, syscall.CLONE_PARENT)}},
	}
	if !clone3 {
		// Its flags are in memory. Programs then use clone(2).
		rules = append(rules, rule{sysClone3, syscall.ENOSYS, nil})
	}
	return rules
}

// socketRules returns rules that allow the policy's sockets and refuse all others: raw
// ones and those of AF_PACKET, AF_XDP, AF_VSOCK, AF_SMC, SCTP and whatever else reaches
// a network without Landlock.
func (p *Policy) socketRules() []rule {
	var rules []rule
	socket := func(errno syscall.Errno, when ...argument) {
		rules = append(rules, rule{syscall.SYS_SOCKET, errno, when})
	}
	internet := func(kind, protocol uint32, errno syscall.Errno) {
		for _, family := range []uint32{syscall.AF_INET, syscall.AF_INET6} {
			socket(errno, is(0, family), argument{number: 1, mask: sockTypeMask, value: kind}, is(2, protocol))
		}
	}
	socket(allow, is(0, syscall.AF_UNIX))
	// Programs ask it for the network's interfaces. Other netlink protocols are for
	// changing the system.
	socket(allow, is(0, syscall.AF_NETLINK), is(2, syscall.NETLINK_ROUTE))
	if ports := len(p.ConnectTCP)+len(p.ListenTCP) > 0; ports || p.AllowTCP {
		internet(syscall.SOCK_STREAM, 0, allow)
		internet(syscall.SOCK_STREAM, syscall.IPPROTO_TCP, allow)
		// Landlock does not take MPTCP for TCP. The error is that of a kernel without
		// MPTCP, so that programs then use TCP.
		if ports {
			internet(syscall.SOCK_STREAM, ipprotoMPTCP, syscall.EPROTONOSUPPORT)
		} else {
			internet(syscall.SOCK_STREAM, ipprotoMPTCP, allow)
		}
	}
	if p.AllowUDP {
		internet(syscall.SOCK_DGRAM, 0, allow)
		internet(syscall.SOCK_DGRAM, syscall.IPPROTO_UDP, allow)
	}
	socket(syscall.EACCES)
	return append(rules, rule{syscall.SYS_SOCKETPAIR, allow, []argument{is(0, syscall.AF_UNIX)}}, rule{call: syscall.SYS_SOCKETPAIR, errno: syscall.EACCES})
}

// Instructions: Documentation/networking/filter.rst.
const (
	opLoad    = syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS
	opAnd     = syscall.BPF_ALU | syscall.BPF_AND | syscall.BPF_K
	opEqual   = syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K
	opAtLeast = syscall.BPF_JMP | syscall.BPF_JGE | syscall.BPF_K
	opReturn  = syscall.BPF_RET | syscall.BPF_K
)

// verdict returns the instruction that returns the result.
func verdict(errno syscall.Errno) syscall.SockFilter {
	if errno == allow {
		return syscall.SockFilter{Code: opReturn, K: seccompRetAllow}
	}
	return syscall.SockFilter{Code: opReturn, K: seccompRetErrno | uint32(errno)}
}

// assemble returns the rule's instructions. If the rule matches they return its result;
// otherwise they continue with the next rule.
func (r rule) assemble() []syscall.SockFilter {
	out := []syscall.SockFilter{{Code: opLoad, K: offsetNumber}, {Code: opEqual, K: r.call}}
	for _, a := range r.when {
		offset := offsetArguments + 8*a.number
		if a.upper {
			offset += 4
		}
		out = append(out, syscall.SockFilter{Code: opLoad, K: offset}, syscall.SockFilter{Code: opAnd, K: a.mask},
			syscall.SockFilter{Code: opEqual, K: a.value})
	}
	out = append(out, verdict(r.errno))
	for i := range out {
		if out[i].Code == opEqual {
			out[i].Jf = uint8(len(out) - (i + 1))
		}
	}
	return out
}

// assemble returns a program for the rules. It refuses system calls of other
// architectures, whose numbers differ, with ENOSYS.
func assemble(rules []rule) []syscall.SockFilter {
	program := []syscall.SockFilter{
		{Code: opLoad, K: offsetArch},
		{Code: opEqual, K: auditArch, Jt: 1},
		verdict(syscall.ENOSYS),
		{Code: opLoad, K: offsetNumber},
		{Code: opAtLeast, K: x32Bit, Jf: 1},
		verdict(syscall.ENOSYS),
	}
	for _, r := range rules {
		program = append(program, r.assemble()...)
	}
	return append(program, verdict(0))
}

// filter applies the policy's rules to the calling thread and what it starts. attr is
// what the plugin is started with.
func (p *Policy) filter(attr *syscall.SysProcAttr) error {
	program := assemble(p.rules(attr.UseCgroupFD || attr.Cloneflags&syscall.CLONE_NEWTIME != 0))
	prog := syscall.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := syscall.Syscall6(syscall.SYS_PRCTL, prSetSeccomp, seccompModeFilter, uintptr(unsafe.Pointer(&prog)), 0, 0, 0)
	runtime.KeepAlive(program)
	if errno != 0 {
		return errno
	}
	return nil
}
