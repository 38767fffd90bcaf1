package host

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/tenonrpc/tenon/plugin/internal/files"
)

const (
	// dirPrefix begins the name of every directory that a host makes for a
	// plugin, by which the next host finds those of dead ones.
	dirPrefix = "tenon-"
	// In that directory the plugin has one for its sockets, and the host one for
	// those that it listens on.
	pluginDirName = "p"
	hostDirName   = "h"
	// keepName is the file in it that a plugin inherits, locked, which is to
	// outlive its host.
	keepName = "keep"
)

// The modes of these directories. The sticky bit on the outer one, which means
// nothing where only one user can write, is how a sweep knows it from whatever
// else somebody has given such a name: it is there from the first moment on.
const (
	outerMode       = 0o700 | fs.ModeSticky
	outerSharedMode = 0o711 | fs.ModeSticky
	dirMode         = 0o700
	dirSharedMode   = 0o711
)

// socketDir is where one plugin's sockets live, and its host's for it: a directory
// that only this process's user can change, and in it one of the plugin's. It is
// removed with the plugin; should the host die first, the next host finds that
// nobody holds it and removes it. plugin/host/SECURITY.md says who may do what
// there.
type socketDir struct {
	to     owner
	detach bool
	one    bool   // the host's sockets are in the plugin's directory
	path   string // the plugin's directory, where it is made anew, too

	mu sync.Mutex
	// guarded by mu
	outer  *files.Dir // held: see files.Dir.Hold
	host   *files.Dir // nil until it is needed
	keep   *os.File   // nil unless the plugin is to outlive its host
	closed bool
}

// newSocketDir makes the directories below parent. With one, the host's sockets
// are in the plugin's: for a Runner, which knows of one directory.
func newSocketDir(parent string, to owner, detach, one bool) (*socketDir, error) {
	d := &socketDir{to: to, detach: detach && files.CanHold, one: one}
	p, err := files.OpenParent(parent)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	for range dirTries {
		outer, err := makeOuter(p, files.NewName(dirPrefix), to.outerMode())
		if err != nil {
			if retryable(err) {
				continue
			}
			return nil, err
		}
		if err := d.fill(outer); err != nil {
			removeOuter(p, outer)
			if retryable(err) {
				continue
			}
			return nil, err
		}
		d.path = filepath.Join(outer.Path(), pluginDirName)
		return d, nil
	}
	return nil, fmt.Errorf("making the plugin's socket directory: %w", files.ErrHeld)
}

// retryable reports whether a directory with another name may do: this one is
// somebody else's, or a sweep took it for a dead host's before it was held, or
// systemd-tmpfiles has just looked at it.
func retryable(err error) bool {
	return errors.Is(err, fs.ErrExist) || errors.Is(err, files.ErrHeld) || errors.Is(err, files.ErrReplaced) || errors.Is(err, fs.ErrNotExist)
}

// makeOuter makes a directory of that name and holds it.
func makeOuter(parent *files.Dir, name string, mode fs.FileMode) (*files.Dir, error) {
	outer, err := parent.Make(name, mode)
	if err != nil {
		return nil, err
	}
	err = outer.Hold()
	if err == nil && !parent.Has(outer) {
		err = files.ErrReplaced
	}
	if err != nil {
		parent.Remove(outer)
		return nil, err
	}
	return outer, nil
}

// fill makes what is missing in the outer directory, and takes it over.
func (d *socketDir) fill(outer *files.Dir) error {
	plugin, err := findOrMake(outer, pluginDirName, dirMode, d.to.dir())
	if err != nil {
		return err
	}
	plugin.Close()
	if d.detach && d.keep == nil {
		if d.keep, err = makeKeep(outer); err != nil {
			return err
		}
	}
	d.outer = outer
	return nil
}

// listenIn opens a listener in the directory for the host's sockets, which is made
// with the first one. It is called with mu held.
func (d *socketDir) listenIn(name string) (net.Listener, error) {
	if d.host == nil {
		name, mode := hostDirName, d.to.hostDirMode()
		access := files.Private(mode)
		if d.one {
			name, mode, access = pluginDirName, dirMode, d.to.dir()
		}
		var err error
		if d.host, err = findOrMake(d.outer, name, mode, access); err != nil {
			return nil, err
		}
	}
	return d.host.Listen(name, d.to.socket())
}

// findOrMake returns a directory in the outer one. A new one is given away.
func findOrMake(outer *files.Dir, name string, mode fs.FileMode, a files.Access) (*files.Dir, error) {
	sub, err := outer.Find(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return sub, err
	}
	if sub, err = outer.Make(name, mode); err != nil {
		return nil, err
	}
	if err := sub.Give(a); err != nil {
		sub.Close()
		return nil, err
	}
	return sub, nil
}

