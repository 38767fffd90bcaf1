package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// The seals of memory files: fcntl(2), section "File Sealing". Package syscall has no
// names for them.
const (
	fAddSeals   = 1033
	sealSeal    = 0x1 // no more seals, so that none can be missed
	sealShrink  = 0x2
	sealGrow    = 0x4
	sealWrite   = 0x8
	everySeal   = sealSeal | sealShrink | sealGrow | sealWrite
	memfdCloser = 0x1  // MFD_CLOEXEC
	memfdSeals  = 0x2  // MFD_ALLOW_SEALING
	memfdExec   = 0x10 // MFD_EXEC, since Linux 6.3
)

// maxMemfdName is the longest name given to a memory file here, in bytes:
// memfd_create(2) takes up to 249.
const maxMemfdName = 200

// copySealed copies a plugin to a memory file and seals it. The error wraps
// errors.ErrUnsupported if that is not possible, or if the memory could not be
// executed.
func copySealed(ctx context.Context, src *os.File, name string) (*verified, error) {
	file, err := newMemfd(name[:min(len(name), maxMemfdName)])
	if err != nil {
		return nil, err
	}
	v := &verified{file: file}
	if there, err := os.Stat(procPath(file)); err != nil || !isFile(file, there) {
		v.close()
		return nil, fmt.Errorf("there is no /proc: %w", errors.ErrUnsupported)
	}
	if err := copyBytes(ctx, file, src); err != nil {
		v.close()
		return nil, err
	}
	// With someone else's writable mapping this fails, and nothing is executed.
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, file.Fd(), fAddSeals, everySeal); errno != 0 {
		v.close()
		return nil, os.NewSyscallError("fcntl", errno)
	}
	return v, nil
}

func isFile(file *os.File, there os.FileInfo) bool {
	info, err := file.Stat()
	return err == nil && os.SameFile(info, there)
}

// newMemfd makes an empty, executable memory file.
func newMemfd(name string) (*os.File, error) {
	const flags = memfdCloser | memfdSeals
	fd, err := memfdCreate(name, flags|memfdExec)
	if errors.Is(err, syscall.EINVAL) { // a kernel before 6.3, where all can be executed
		fd, err = memfdCreate(name, flags)
	}
	if err != nil {
		// vm.memfd_noexec=2 is EACCES, a seccomp filter likely EPERM or ENOSYS.
		return nil, fmt.Errorf("memfd_create: %w (%v)", errors.ErrUnsupported, err)
	}
	return os.NewFile(fd, name), nil
}

// memfdNumber returns the number of the system call memfd_create, which package syscall
// does not have for every architecture.
func memfdNumber() (uintptr, bool) {
	n, ok := map[string]uintptr{
		"386": 356, "amd64": 319, "arm": 385, "arm64": 279, "loong64": 279,
		"mips": 4354, "mipsle": 4354, "mips64": 5314, "mips64le": 5314,
		"ppc64": 360, "ppc64le": 360, "riscv64": 279, "s390x": 350,
	}[runtime.GOARCH]
	return n, ok
}

// procPath returns a path to an open file.
func procPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// executionPath returns the path to execute in a process that is started with files as
// its descriptors from 0 on. done must be called once it is started.
//
// Between fork and execve the child duplicates those files: each to its number and, to
// get them out of the way first, some of them to numbers above the highest one. Any of
// that may replace the descriptor of the copy, and another file would be executed. So
// the copy's descriptor is duplicated to a number above all of those.
func (v *verified) executionPath(files []*os.File) (path string, done func(), err error) {
	if v.path != "" {
		return v.path, func() {}, nil
	}
	top := len(files)
	for _, f := range files {
		if f != nil {
			top = max(top, int(f.Fd())+1)
		}
	}
	top += len(files) + spareFDs
	fd, _, errno := syscall.Syscall(syscall.SYS_FCNTL, v.file.Fd(), syscall.F_DUPFD_CLOEXEC, uintptr(top))
	if errno != 0 {
		return "", nil, os.NewSyscallError("fcntl", errno)
	}
	file := os.NewFile(fd, v.file.Name())
	return procPath(file), func() { file.Close() }, nil
}

// spareFDs is how many descriptors a child has in addition to its files before it
// executes: one end of a pipe for errors, and of another one for user namespaces. The
// rest is in reserve.
const spareFDs = 8
