package files

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"sync"
	"syscall"
)

// Listen listens on a unix socket with a new name that begins with prefix, in the
// directory at path. The socket gets exactly the access a before anyone can connect. If
// ready is not nil, Listen waits for it just before making the socket. Closing the
// listener removes the socket if it is still there. Unlike the listeners of package net
// it never removes another program's file.
//
// The socket is bound by its path, so that the system shows that path. Whoever can change
// the way to the directory decides where the socket is made, and nothing else.
func Listen(path, prefix string, a Access, ready <-chan struct{}) (net.Listener, error) {
	dir, err := openDir(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	place, err := dir.Stat()
	if err != nil {
		return nil, err
	}
	if ready != nil {
		<-ready
	}
	var (
		name string
		l    net.Listener
		made fs.FileInfo
	)
	// Binding fails if the name is taken, so it never replaces somebody's socket.
	for try := 0; try == 0 || errors.Is(err, syscall.EADDRINUSE) && try < maxNames; try++ {
		name = NewName(prefix)
		l, made, err = listenPath(dir, filepath.Join(path, name), name, a)
	}
	if err != nil {
		return nil, err
	}
	return &listener{listener: l, addr: net.UnixAddr{Net: "unix", Name: filepath.Join(path, name)}, remove: func() {
		// The directory is not kept open in between: a plugin may listen often.
		dir, err := openDir(path)
		if err != nil {
			return
		}
		defer dir.Close()
		if info, err := dir.Stat(); err == nil && same(info, place) {
			dir.removeSocket(name, made)
		}
	}}, nil
}

// Listen is like the function Listen, in the directory d. The directory's path may be
// longer than the system allows for sockets, as long as nobody dials the socket by it.
func (d *Dir) Listen(name string, a Access) (net.Listener, error) {
	l, made, err := listenWithin(d.self, name, a)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(d.path, name)
	return &listener{listener: l, addr: net.UnixAddr{Net: "unix", Name: path}, remove: func() { d.self.removeSocket(name, made) }}, nil
}

// removeSocket removes the socket that was made or found before, unless something else is
// in its place.
func (d dirHandle) removeSocket(name string, was fs.FileInfo) error {
	if err := d.isSocket(name, was); err != nil {
		return fmt.Errorf("removing a socket: %w", err)
	}
	return d.remove(name, false)
}

// isSocket returns an error unless the socket of that name is the one that was made or
// found before.
func (d dirHandle) isSocket(name string, was fs.FileInfo) error {
	there, err := d.stat(name)
	if err != nil {
		return err
	}
	if !same(there, was) || there.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%q: %w", name, ErrReplaced)
	}
	return nil
}

// listener is a listener whose socket is removed when it is closed.
type listener struct {
	listener net.Listener
	addr     net.UnixAddr
	remove   func()
	once     sync.Once
}

func (l *listener) Accept() (net.Conn, error) { return l.listener.Accept() }

// Addr returns the socket's path, as others dial it.
func (l *listener) Addr() net.Addr { return &l.addr }

// Close removes the socket first, because whoever finds it can connect.
func (l *listener) Close() error {
	l.once.Do(l.remove)
	return l.listener.Close()
}
