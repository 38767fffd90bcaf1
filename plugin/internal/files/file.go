package files

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Replace writes a file at path with that mode. An existing file is replaced in one step,
// and stays unchanged if that fails.
func Replace(path string, data []byte, mode fs.FileMode) error {
	dir, err := openDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	temp := NewName("." + filepath.Base(path) + "-")
	f, err := dir.create(temp, os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fill(f, data, mode); err != nil {
		dir.remove(temp, false)
		return err
	}
	if err := dir.rename(temp, filepath.Base(path)); err != nil {
		dir.remove(temp, false)
		return err
	}
	return nil
}

func fill(f *os.File, data []byte, mode fs.FileMode) error {
	if err := f.Chmod(mode); err != nil { // whatever the umask has removed
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// Read opens the regular file at path for reading, and describes it. Anything but a
// regular file is an error, and Read does not wait for it.
func Read(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%q is not a file", path)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// Own reports whether a file belongs to this process's user.
func Own(info fs.FileInfo) bool { return owner(info) == os.Geteuid() }

// Trusted reports whether a file belongs to this process's user or to root, who can do
// everything that this user can. It is true where files have no such owners.
func Trusted(info fs.FileInfo) bool {
	switch owner(info) {
	case -1, 0, os.Geteuid():
		return true
	}
	return false
}

// Socket is a socket that somebody else has made.
type Socket struct {
	path  string
	dir   dirHandle // open until Close
	place fs.FileInfo
	info  fs.FileInfo
}

// OpenSocket finds the socket at path, which must not be a link, and holds its directory
// open. It reports false if there is none.
func OpenSocket(path string) (*Socket, bool) {
	s := &Socket{path: path}
	var err error
	if s.dir, err = openDir(filepath.Dir(path)); err != nil {
		return nil, false
	}
	if s.place, err = s.dir.Stat(); err == nil {
		s.info, err = s.dir.stat(filepath.Base(path))
	}
	if err != nil || s.info.Mode().Type() != fs.ModeSocket {
		s.Close()
		return nil, false
	}
	return s, true
}

// DialPath returns a path to the socket through the directory that is held, or "" if
// there is none. It is valid until Close.
func (s *Socket) DialPath() string {
	if path := procPath(s.dir.File); path != "" {
		return path + "/" + filepath.Base(s.path)
	}
	return ""
}

// Unchanged reports whether the socket is still the one that was found.
func (s *Socket) Unchanged() bool { return s.isIn(s.dir) == nil }

// isIn returns an error unless the socket is in dir. File systems reuse a file's number
// at once; the time tells a new socket apart.
func (s *Socket) isIn(dir dirHandle) error {
	there, err := dir.stat(filepath.Base(s.path))
	if err != nil {
		return err
	}
	if !there.ModTime().Equal(s.info.ModTime()) {
		return ErrReplaced
	}
	return dir.isSocket(filepath.Base(s.path), s.info)
}

// Owner returns the number of the user who owns the socket.
func (s *Socket) Owner() int { return owner(s.info) }

// Close releases the directory. Remove can be called afterwards.
func (s *Socket) Close() error { return s.dir.Close() }

// Remove removes the socket from the directory in which it was found, if it is still the
// same socket.
func (s *Socket) Remove() error {
	dir, err := openDir(filepath.Dir(s.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	if info, err := dir.Stat(); err != nil || !same(info, s.place) {
		return fmt.Errorf("removing %q: its directory: %w", s.path, ErrReplaced)
	}
	if err := s.isIn(dir); err != nil {
		return fmt.Errorf("removing %q: %w", s.path, err)
	}
	return dir.removeSocket(filepath.Base(s.path), s.info)
}
