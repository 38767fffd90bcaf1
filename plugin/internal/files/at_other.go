//go:build !linux

package files

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"
)

// dirHandle is an open directory. Its methods take names of entries, never paths.
type dirHandle struct {
	*os.File
	root *os.Root
	path string
}

// openDir opens the directory at path.
func openDir(path string) (dirHandle, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return dirHandle{}, err
	}
	return handleOf(root, path)
}

func handleOf(root *os.Root, path string) (dirHandle, error) {
	f, err := root.Open(".")
	if err != nil {
		root.Close()
		return dirHandle{}, err
	}
	return dirHandle{f, root, path}, nil
}

func (d dirHandle) Close() error {
	if d.root == nil {
		return os.ErrInvalid
	}
	d.root.Close()
	return d.File.Close()
}

// sub opens a directory, which must not be a link to one.
func (d dirHandle) sub(name string) (dirHandle, error) {
	before, err := d.stat(name)
	if err != nil {
		return dirHandle{}, err
	}
	root, err := d.root.OpenRoot(name)
	if err != nil {
		return dirHandle{}, err
	}
	sub, err := handleOf(root, d.path+string(os.PathSeparator)+name)
	if err != nil {
		return dirHandle{}, err
	}
	if info, err := sub.Stat(); err != nil || !same(before, info) {
		sub.Close()
		return dirHandle{}, &fs.PathError{Op: "open", Path: name, Err: ErrReplaced}
	}
	return sub, nil
}

// create makes a new file. The umask applies to mode.
func (d dirHandle) create(name string, flags int, mode fs.FileMode) (*os.File, error) {
	return d.root.OpenFile(name, flags|os.O_CREATE|os.O_EXCL, mode)
}

// open opens a file for reading, without waiting for the writer of a pipe.
func (d dirHandle) open(name string) (*os.File, error) {
	return d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// stat describes an entry; it does not follow a link.
func (d dirHandle) stat(name string) (fs.FileInfo, error) { return d.root.Lstat(name) }

// mkdir makes a directory. The umask applies to mode.
func (d dirHandle) mkdir(name string, mode fs.FileMode, without bool) error {
	if without {
		return ErrUmask
	}
	return d.root.Mkdir(name, mode.Perm())
}

// remove removes one entry: a directory only if it is empty, a link only itself.
func (d dirHandle) remove(name string, _ bool) error { return d.root.Remove(name) }

// rename moves an entry within the directory, over another one if need be.
func (d dirHandle) rename(from, to string) error { return d.root.Rename(from, to) }

// renameTo fails: os.Root stays within one directory.
func (d dirHandle) renameTo(from string, _ dirHandle, _ string) error {
	return &fs.PathError{Op: "rename", Path: from, Err: errors.ErrUnsupported}
}

// chmodDir gives this process's user all permissions on a directory that the user owns.
func (d dirHandle) chmodDir(name string) error { return d.root.Chmod(name, 0o700) }

// give changes the owner and the mode of the directory itself. Windows has neither.
func (d dirHandle) give(a Access) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	if a.UID != -1 || a.GID != -1 {
		if err := d.root.Lchown(".", a.UID, a.GID); err != nil {
			return err
		}
	}
	return d.root.Chmod(".", a.Mode)
}

// procPath returns "": these systems have no paths that lead to open files.
func procPath(*os.File) string { return "" }
