// Package files makes, gives away and removes files, directories and sockets in
// places that somebody else may change at the same moment: another user, a
// confined plugin, a member of a group. It is the only package of the library
// that does so.
//
// A path is looked up once. From then on everything happens by descriptors that
// were opened without following links, and by names of one component below them.
// Before anything is given away or removed it is compared with what was made
// (device, inode, owner), and the last step never takes more than one entry of a
// directory that is held: unlinkat(2) takes neither what a link leads to nor a
// directory that is not empty.
//
// On Linux that holds whatever the other side does. Elsewhere os.Root keeps
// everything within the directory that was opened. No part of it needs /proc.
//
// The page plugin/host/SECURITY.md says for each path who may change it when.
package files

import (
	"errors"
	"io/fs"
	"os"
)

// Access says to whom something is given, and with which permissions.
type Access struct {
	UID, GID int // -1: it stays this process's
	Mode     fs.FileMode
}

// SocketMode is the mode of a socket that one user has for himself.
const SocketMode = 0o600

// Private is the access of this process's user alone.
func Private(mode fs.FileMode) Access { return Access{-1, -1, mode} }

var (
	// ErrReplaced says that something else is where this process has made
	// something, or found it before.
	ErrReplaced = errors.New("it was replaced by something else")
	// ErrHeld says that another process holds a directory.
	ErrHeld = errors.New("the directory is in use")
	// ErrUmask says that what was made lacks permissions that the umask has
	// taken, in a place where it cannot be made otherwise.
	ErrUmask = errors.New("the umask takes permissions that are needed, and the system allows no other for one file; set one such as 0077")
)

// same reports whether a and b are the same file, of the same owner.
func same(a, b fs.FileInfo) bool { return os.SameFile(a, b) && owner(a) == owner(b) }

// permissions are the bits of a mode that chmod(2) sets and that are used here.
const permissions = fs.ModePerm | fs.ModeSticky
