package files

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// A socket gets exactly the access that was asked for before anyone can connect: it
// is not listened on until then. It has its mode from fchmod(2) on its own
// descriptor, less what the process's umask takes; what is missing, and its owner,
// are given to what the directory holds, by a descriptor of that.
//
// Where a socket is bound is a path. A path that somebody else can change is not
// looked up again: /proc leads to the directory that is held, and without /proc a
// thread does that has it for its working directory. But what was bound in one of
// these ways does not show its path, which is what systemd-tmpfiles looks for
// before it takes a socket for a dead one.

// listenPath listens on a socket in dir, bound by its path.
func listenPath(dir dirHandle, path, name string, a Access) (net.Listener, fs.FileInfo, error) {
	l, info, err := listen(dir, name, a, func(fd int) error {
		syscall.Fchmod(fd, uint32(a.Mode)) // what it does not do shows later
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

// listenByThread is listenWithin by a thread, whose umask is its own, too.
func listenByThread(dir dirHandle, name string, a Access) (net.Listener, fs.FileInfo, error) {
	return listen(dir, name, a, func(fd int) error {
		err := dir.within(int(fs.ModePerm&^a.Mode), func() error {
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: name})
		})
		if none := (errNoThread{}); !errors.As(err, &none) {
			return err
		}
		// By the path that it had: what was made is looked at next.
		syscall.Fchmod(fd, uint32(a.Mode))
		return syscall.Bind(fd, &syscall.SockaddrUnix{Name: dir.Name() + "/" + name})
	})
}

// listen makes a socket, has it bound to a name in dir, and gives it the access a
// before anyone can connect.
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

// giveSocket gives the socket that was made in dir since begun the access a. If it
// cannot, the socket is removed.
//
// Who can change dir can put another socket of this user's in its place, moved from
// elsewhere. Nothing tells that from the one that was made but its time, which only
// its owner can change. Sockets of this user's alone need no telling.
func giveSocket(dir dirHandle, name string, a Access, begun time.Time) (fs.FileInfo, error) {
	// A descriptor that can be used for nothing but naming it.
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
