package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Empty removes everything in the directory, at most maxRemoved entries of it. The
// error says that something is left, and what.
//
// It descends into directories that belong to whom this one belongs to, on the
// same file system, as long as nobody else can write to the one that they are in:
// others could have moved there what they could not have removed themselves.
// Those it removes if they are empty.
func (d *Dir) Empty() error {
	if d.Owned() {
		// Whatever it has become; an error of this shows below.
		d.self.Chmod(d.info.Mode()&permissions | 0o700)
	}
	e := emptying{top: d.self, left: maxRemoved, owner: owner(d.info), device: device(d.info)}
	for {
		e.moved = false
		if err := e.empty(d.self, 0); err != nil || !e.moved {
			return err
		}
	}
}

// emptying is an Empty under way.
type emptying struct {
	top    dirHandle
	left   int  // entries that may still be removed
	moved  bool // something was moved to the top, to be removed from there
	owner  int
	device uint64
}

// empty empties one directory. What cannot be removed does not keep the rest.
func (e *emptying) empty(d dirHandle, depth int) (first error) {
	info, err := d.Stat()
	if err != nil {
		return err
	}
	private := info.Mode()&0o022 == 0 && owner(info) == e.owner
	if _, err := d.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		names, err := d.Readdirnames(readNames)
		for _, name := range names {
			if e.left--; e.left < 0 {
				return fmt.Errorf("%s holds more than the %d entries that are removed at once", d.Name(), maxRemoved)
			}
			if err := e.remove(d, name, depth, private); err != nil && first == nil {
				first = err
			}
		}
		if err == io.EOF {
			return first
		}
		if err != nil {
			return err
		}
	}
}

func (e *emptying) remove(d dirHandle, name string, depth int, private bool) error {
	err := d.remove(name, false)
	if err == nil {
		return nil
	}
	info, statErr := d.stat(name)
	if statErr != nil || !info.IsDir() {
		return err
	}
	if private && owner(info) == e.owner && device(info) == e.device {
		if depth == maxDepth {
			// Its turn comes when it is not so deep any more. Each level is a
			// descriptor.
			err := d.renameTo(name, e.top, NewName("deep"))
			e.moved = e.moved || err == nil
			return err
		}
		sub, err := d.subOwn(name)
		if err != nil {
			return err
		}
		// It may be another one by now.
		if opened, err := sub.Stat(); err == nil && same(info, opened) {
			e.empty(sub, depth+1) // its own error shows in the next line
		}
		sub.Close()
		if e.moved && e.left >= 0 {
			d.remove(name, true) // if it is not empty yet, it is the next time
			return nil
		}
	}
	return d.remove(name, true)
}

// subOwn opens a directory to be read, also one of this process's user that its
// mode keeps from that.
func (d dirHandle) subOwn(name string) (dirHandle, error) {
	sub, err := d.sub(name)
	if !errors.Is(err, fs.ErrPermission) {
		return sub, err
	}
	if info, statErr := d.stat(name); statErr != nil || !info.IsDir() || owner(info) != os.Geteuid() {
		return sub, err
	}
	if err := d.chmodDir(name); err != nil {
		return sub, err
	}
	return d.sub(name)
}
