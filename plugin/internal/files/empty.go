package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Empty removes everything in the directory, at most maxRemoved entries. The error names
// something that is left.
//
// It descends into directories of the same owner on the same file system, as long as
// nobody else can write to the directory that contains them: others could have moved
// there what they could not have removed themselves. Those directories are removed only
// if they are empty.
func (d *Dir) Empty() error {
	if d.Owned() {
		// Whatever its mode has become; an error shows below.
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

// emptying is the state of a call of Empty.
type emptying struct {
	top    dirHandle
	left   int  // entries that may still be removed
	moved  bool // something was moved to the top, to be removed there
	owner  int
	device uint64
}

// empty empties one directory. An entry that cannot be removed does not keep it from
// removing the others.
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
			// It is removed later, when it is not so deep any more. Each level takes a
			// descriptor.
			err := d.renameTo(name, e.top, NewName("deep"))
			e.moved = e.moved || err == nil
			return err
		}
		sub, err := d.subOwn(name)
		if err != nil {
			return err
		}
		// It may have been replaced by now.
		if opened, err := sub.Stat(); err == nil && same(info, opened) {
			e.empty(sub, depth+1) // an error of this shows in the next line
		}
		sub.Close()
		if e.moved && e.left >= 0 {
			d.remove(name, true) // if it is not empty yet, the next pass removes it
			return nil
		}
	}
	return d.remove(name, true)
}

// subOwn opens a directory for reading, even one of this process's user whose mode
// prevents that.
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
