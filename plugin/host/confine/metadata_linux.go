//go:build amd64 || arm64

package confine

import "syscall"

// Numbers that package syscall lacks, the same on all architectures:
// scripts/syscall.tbl.
const (
	sysOpenat2       = 437
	sysFchmodat2     = 452
	sysSetxattrat    = 463
	sysRemovexattrat = 466
	sysFileSetattr   = 469
)

// Flags of open(2): include/uapi/asm-generic/fcntl.h.
const (
	// tmpFile is __O_TMPFILE, without O_DIRECTORY, which the kernel also requires.
	tmpFile = 0x400000
	// noAccess opens a file for neither reading nor writing.
	noAccess = syscall.O_ACCMODE
)

// fileCalls are system calls that make or change files.
type fileCalls struct {
	metadata []uint32 // change the file at a path
	times    []timesCall
	modes    []modeCall
	opens    []openCall
}

// A timesCall changes the file at a path or, if the path is NULL, that of a descriptor.
// The path is its argument 1.
type timesCall struct {
	call  uint32
	flags []argument // required for a descriptor
}

// A modeCall has a file's mode in an argument.
type modeCall struct{ call, mode uint32 }

// An openCall has the flags of open(2) in an argument, and the mode in the next.
type openCall struct{ call, flags uint32 }

// newCalls are the calls of all architectures.
var newCalls = fileCalls{
	metadata: []uint32{
		syscall.SYS_FCHMODAT, sysFchmodat2, syscall.SYS_FCHOWNAT, sysFileSetattr,
		syscall.SYS_SETXATTR, syscall.SYS_LSETXATTR, sysSetxattrat,
		syscall.SYS_REMOVEXATTR, syscall.SYS_LREMOVEXATTR, sysRemovexattrat,
	},
	times: []timesCall{{syscall.SYS_UTIMENSAT, []argument{is(3, 0)}}},
	modes: []modeCall{{syscall.SYS_FCHMOD, 1}, {syscall.SYS_FCHMODAT, 2}, {sysFchmodat2, 2}, {syscall.SYS_MKNODAT, 2}},
	opens: []openCall{{syscall.SYS_OPENAT, 2}},
}

// fileRules returns rules that refuse what Landlock does not check.
func (p *Policy) fileRules() []rule {
	var rules []rule
	refuse := func(call uint32, errno syscall.Errno, when ...argument) {
		rules = append(rules, rule{call, errno, when})
	}
	for _, calls := range []fileCalls{oldCalls, newCalls} {
		if !p.AllowMetadata {
			for _, call := range calls.metadata {
				refuse(call, syscall.EPERM)
			}
			for _, c := range calls.times {
				rules = append(rules, rule{c.call, allow, append(null(1), c.flags...)})
				refuse(c.call, syscall.EPERM)
			}
		}
		// A program with one of these bits runs as the plugin's user, or with its
		// group, and unconfined, if somebody else starts it.
		for _, bit := range []uint32{syscall.S_ISUID, syscall.S_ISGID} {
			for _, c := range calls.modes {
				refuse(c.call, syscall.EPERM, all(c.mode, bit))
			}
			for _, c := range calls.opens {
				for _, made := range []uint32{syscall.O_CREAT, tmpFile} {
					refuse(c.call, syscall.EPERM, all(c.flags, made), all(c.flags+1, bit))
				}
			}
		}
		// Landlock requires no right for such a descriptor, which fchmod(2) and
		// flock(2) accept.
		for _, c := range calls.opens {
			refuse(c.call, syscall.EPERM, all(c.flags, noAccess))
		}
	}
	refuse(sysOpenByHandleAt, syscall.EPERM, all(2, noAccess))
	// Its flags and mode are in memory. Programs do without it.
	refuse(sysOpenat2, syscall.ENOSYS)
	return rules
}
