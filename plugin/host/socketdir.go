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
	// dirPrefix begins the name of every directory that a host makes for a plugin. By
	// it the next host finds the directories of dead ones.
	dirPrefix = "tenon-"
	// In that directory, the plugin has one for its sockets, and the host one for those
	// that it listens on.
	pluginDirName = "p"
	hostDirName   = "h"
	// keepName is a file in it that a plugin which is to outlive its host inherits,
	// locked.
	keepName = "keep"
)

// The modes of these directories. The outer one's sticky bit has no effect where only
// one user can write; by it a sweep tells the directory from anything else with such a
// name. It is set from the first moment on.
const (
	outerMode       = 0o700 | fs.ModeSticky
	outerSharedMode = 0o711 | fs.ModeSticky
	dirMode         = 0o700
	dirSharedMode   = 0o711
)

// socketDir is the directory for the sockets of one plugin and of its host: only this
// process's user can change it, and a directory in it is the plugin's. It is removed
// with the plugin; if the host dies first, the next host finds that nobody holds it and
// removes it. plugin/host/SECURITY.md has who may do what there.
type socketDir struct {
	to     owner
	detach bool
	one    bool   // the host's sockets are in the plugin's directory
	path   string // the plugin's directory, also if it has to be made again

	mu sync.Mutex
	// guarded by mu
	outer  *files.Dir // held: see files.Dir.Hold
	host   *files.Dir // nil until it is needed
	keep   *os.File   // nil unless the plugin is to outlive its host
	closed bool
}

// newSocketDir makes the directories below parent. If one is set, the host's sockets
// are in the plugin's directory: for a Runner, which knows only that one.
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

// retryable reports whether a directory with another name may work: this one belongs to
// somebody else, or a sweep took it for a dead host's before it was held, or
// systemd-tmpfiles was just looking at it.
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

// fill makes what is missing in the outer directory, and keeps outer in d.
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

// listenIn opens a listener in the directory for the host's sockets, which is made with
// the first listener. It is called with mu held.
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

// findOrMake returns a directory in the outer one. If it makes it, it gives it away as
// a says.
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

// listen opens a listener on a socket of that name in the host's directory. If
// something has removed the directories, as cleaners of old files do, they are made
// again in the same place.
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

// renew makes the directories again. It is called with mu held.
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

// remove removes the directories with everything in them, and releases them. The error
// names what is left, for the next host to remove.
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

// close ends the use of the directories. It returns the outer one, or nil if it was
// closed before.
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

// removeOuter removes a directory made by makeOuter, and closes it.
func removeOuter(parent, outer *files.Dir) error {
	left := removeAll(outer)
	err := parent.Remove(outer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody has removed it
	}
	return errors.Join(left, err)
}

// removeAll removes what is in such a directory. For the plugin's directory special
// rules apply: see files.Dir.Empty.
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

// swept are the directories that this process has swept. Once in a host's life is
// enough, since each sweep reads a directory that others fill.
var swept struct {
	mu    sync.Mutex
	paths []string
}

// sweepOnce sweeps a directory, the first time that it is called for it.
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

// sweep removes from parent the directories that dead hosts have left, for sockets and
// for copies of plugins: those that a host of this user has made and nobody holds.
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

// unkept reports whether no plugin that has outlived its host holds the directory.
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

// listenerName returns the name of the host's nth socket.
func listenerName(n uint64) string { return "host" + strconv.FormatUint(n, 10) }
