//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package files

import (
	"errors"
	"os"
	"syscall"
)

// CanHold reports whether directories can be held, and files passed to plugins for that.
const CanHold = true

// Hold marks the directory as in use for as long as it is open, with a lock (flock(2)) on
// the directory itself, which the kernel releases when the process ends, in whatever way.
// Several processes can hold it. While one does, no other process can Claim it, and
// systemd-tmpfiles leaves the directory and its contents alone (tmpfiles.d(5), "Age").
//
// The error is ErrHeld if another process has claimed the directory. On a file system
// without such locks it is nil, and nothing is held.
func (d *Dir) Hold() error { return lockFile(d.self.File, syscall.LOCK_SH) }

// Claim marks the directory as about to be removed. The error is ErrHeld if another
// process holds it, and another error where that cannot be determined.
func (d *Dir) Claim() error { return lock(d.self.File, syscall.LOCK_EX) }

// HoldFile is Hold with a file in the directory. The file can be passed to a process that
// must not be passed a directory, with which it could leave the one that it is confined
// to (chroot(2)).
func HoldFile(f *os.File) error { return lockFile(f, syscall.LOCK_SH) }

// ClaimFile is Claim for such a file.
func ClaimFile(f *os.File) error { return lock(f, syscall.LOCK_EX) }

// lockFile takes a lock if the file system has locks.
func lockFile(f *os.File, how int) error {
	if err := lock(f, how); errors.Is(err, ErrHeld) {
		return err
	}
	return nil
}

func lock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrHeld
		default:
			return os.NewSyscallError("flock", err)
		}
	}
}
