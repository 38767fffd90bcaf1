package files

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Replace writes a file at path that only this user can read, with mode 0600. A
// file that is there is replaced in one step, and stays as it was if that fails.
func Replace(path string, data []byte) error {
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
	if err := fill(f, data); err != nil {
		dir.remove(temp, false)
		return err
	}
	if err := dir.rename(temp, filepath.Base(path)); err != nil {
		dir.remove(temp, false)
		return err
	}
	return nil
}

func fill(f *os.File, data []byte) error {
	if err := f.Chmod(0o600); err != nil { // whatever the umask has taken
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

// Read opens the regular file at path to be read, and says what it is. Something
// else is an error, and is not waited for.
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

// Trusted reports whether a file belongs to this process's user, or to root, who
// can do all that this user can. Where files have no such owners it is true.
func Trusted(info fs.FileInfo) bool {
	switch owner(info) {
	case -1, 0, os.Geteuid():
		return true
	}
	return false
}

// Socket is somebody else's socket that was found.
type Socket struct {
	path  string
	dir   dirHandle // open until Close
	place fs.FileInfo
	info  fs.FileInfo
}

// OpenSocket looks at the socket at path, which must not be a link to one, and
// holds its directory. It is false if there is none.
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

// DialPath returns a path to the socket by the directory that is held, "" where
// there is none. It is good until Close.
func (s *Socket) DialPath() string {
	if path := procPath(s.dir.File); path != "" {
		return path + "/" + filepath.Base(s.path)
	}
	return ""
}

// Unchanged reports whether the socket is still the one that was found.
func (s *Socket) Unchanged() bool { return s.isIn(s.dir) == nil }

// isIn returns an error unless the socket is in dir. File systems use the number of
// a file again at once, and a new socket has another time.
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

// Owner returns the number of the user to whom the socket belongs.
func (s *Socket) Owner() int { return owner(s.info) }

// Close lets go of the directory. Remove can be called afterwards.
func (s *Socket) Close() error { return s.dir.Close() }

// Remove removes the socket if it is still the one that was found, in the
// directory in which it was found.
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