func makeKeep(outer *files.Dir) (*os.File, error) {
	f, err := outer.Create(keepName, os.O_RDONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := files.HoldFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// listen opens a listener on a socket of that name among the host's. If the
// directories are gone, as they are where something clears old files away, they
// are made anew in the same place.
func (d *socketDir) listen(name string) (net.Listener, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, net.ErrClosed
	}
	l, err := d.listenIn(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := d.renew(); err != nil {
			return nil, fmt.Errorf("the directory for sockets is gone, and cannot be made again: %w", err)
		}
		l, err = d.listenIn(name)
	}
	return l, err
}

// renew is called with mu held.
func (d *socketDir) renew() error {
	parent, err := files.OpenParent(filepath.Dir(d.outer.Path()))
	if err != nil {
		return err
	}
	defer parent.Close()
	if d.host != nil {
		d.host.Close()
		d.host = nil
	}
	old := d.outer
	if parent.Has(old) { // what was in it is gone
		return d.fill(old)
	}
	outer, err := makeOuter(parent, filepath.Base(old.Path()), d.to.outerMode())
	if err != nil {
		return err
	}
	if err := d.fill(outer); err != nil {
		removeOuter(parent, outer)
		return err
	}
	old.Close()
	return nil
}

// remove removes the directories with everything in them, and lets go of them.
// The error says what is left: it is for the next host to remove.
func (d *socketDir) remove() error {
	parent, outer := d.close()
	if outer == nil {
		return nil
	}
	p, err := files.OpenParent(parent)
	if err != nil {
		outer.Close()
		return err
	}
	defer p.Close()
	return removeOuter(p, outer)
}

// letGo leaves the directories to the plugin.
func (d *socketDir) letGo() {
	if _, outer := d.close(); outer != nil {
		outer.Close()
	}
}

// close ends the use of the directories. It returns the outer one, unless that
// was done before.
func (d *socketDir) close() (parent string, outer *files.Dir) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return "", nil
	}
	d.closed = true
	if d.host != nil {
		d.host.Close()
	}
	closeFile(d.keep)
	return filepath.Dir(d.outer.Path()), d.outer
}

// removeOuter removes a directory as makeOuter makes it, and closes it.
func removeOuter(parent, outer *files.Dir) error {
	left := removeAll(outer)
	err := parent.Remove(outer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody has cleared it away
	}
	return errors.Join(left, err)
}

// removeAll removes what is in such a directory. What is the plugin's goes by the
// rules for what is the plugin's: see files.Dir.Empty.
func removeAll(outer *files.Dir) error {
	outer.Mend()
	var failed error
	for _, name := range []string{pluginDirName, hostDirName} {
		sub, err := outer.FindOwn(name)
		if err != nil {
			continue // none, or something else, which goes with the rest
		}
		failed = errors.Join(failed, sub.Empty(), outer.Remove(sub))
	}
	return errors.Join(failed, outer.Strip())
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// swept are the directories that this process has swept: once in the life of a
// host is enough, since each sweep reads a directory that others fill.
var swept struct {
	mu    sync.Mutex
	paths []string
}

// sweepOnce sweeps a directory the first time that it is called for it.
func sweepOnce(parent string) {
	parent, err := filepath.Abs(parent)
	if err != nil {
		return
	}
	swept.mu.Lock()
	known := len(swept.paths) == maxParents
	for _, path := range swept.paths {
		known = known || path == parent
	}
	if !known {
		swept.paths = append(swept.paths, parent)
	}
	swept.mu.Unlock()
	if !known {
		sweep(parent)
	}
}

// sweep removes from parent the directories of hosts that died without removing
// them, for sockets and for copies of plugins: those that a host of this user has
// made and nobody holds.
func sweep(parent string) {
	p, err := files.OpenParent(parent)
	if err != nil {
		return
	}
	defer p.Close()
	names, _ := p.Names(maxSwept) // what was read counts, whatever came after
	for _, name := range names {
		if strings.HasPrefix(name, dirPrefix) {
			sweepDir(p, name)
		}
	}
}

func sweepDir(parent *files.Dir, name string) {
	d, err := parent.Find(name)
	if err != nil {
		return
	}
	if !outerKind(d) || d.Claim() != nil || !unkept(d) {
		d.Close()
		return
	}
	removeOuter(parent, d)
}

// outerKind reports whether a directory is one that a host of this user has made.
func outerKind(d *files.Dir) bool {
	mode := d.Info().Mode() & (fs.ModePerm | fs.ModeSticky | fs.ModeSetgid | fs.ModeSetuid)
	return d.Owned() && (mode == outerMode || mode == outerSharedMode)
}

// unkept reports whether no plugin holds the directory that has outlived its host.
func unkept(d *files.Dir) bool {
	f, err := d.Open(keepName)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return false
	}
	defer f.Close()
	return files.ClaimFile(f) == nil
}

// listenerName returns the name of the nth socket of the host's.
func listenerName(n uint64) string { return "host" + strconv.FormatUint(n, 10) }
