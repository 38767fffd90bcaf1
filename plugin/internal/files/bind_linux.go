package files

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// A socket gets exactly the requested access before anyone can connect, because it does
// not listen before that. Its mode is set with fchmod(2) on its own descriptor, less what
// the process's umask removes. Missing permissions, and the owner, are then set on the
// entry in the directory, through a descriptor of that entry.
//
// A socket is bound to a path. If somebody else can change that path, it is not resolved
// again: /proc leads to the directory that is held open, and without /proc a thread binds
// the socket whose working directory is that directory. But the system then does not show
// the socket's path, which systemd-tmpfiles looks for before it regards a socket as dead.

// listenPath listens on a socket in dir, bound by its path.
func listenPath(dir dirHandle, path, name string, a Access) (net.Listener, fs.FileInfo, error) {
	l, info, err := listen(dir, name, a, func(fd int) error {
		syscall.Fchmod(fd, uint32(a.Mode)) // a failure shows later
		return syscall.Bind(fd, &syscall.SockaddrUnix{Name: path})
	})
	if errors.Is(err, ErrUmask) {
		return listenByThread(dir, name, a)
	}
	return l, info, err
}

// listenWithin listens on a socket in dir, without looking at dir's path.
func listenWithin(dir dirHandle, name string, a Access) (net.Listener, fs.FileInfo, error) {
	if path := procPath(dir.File); path != "" {
		return listenPath(dir, path+"/"+name, name, a)
	}
	return listenByThread(dir, name, a)
}

// listenByThread is listenWithin on a thread of its own, with its own umask.
func listenByThread(dir dirHandle, name string, a Access) (net.Listener, fs.FileInfo, error) {
	return listen(dir, name, a, func(fd int) error {
		err := dir.within(int(fs.ModePerm&^a.Mode), func() error {
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: name})
		})
		if none := (errNoThread{}); !errors.As(err, &none) {
			return err
		}
		// By the path that dir had: the new entry is checked next.
		syscall.Fchmod(fd, uint32(a.Mode))
		return syscall.Bind(fd, &syscall.SockaddrUnix{Name: dir.Name() + "/" + name})
	})
}

// listen makes a socket, binds it to a name in dir, and gives it the access a before
// anyone can connect.
func listen(dir dirHandle, name string, a Access, bind func(fd int) error) (net.Listener, fs.FileInfo, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	s := os.NewFile(uintptr(fd), name)
	defer s.Close()
	begun := time.Now()
	if err := bind(fd); err != nil {
		return nil, nil, os.NewSyscallError("bind", err)
	}
	info, err := giveSocket(dir, name, a, begun)
	if err != nil {
		return nil, nil, err
	}
	if err = os.NewSyscallError("listen", syscall.Listen(fd, backlog)); err == nil {
		var l net.Listener
		if l, err = net.FileListener(s); err == nil {
			return l, info, nil
		}
	}
	dir.removeSocket(name, info)
	return nil, nil, err
}

// giveSocket gives the access a to the socket that was made in dir since begun. If it
// fails, the socket is removed.
//
// Someone who can change dir can replace the socket with another one of this user, moved
// there from elsewhere. Only its time tells it from the one that was made, and only its
// owner can change that. Sockets for this user alone need no such check.
func giveSocket(dir dirHandle, name string, a Access, begun time.Time) (fs.FileInfo, error) {
	// A descriptor that can only be used to name it.
	made, err := dir.at(name, oPath, 0)
	if err != nil {
		return nil, err
	}
	defer made.Close()
	info, err := made.Stat()
	if err != nil {
		return nil, err
	}
	if st := info.Sys().(*syscall.Stat_t); st.Mode&syscall.S_IFMT != syscall.S_IFSOCK || int(st.Uid) != os.Geteuid() || st.Nlink != 1 {
		return nil, dir.failed("protect", name, ErrReplaced)
	}
	if a.UID != -1 || a.GID != -1 {
		if info.ModTime().Before(begun.Add(-clockTick)) {
			return nil, dir.failed("protect", name, ErrReplaced)
		}
		err = syscall.Fchownat(int(made.Fd()), "", a.UID, a.GID, atEmptyPath)
	}
	if err == nil && info.Mode()&permissions != a.Mode {
		err = chmodByHandle(made, a.Mode)
	}
	if err != nil {
		dir.removeSocket(name, info)
		return nil, dir.failed("protect", name, err)
	}
	return made.Stat()
}
