//go:build !linux

package files

import (
	"io/fs"
	"net"
	"os"
)

// listenPath listens on a socket in dir, whose path is path. These systems can bind only
// by path; the entry in dir is compared with what was made, and given its access there.
func listenPath(dir dirHandle, path, name string, a Access) (net.Listener, fs.FileInfo, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	info, err := giveSocket(dir, name, a)
	if err != nil {
		l.Close()
		return nil, nil, err
	}
	return l, info, nil
}

// listenWithin is listenPath with the path that dir had when it was opened.
func listenWithin(dir dirHandle, name string, a Access) (net.Listener, fs.FileInfo, error) {
	return listenPath(dir, dir.path+string(os.PathSeparator)+name, name, a)
}

// giveSocket gives the access a to the socket that was just made in dir. If it fails, the
// socket is removed.
func giveSocket(dir dirHandle, name string, a Access) (fs.FileInfo, error) {
	info, err := dir.stat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode().Type() != fs.ModeSocket || owner(info) != os.Geteuid() {
		return nil, &fs.PathError{Op: "protect", Path: name, Err: ErrReplaced}
	}
	if a.UID != -1 || a.GID != -1 {
		err = dir.root.Lchown(name, a.UID, a.GID)
	}
	if err == nil && info.Mode()&permissions != a.Mode {
		err = dir.root.Chmod(name, a.Mode)
	}
	if err != nil {
		dir.removeSocket(name, info)
		return nil, err
	}
	return dir.stat(name)
}
