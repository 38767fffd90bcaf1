// Package files makes, gives away and removes files, directories and sockets in places
// that somebody else may change at the same moment: another user, a confined plugin, a
// member of a group. No other package of the library does so.
//
// A path is resolved once. After that everything is done through descriptors that were
// opened without following links, and by names of one component below them. Before
// anything is given away or removed it is compared with what was made (device, inode,
// owner). The last step never removes more than one entry of a directory that is held:
// unlinkat(2) removes neither what a link leads to nor a directory that is not empty.
//
// On Linux this holds whatever the other side does. Elsewhere os.Root keeps everything
// within the directory that was opened. No part of it needs /proc.
//
// plugin/host/SECURITY.md lists for each path who may change it and when.
package files

import (
	"errors"
	"io/fs"
	"os"
)

// Access is an owner, a group and permissions to be given to a file.
type Access struct {
	UID, GID int // -1: unchanged
	Mode     fs.FileMode
}

// SocketMode is the mode of a socket for one user.
const SocketMode = 0o600

// Private returns the access of this process's user alone.
func Private(mode fs.FileMode) Access { return Access{-1, -1, mode} }

var (
	// ErrReplaced reports that something else is where this process has made or found
	// something.
	ErrReplaced = errors.New("it was replaced by something else")
	// ErrHeld reports that another process holds a directory.
	ErrHeld = errors.New("the directory is in use")
	// ErrUmask reports that what was made lacks permissions because of the umask, in a
	// place where it cannot be made otherwise.
	ErrUmask = errors.New("the umask removes permissions that are needed, and the system cannot set another for one file; set one such as 0077")
)

// same reports whether a and b are the same file with the same owner.
func same(a, b fs.FileInfo) bool { return os.SameFile(a, b) && owner(a) == owner(b) }

// permissions are the mode bits that chmod(2) sets and that this package uses.
const permissions = fs.ModePerm | fs.ModeSticky
