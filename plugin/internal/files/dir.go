package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// Dir is a directory that is held by a descriptor: one that this process has made or
// found, or one in which it makes others, which may belong to anyone. Its methods take
// names of entries, never paths. They may be called by several goroutines at once, except
// Close.
type Dir struct {
	self dirHandle
	name string
	path string
	info fs.FileInfo // as it was when it was opened or given away
}

// OpenParent opens the directory at path, following links, in order to make and find
// other directories in it.
func OpenParent(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	self, err := openDir(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{self: self, path: path}
	if err := d.refresh(); err != nil {
		self.Close()
		return nil, err
	}
	return d, nil
}

// NewName returns a name that is probably not in use: prefix, and six letters and digits.
func NewName(prefix string) string {
	text := strconv.FormatUint(rand.Uint64N(names), 36)
	for len(text) < NameLength {
		text = "0" + text
	}
	return prefix + text
}

// Make makes a directory that belongs to this process's user and has exactly the
// permissions of mode, which must include the user's own. The error wraps fs.ErrExist if
// the name exists.
func (d *Dir) Make(name string, mode fs.FileMode) (*Dir, error) {
	return makeDir(d.self, d.path, name, mode)
}

// Find opens a directory in the directory; a link to one is refused.
func (d *Dir) Find(name string) (*Dir, error) { return findDir(d.self, d.path, name) }

// Names returns the names of at most limit entries.
func (d *Dir) Names(limit int) ([]string, error) {
	f, err := d.self.sub(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(limit)
	if err == io.EOF {
		err = nil
	}
	return names, err
}

func makeDir(parent dirHandle, path, name string, mode fs.FileMode) (*Dir, error) {
	if err := parent.mkdir(name, mode, false); err != nil {
		return nil, err
	}
	d, err := findDir(parent, path, name)
	if errors.Is(err, fs.ErrPermission) {
		// The umask has removed even this user's permission to read it.
		if err := parent.remove(name, true); err != nil {
			return nil, err
		}
		if err := parent.mkdir(name, mode, true); err != nil {
			return nil, fmt.Errorf("%w (%w)", ErrUmask, err)
		}
		d, err = findDir(parent, path, name)
	}
	if err != nil {
		return nil, err
	}
	if err := d.fresh(mode); err != nil {
		d.Close()
		return nil, fmt.Errorf("making %s: %w", d.path, err)
	}
	return d, nil
}

// fresh checks that the directory is the one that was just made (it is empty, and belongs
// to this user), and gives it the permissions of mode.
func (d *Dir) fresh(mode fs.FileMode) error {
	if uid := os.Geteuid(); uid != -1 && owner(d.info) != -1 && owner(d.info) != uid {
		return ErrReplaced
	}
	if names, err := d.self.Readdirnames(1); err != io.EOF || len(names) > 0 {
		return ErrReplaced
	}
	if d.info.Mode()&permissions == mode {
		return nil
	}
	if err := d.self.give(Private(mode)); err != nil {
		return err
	}
	return d.refresh()
}

// FindOwn is Find, and also opens a directory of this process's user whose mode prevents
// that.
func (d *Dir) FindOwn(name string) (*Dir, error) {
	sub, err := d.self.subOwn(name)
	if err != nil {
		return nil, err
	}
	sub.Close()
	return d.Find(name)
}

func findDir(parent dirHandle, path, name string) (*Dir, error) {
	self, err := parent.sub(name)
	if err != nil {
		return nil, err
	}
	d := &Dir{self: self, name: name, path: filepath.Join(path, name)}
	if err := d.refresh(); err != nil {
		self.Close()
		return nil, err
	}
	return d, nil
}

// refresh updates info.
func (d *Dir) refresh() (err error) {
	d.info, err = d.self.Stat()
	return err
}

// Path returns the path of the directory when it was opened.
func (d *Dir) Path() string { return d.path }

// Info describes the directory as it was when it was opened or given away.
func (d *Dir) Info() fs.FileInfo { return d.info }

// Owned reports whether the directory belongs to this process's user.
func (d *Dir) Owned() bool { return owner(d.info) == os.Geteuid() }

// Give changes the directory's owner, group and mode to a.
func (d *Dir) Give(a Access) error {
	if err := d.self.give(a); err != nil {
		return err
	}
	return d.refresh()
}

// Has reports whether sub, which was made or found here, is still here.
func (d *Dir) Has(sub *Dir) bool {
	there, err := d.self.stat(sub.name)
	return err == nil && same(sub.info, there)
}

// Create makes a new file, which must not exist. flags are further flags of os.OpenFile.
func (d *Dir) Create(name string, flags int, mode fs.FileMode) (*os.File, error) {
	f, err := d.self.create(name, flags, mode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(mode); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Open opens a file for reading. It does not wait for the other end of a pipe.
func (d *Dir) Open(name string) (*os.File, error) { return d.self.open(name) }

// Mend restores the mode that the directory had when it was opened or given away, if it
// belongs to this process's user.
func (d *Dir) Mend() {
	if d.Owned() {
		d.self.Chmod(d.info.Mode() & permissions) // an error shows in what comes next
	}
}

// Strip removes everything in the directory, at most maxRemoved entries, except
// directories that are not empty.
func (d *Dir) Strip() error {
	// Not with the handle that has already been read to its end: for that one, Wine
	// repeats the names that it found the first time.
	names, err := d.Names(maxRemoved)
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		if err := d.self.remove(name, false); err != nil {
			if err := d.self.remove(name, true); err != nil {
				failed = errors.Join(failed, err)
			}
		}
	}
	return failed
}

// Remove removes sub, which was made or found here and must be empty, if it is still
// here. sub is closed in any case. The error wraps fs.ErrNotExist if nothing is there any
// more.
func (d *Dir) Remove(sub *Dir) error {
	there, err := d.self.stat(sub.name)
	sub.Close()
	if err != nil {
		return err
	}
	if !same(sub.info, there) {
		return fmt.Errorf("removing %s: %w", sub.path, ErrReplaced)
	}
	return d.self.remove(sub.name, true)
}

// Close closes the directory, and releases a lock of Hold or Claim.
func (d *Dir) Close() error { return d.self.Close() }
