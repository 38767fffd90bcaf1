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

// Dir is a directory that is held by a descriptor: one that this process has made
// or found, or one in which it makes others, which may be anybody's. Its methods
// take names of entries, never paths, and may be called by several goroutines at
// once, but for Close.
type Dir struct {
	self dirHandle
	name string
	path string
	info fs.FileInfo // what it was when it was opened
}

// OpenParent opens the directory at path, which links may lead to, to make and
// find others in it.
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

// NewName returns a name that is likely not in use: prefix, and six letters and
// digits.
func NewName(prefix string) string {
	text := strconv.FormatUint(rand.Uint64N(names), 36)
	for len(text) < NameLength {
		text = "0" + text
	}
	return prefix + text
}

// Make makes a directory, which belongs to this process's user and has exactly the
// permissions of mode, among which must be the user's own. It is an error that
// wraps fs.ErrExist if anything is there.
func (d *Dir) Make(name string, mode fs.FileMode) (*Dir, error) {
	return makeDir(d.self, d.path, name, mode)
}

// Find opens a directory in the directory, which must not be a link to one.
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
		// The umask has taken even this user's permission to read it.
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

// fresh makes sure that the directory is the one that was just made, and that it
// has the permissions it is to have: nothing is in it, and it is this user's.
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

// FindOwn is Find, also for a directory of this process's user that its mode keeps
// from being opened.
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

// refresh looks at the directory anew.
func (d *Dir) refresh() (err error) {
	d.info, err = d.self.Stat()
	return err
}

// Path returns where the directory was when it was opened.
func (d *Dir) Path() string { return d.path }

// Info says what the directory was when it was opened, or given away.
func (d *Dir) Info() fs.FileInfo { return d.info }

// Owned reports whether the directory is this process's user's.
func (d *Dir) Owned() bool { return owner(d.info) == os.Geteuid() }

// Give gives the directory away.
func (d *Dir) Give(a Access) error {
	if err := d.self.give(a); err != nil {
		return err
	}
	return d.refresh()
}

// Has reports whether a directory that was made or found here is still here.
func (d *Dir) Has(sub *Dir) bool {
	there, err := d.self.stat(sub.name)
	return err == nil && same(sub.info, there)
}

// Create makes a new file, which must not be there. flags are those of
// os.OpenFile besides.
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

// Open opens a file to be read. It does not wait for the other end of a pipe.
func (d *Dir) Open(name string) (*os.File, error) { return d.self.open(name) }

// Mend gives the directory the mode that it had when it was opened or given away,
// if it is this process's user's.
func (d *Dir) Mend() {
	if d.Owned() {
		d.self.Chmod(d.info.Mode() & permissions) // an error shows in what comes next
	}
}

// Strip removes everything in the directory but what directories hold that are not
// empty: at most maxRemoved entries.
func (d *Dir) Strip() error {
	// Not by the handle that has been read to its end: for that, Wine keeps to what it
	// has found the first time.
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

// Remove removes a directory that was made or found here, which must be empty, if
// it is still here. It is closed in any case. The error wraps fs.ErrNotExist if
// nothing is there any more.
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

// Close lets go of the directory, and of the hold on it.
func (d *Dir) Close() error { return d.self.Close() }
