// Package poll waits for events that the Go runtime's poller does not wait for: the end
// of a process, and the end of the other side of a descriptor that is only written to. It
// works only on Linux; elsewhere New fails with ErrUnsupported.
package poll

import (
	"errors"
	"os"
	"syscall"
)

// ErrUnsupported reports that this system has no means to wait.
var ErrUnsupported = errors.ErrUnsupported

// Poller waits for the first event on each of its descriptors. One goroutine may wait;
// any may call Close.
//
// It is an epoll instance, which is itself a descriptor that can be waited for. The
// runtime's poller does that, so that it takes no thread.
type Poller struct {
	file  *os.File // the epoll instance
	procs []*os.Process
}

// New returns a Poller, which must be closed.
func New() (*Poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// The runtime's poller accepts descriptors that are marked as non-blocking.
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return &Poller{file: os.NewFile(uintptr(fd), "epoll")}, nil
}

// AddPeer adds the descriptor fd, to be reported as id when nothing is at the other end
// of its pipe, socket or terminal any more. It fails for files, which have no other end.
// Closing fd removes it without a report.
func (p *Poller) AddPeer(fd, id int) error { return p.add(fd, id, 0) }

// AddProcess adds the process, to be reported as id when it has ended, whoever its parent
// is and whether or not it has been waited for. It fails if the process has ended and
// been waited for, and on kernels before 5.4. The Poller keeps proc, whose Wait and
// Release must not be called before Close.
func (p *Poller) AddProcess(proc *os.Process, id int) error {
	var err error
	if e := proc.WithHandle(func(pidfd uintptr) { err = p.add(int(pidfd), id, syscall.EPOLLIN) }); e != nil {
		return e
	}
	p.procs = append(p.procs, proc)
	return err
}

func (p *Poller) add(fd, id int, events uint32) error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	// Errors and hang-ups are always reported. Each is reported once.
	event := syscall.EpollEvent{Events: events | syscall.EPOLLONESHOT, Fd: int32(id)}
	var ctlErr error
	if err := conn.Control(func(epoll uintptr) {
		ctlErr = syscall.EpollCtl(int(epoll), syscall.EPOLL_CTL_ADD, fd, &event)
	}); err != nil {
		return err
	}
	return os.NewSyscallError("epoll_ctl", ctlErr)
}

// maxEvents is how many events Wait takes at once. A Poller has at most the two standard
// streams and a process.
const maxEvents = 4

// Wait waits for events, and returns the ids of the descriptors that had one. It returns
// os.ErrClosed after Close.
func (p *Poller) Wait() (ids []int, err error) {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var waitErr error
	err = conn.Read(func(epoll uintptr) (done bool) {
		var events [maxEvents]syscall.EpollEvent
		n, err := syscall.EpollWait(int(epoll), events[:], 0)
		if err == syscall.EINTR {
			n, err = 0, nil
		}
		for _, event := range events[:max(n, 0)] {
			ids = append(ids, int(event.Fd))
		}
		waitErr = os.NewSyscallError("epoll_wait", err)
		return n != 0
	})
	if err != nil {
		return nil, os.ErrClosed // the only thing that ends the wait
	}
	return ids, waitErr
}

// Close makes Wait return and frees the Poller.
func (p *Poller) Close() error {
	err := p.file.Close()
	for _, proc := range p.procs {
		proc.Release()
	}
	p.procs = nil
	return err
}
