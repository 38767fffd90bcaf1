package files

import (
	"fmt"
	"io"
)

// Empty removes everything in the directory, at most maxRemoved entries of it and
// maxDepth directories deep. The error says that something is left, and what.
//
// It descends into directories that belong to whom this one belongs to, on the
// same file system, and not at all if others can write to this one: they could
// have moved here what they could not have removed themselves. Those it removes
// if they are empty.
func (d *Dir) Empty() error {
	if info, err := d.self.Stat(); err == nil && d.Owned() && info.Mode()&0o700 != 0o700 {
		// Whatever it has become. What else its mode says stays, and an error of
		// this shows below.
		d.self.Chmod(info.Mode()&permissions | 0o700)
	}
	e := emptying{left: maxRemoved, private: d.info.Mode()&0o022 == 0, owner: owner(d.info), device: device(d.info)}
	return e.empty(d.self, 0)
}

// emptying is an Empty under way.
type emptying struct {
	left    int // entries that may still be removed
	private bool
	owner   int
	device  uint64
}

// empty empties one directory. What cannot be removed does not keep the rest.
func (e *emptying) empty(d dirHandle, depth int) (first error) {
	if _, err := d.Seek(0, io.SeekStart); err != nil {
		return err
	}
	for {
		names, err := d.Readdirnames(readNames)
		for _, name := range names {
			if e.left--; e.left < 0 {
				return fmt.Errorf("%s holds more than the %d entries that are removed at once", d.Name(), maxRemoved)
			}
			if err := e.remove(d, name, depth); err != nil && first == nil {
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

func (e *emptying) remove(d dirHandle, name string, depth int) error {
	err := d.remove(name, false)
	if err == nil {
		return nil
	}
	info, statErr := d.stat(name)
	if statErr != nil || !info.IsDir() {
		return err
	}
	if e.private && depth < maxDepth && owner(info) == e.owner && device(info) == e.device {
		sub, err := d.sub(name)
		if err != nil {
			return err
		}
		// It may be another one by now.
		if opened, err := sub.Stat(); err == nil && same(info, opened) {
			e.empty(sub, depth+1) // its own error shows in the next line
		}
		sub.Close()
	}
	return d.remove(name, true)
}
