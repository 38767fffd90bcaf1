package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/group"
)

const (
	// dirPrefix begins the name of every socket directory, by which the next
	// host finds those of dead ones.
	dirPrefix = "tenon-"
	// lockName is the file in each directory that its host holds a lock on for
	// as long as the plugin runs. The kernel lets go of it when the host dies,
	// in whatever way.
	lockName = ".tenon-host"
)

// The modes of directories and sockets that one user has for himself.
const (
	dirMode    = 0o700
	socketMode = 0o600
)

// socketDir is the private directory (mode 0700) that one plugin's sockets live
// in, or one that a group shares (mode 0770). It is removed with the plugin;
// should the host die first, the next host finds it without a lock and removes
// it.
type socketDir struct {
	path  string
	owner owner
	lock  *os.File // nil where files cannot be locked
}

// newSocketDir makes a directory below parent and gives it to its owner.
func newSocketDir(parent string, o owner) (*socketDir, error) {
	for range dirTries {
		path, err := os.MkdirTemp(parent, dirPrefix)
		if err != nil {
			return nil, err
		}
		if len(path) > maxSocketDir {
			os.Remove(path)
			return nil, &dirTooLongError{path}
		}
		lock, err := lockFile(filepath.Join(path, lockName), true)
		if err == nil {
			err = o.give(path, dirMode, group.DirMode)
		}
		if err == nil {
			return &socketDir{path, o, lock}, nil
		}
		closeFile(lock)
		os.RemoveAll(path)
		// A sweep that ran between the two calls took the directory for a dead
		// host's, and has the lock or has removed the directory already. The
		// next one has another name.
		if !errors.Is(err, errLocked) && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("making the plugin's socket directory: %w", errLocked)
}

// remove removes the directory with everything in it, and then lets go of the
// lock. The lock's file goes last: without it, a sweep would not know what a
// host has left that died meanwhile.
func (d *socketDir) remove() {
	entries, _ := os.ReadDir(d.path)
	for _, entry := range entries {
		if entry.Name() != lockName {
			os.RemoveAll(filepath.Join(d.path, entry.Name()))
		}
	}
	os.RemoveAll(d.path)
	closeFile(d.lock)
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// dirTooLongError says that a socket directory's name leaves no room for the
// socket's.
type dirTooLongError struct{ path string }

func (e *dirTooLongError) Error() string {
	return fmt.Sprintf("the socket directory %q is %d bytes long; at most %d leave room for the sockets in it", e.path, len(e.path), maxSocketDir)
}

// sweepTemp sweeps where hosts make their directories, once in the life of a host:
// more often, each start would pay for reading a directory that others fill.
var sweepTemp = sync.OnceFunc(func() { sweep(os.TempDir()) })

// sweep removes from parent the directories of hosts that died without removing
// them, for sockets and for copies of plugins: those that a host of this user has
// made and nobody holds the lock of.
func sweep(parent string) {
	dir, err := os.Open(parent)
	if err != nil {
		return
	}
	defer dir.Close()
	entries, _ := dir.ReadDir(maxSwept) // what was read counts, whatever came after
	for _, entry := range entries {
		if entry.IsDir() && strings.HasPrefix(entry.Name(), dirPrefix) {
			sweepDir(filepath.Join(parent, entry.Name()))
		}
	}
}

func sweepDir(path string) {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return
	}
	switch info.Mode().Perm() {
	case dirMode, group.DirMode, dirExecuted:
	default:
		return
	}
	if !ownFile(info) {
		// The directory is that of a plugin which runs as another user. Whose host
		// it was says the lock.
		if info, err := os.Lstat(filepath.Join(path, lockName)); err != nil || !info.Mode().IsRegular() || !ownFile(info) {
			return
		}
	}
	lock, err := lockFile(filepath.Join(path, lockName), false)
	if errors.Is(err, fs.ErrNotExist) {
		// Its host died before it had made the lock, or after it had removed it.
		// The directory is empty then; what else is in it is not ours to judge.
		// A host that is only about to make the lock makes another directory.
		os.Remove(path)
		return
	}
	if err != nil || lock == nil {
		return // in use, or not ours to judge
	}
	os.RemoveAll(path)
	lock.Close()
}

// removeSocket removes the socket at path after the plugin ended, if it is one
// that the plugin has left: a socket in dir that is not older than the plugin.
// Plugins of old libraries ignore the directory they are given, and plugins
// that are killed leave their sockets wherever they are. A plugin that names
// someone else's socket in its handshake must not have it removed.
func removeSocket(path, dir string, started time.Time) {
	if path == "" || !filepath.IsAbs(path) || filepath.Dir(path) != filepath.Clean(dir) {
		return
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return
	}
	// File times may lag the clock by a tick.
	if info.ModTime().Before(started.Add(-time.Second)) {
		return
	}
	os.Remove(path)
}

// errLocked says that another process holds the lock.
var errLocked = errors.New("the directory is in use")
