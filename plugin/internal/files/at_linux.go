package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/tenonrpc/tenon/plugin/internal/ownthread"
)

// Numbers of the kernel's interface that package syscall lacks: open(2), unlinkat(2),
// fchownat(2).
const (
	oPath       = 0x200000
	atRemoveDir = 0x200
	atEmptyPath = 0x1000

	// sysFchmodat2 is the same on all architectures but MIPS, which has no call
	// of that number.
	sysFchmodat2 = 452
)

// dirHandle is an open directory. Its methods take names of entries, never paths.
type dirHandle struct{ *os.File }

// openDir opens the directory at path, so that entries can be found in it. The directory
// need not be readable.
func openDir(path string) (dirHandle, error) {
	f, err := os.OpenFile(path, oPath|syscall.O_DIRECTORY, 0)
	return dirHandle{f}, err
}

// at opens an entry. If it is a symbolic link, the link itself is opened.
func (d dirHandle) at(name string, flags int, mode uint32) (*os.File, error) {
	var fd int
	err := d.control(func(dir int) (err error) {
		fd, err = syscall.Openat(dir, name, flags|syscall.O_CLOEXEC|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, mode)
		return err
	})
	if err != nil {
		return nil, d.failed("open", name, err)
	}
	return os.NewFile(uintptr(fd), d.Name()+"/"+name), nil
}

// control calls f with the descriptor, and again when a signal interrupts it.
func (d dirHandle) control(f func(fd int) error) error {
	raw, err := d.SyscallConn()
	if err != nil {
		return err
	}
	err2 := raw.Control(func(fd uintptr) {
		for err = syscall.EINTR; err == syscall.EINTR; {
			err = f(int(fd))
		}
	})
	if err2 != nil { // it is closed
		return err2
	}
	return err
}

func (d dirHandle) failed(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: d.Name() + "/" + name, Err: err}
}

// sub opens a directory for reading.
func (d dirHandle) sub(name string) (dirHandle, error) {
	f, err := d.at(name, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
	return dirHandle{f}, err
}

// create makes a new file. The umask applies to mode.
func (d dirHandle) create(name string, flags int, mode fs.FileMode) (*os.File, error) {
	return d.at(name, flags|syscall.O_CREAT|syscall.O_EXCL, uint32(mode.Perm()))
}

func (d dirHandle) open(name string) (*os.File, error) { return d.at(name, syscall.O_RDONLY, 0) }

// stat describes an entry; it does not follow a link.
func (d dirHandle) stat(name string) (fs.FileInfo, error) {
	f, err := d.at(name, oPath, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// mkdir makes a directory. The umask applies to mode unless without is set.
func (d dirHandle) mkdir(name string, mode fs.FileMode, without bool) error {
	bits := uint32(mode.Perm())
	if mode&fs.ModeSticky != 0 {
		bits |= syscall.S_ISVTX
	}
	var err error
	if without {
		err = d.within(0, func() error { return syscall.Mkdir(name, bits) })
	} else {
		err = d.control(func(dir int) error { return syscall.Mkdirat(dir, name, bits) })
	}
	if err != nil {
		return d.failed("mkdir", name, err)
	}
	return nil
}

// remove removes one entry: a directory only if it is empty, a link only itself.
func (d dirHandle) remove(name string, dir bool) error {
	flags := 0
	if dir {
		flags = atRemoveDir
	}
	text, err := syscall.BytePtrFromString(name)
	if err != nil {
		return err
	}
	err = d.control(func(fd int) error {
		if _, _, errno := syscall.Syscall(syscall.SYS_UNLINKAT, uintptr(fd), uintptr(unsafe.Pointer(text)), uintptr(flags)); errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		return d.failed("unlink", name, err)
	}
	return nil
}

// rename moves an entry within the directory, over another one if need be.
func (d dirHandle) rename(from, to string) error {
	err := d.control(func(dir int) error { return syscall.Renameat(dir, from, dir, to) })
	if err != nil {
		return d.failed("rename", from, err)
	}
	return nil
}

// renameTo moves an entry to another directory, where the name must not exist.
func (d dirHandle) renameTo(from string, dir dirHandle, to string) error {
	if _, err := dir.stat(to); !errors.Is(err, fs.ErrNotExist) {
		return d.failed("rename", from, fs.ErrExist)
	}
	err := d.control(func(fd int) error {
		return dir.control(func(other int) error { return syscall.Renameat(fd, from, other, to) })
	})
	if err != nil {
		return d.failed("rename", from, err)
	}
	return nil
}

// chmodDir gives this process's user all permissions on a directory that the user owns.
func (d dirHandle) chmodDir(name string) error {
	f, err := d.at(name, oPath|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || owner(info) != os.Geteuid() {
		return d.failed("chmod", name, ErrReplaced)
	}
	return chmodByHandle(f, 0o700)
}

// give changes the owner and the mode of the directory itself, which is open for reading.
func (d dirHandle) give(a Access) error {
	if a.UID != -1 || a.GID != -1 {
		if err := d.Chown(a.UID, a.GID); err != nil {
			return err
		}
	}
	return d.Chmod(a.Mode)
}

// errNoThread reports that no thread can have a working directory of its own: the filters
// of some container runtimes refuse it.
type errNoThread struct{ err error }

func (e errNoThread) Error() string { return "unshare: " + e.err.Error() }

// within runs f on a thread whose working directory is d and which has a umask of its
// own. Names of one component mean entries of d there, whatever happens to d's path, and
// however long that is.
func (d dirHandle) within(umask int, f func() error) error {
	return ownthread.Run(func() error {
		if err := syscall.Unshare(syscall.CLONE_FS); err != nil {
			return errNoThread{err}
		}
		if err := d.control(syscall.Fchdir); err != nil {
			return os.NewSyscallError("fchdir", err)
		}
		syscall.Umask(umask)
		return f()
	})
}

// chmodByHandle changes the mode of what f names, which cannot be a link. f may be open
// for nothing (O_PATH). It uses fchmodat2(2) of Linux 6.6, or /proc, which leads to the
// same file.
func chmodByHandle(f *os.File, mode fs.FileMode) error {
	var empty byte
	_, _, errno := syscall.Syscall6(sysFchmodat2, f.Fd(), uintptr(unsafe.Pointer(&empty)), uintptr(mode.Perm()), atEmptyPath, 0, 0)
	if errno == 0 {
		return nil
	}
	err := error(errno)
	if path := procPath(f); path != "" {
		if err = os.Chmod(path, mode); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w (%w)", ErrUmask, err)
}

// procPath returns a path that leads to an open file, or "" where there is no /proc.
func procPath(f *os.File) string {
	path := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	there, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if info, err := f.Stat(); err != nil || !os.SameFile(info, there) {
		return ""
	}
	return path
}
