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

	// Offsets in struct seccomp_data. Arguments have 8 bytes each, of which the
	// lower half comes first on the architectures that are little-endian.
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

// A rule says what becomes of a system call whose arguments are as told. The
// first rule that fits decides. A call that no rule fits is allowed.
type rule struct {
	call  uint32
	errno syscall.Errno // what it fails with, or allow
	when  []argument
}

const allow syscall.Errno = 0

// An argument is as told if it has the value in the bits of mask. Its upper 32
// bits are not looked at unless they are what is meant: the kernel does not
// either, since all but pointers are ints to it.
type argument struct {
	number, mask, value uint32
	upper               bool
}

// is says what an argument is, all of it.
func is(number, value uint32) argument {
	return argument{number: number, mask: ^uint32(0), value: value}
}

// all says that an argument has all of some bits.
func all(number, bits uint32) argument {
	return argument{number: number, mask: bits, value: bits}
}

// null says that an argument is a pointer to nothing.
func null(number uint32) []argument {
	return []argument{is(number, 0), {number: number, mask: ^uint32(0), upper: true}}
}

// rules are what the policy has the kernel refuse. What Landlock decides on
// itself, by port, is allowed here. clone3 tells whether the start itself needs
// clone3(2).
func (p *Policy) rules(clone3 bool) []rule {
	rules := slices.Concat(p.socketRules(), p.fileRules(), processRules(clone3))
	refuse := func(call uint32, errno syscall.Errno, when ...argument) {
		rules = append(rules, rule{call, errno, when})
	}
	if !p.AllowTCP {
		// Fast open connects in sendmsg(2), where Landlock looks at no port. The
		// error is that of a system without it, so that programs connect then.
		const fastOpen = syscall.MSG_FASTOPEN
		refuse(syscall.SYS_SENDTO, syscall.EOPNOTSUPP, all(3, fastOpen))
		refuse(syscall.SYS_SENDMSG, syscall.EOPNOTSUPP, all(2, fastOpen))
		refuse(sysSendmmsg, syscall.EOPNOTSUPP, all(3, fastOpen))
		// An upper layer may make of a TCP socket one of its own kind: "smc"
		// does, and Landlock takes it for something other than TCP from then on.
		refuse(syscall.SYS_SETSOCKOPT, syscall.ENOPROTOOPT, is(1, syscall.IPPROTO_TCP), is(2, tcpULP))
	}
	// It makes sockets and sends behind the back of seccomp.
	refuse(sysIoUringSetup, syscall.ENOSYS)
	// With a description for its helper, which the kernel starts as root and
	// outside of all this, it resolves names of the plugin's choice. The others
	// read and write the keys of all the user's programs.
	refuse(syscall.SYS_REQUEST_KEY, syscall.ENOSYS)
	refuse(syscall.SYS_KEYCTL, syscall.ENOSYS)
	refuse(syscall.SYS_ADD_KEY, syscall.ENOSYS)
	// Programs of root's send frames and change where connections go to.
	refuse(sysBPF, syscall.EPERM)
	// What root configures there connects to a network's file server, before
	// Landlock is asked for the mount, which it refuses.
	refuse(sysFsopen, syscall.EPERM)
	// They type into the terminal, for the host's shell to read.
	refuse(syscall.SYS_IOCTL, syscall.EPERM, is(1, syscall.TIOCSTI))
	refuse(syscall.SYS_IOCTL, syscall.EPERM, is(1, syscall.TIOCLINUX))
	if p.Namespaces != 0 {
		// Root could go back to the host's.
		refuse(sysSetns, syscall.EPERM)
	}
	return rules
}

// processRules refuse what changes processes other than the caller, and what
// makes some that are another's.
func processRules(clone3 bool) []rule {
	rules := []rule{
		// By limits a process is killed, or opens no more files.
		{syscall.SYS_PRLIMIT64, allow, []argument{is(0, 0)}},
		{syscall.SYS_PRLIMIT64, syscall.EPERM, nil},
		// Groups of processes, and a user's, include others.
		{syscall.SYS_SETPRIORITY, allow, []argument{is(0, prioProcess), is(1, 0)}},
		{syscall.SYS_SETPRIORITY, syscall.EPERM, nil},
		{syscall.SYS_IOPRIO_SET, allow, []argument{is(0, ioprioProcess), is(1, 0)}},
		{syscall.SYS_IOPRIO_SET, syscall.EPERM, nil},
		// The host would have children that it does not know and does not wait for.
		{syscall.SYS_CLONE, syscall.EPERM, []argument{all(0, syscall.CLONE_PARENT)}},
	}
	if !clone3 {
		// Its flags lie in memory. Programs use clone(2) then.
		rules = append(rules, rule{sysClone3, syscall.ENOSYS, nil})
	}
	return rules
}

// socketRules list the sockets that the policy allows and refuse all others:
// raw ones and those of AF_PACKET, AF_XDP, AF_VSOCK, AF_SMC, SCTP and whatever
// else reaches a network without Landlock.
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
	// Programs ask it for the network's interfaces. Other protocols of netlink
	// are for changing the system.
	socket(allow, is(0, syscall.AF_NETLINK), is(2, syscall.NETLINK_ROUTE))
	if ports := len(p.ConnectTCP)+len(p.ListenTCP) > 0; ports || p.AllowTCP {
		internet(syscall.SOCK_STREAM, 0, allow)
		internet(syscall.SOCK_STREAM, syscall.IPPROTO_TCP, allow)
		// Landlock takes MPTCP for something other than TCP. The error is that
		// of a kernel without it, so that programs use TCP then.
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

// verdict returns from the program.
func verdict(errno syscall.Errno) syscall.SockFilter {
	if errno == allow {
		return syscall.SockFilter{Code: opReturn, K: seccompRetAllow}
	}
	return syscall.SockFilter{Code: opReturn, K: seccompRetErrno | uint32(errno)}
}

// assemble returns the rules' instructions, one of which each rule ends in unless
// it does not fit: then it goes on with the next.
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

// assemble returns a program for the rules. System calls of other architectures,
// whose numbers differ, do not exist for it.
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

// filter has the kernel refuse what the policy's rules say to the calling thread
// and what it starts, by attr.
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
