package h2

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
)

// tryConn is a socket whose Write does not wait once it is armed: bytes that the
// socket does not accept at once are kept, and drain writes them later.
//
// It is used below TLS. It lets any goroutine write (a caller with a deadline, the
// reader with an ack) without being delayed by a peer that does not read.
type tryConn struct {
	net.Conn
	raw syscall.RawConn

	mu       sync.Mutex
	armed    bool
	waiting  bool // the writer is a goroutine that may wait
	draining bool
	backlog  *Buffer // nil: nothing
	// The arguments and results of try, which is a field so that a write allocates
	// nothing.
	try    func(fd uintptr) bool
	tryBuf []byte
	tryN   int
	tryErr error
}

var errBacklog = errors.New("the peer does not read and too much is waiting for it")

// SocketConn is a connection that adds nothing to the Write of the connection that
// Socket returns.
type SocketConn interface {
	net.Conn
	Socket() net.Conn
}

// newTryConn returns nil if nc cannot be written to without waiting. Only the
// standard library's own sockets can: a type that embeds one may have a Write of its
// own, which must not be bypassed, unless it is a SocketConn.
func newTryConn(nc net.Conn) *tryConn {
	if !canTryWrite || !fastpath.TryWrite {
		return nil
	}
	below := nc
	if s, ok := nc.(SocketConn); ok {
		below = s.Socket()
	}
	var sc syscall.Conn
	switch nc := below.(type) {
	case *net.UnixConn:
		sc = nc
	case *net.TCPConn:
		sc = nc
	default:
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	t := &tryConn{Conn: nc, raw: raw}
	t.try = func(fd uintptr) bool {
		t.tryN, t.tryErr = tryWrite(fd, t.tryBuf)
		return true
	}
	return t
}

// arm makes Write stop waiting. Until then (during a TLS handshake) Write waits as
// usual.
func (t *tryConn) arm() {
	t.mu.Lock()
	t.armed = true
	t.mu.Unlock()
}

func (t *tryConn) Write(p []byte) (int, error) {
	t.mu.Lock()
	if !t.armed || (t.waiting && t.backlog == nil && !t.draining) {
		t.mu.Unlock()
		return t.Conn.Write(p)
	}
	defer t.mu.Unlock()
	n, err := t.take(p)
	if err != nil || n == len(p) {
		return n, err
	}
	had := 0
	if t.backlog != nil {
		had = len(t.backlog.B)
	}
	size := had + len(p) - n
	switch {
	case size > backlogCap:
		return n, errBacklog
	case t.backlog == nil:
		t.backlog = GetBuffer(size)
	case size <= cap(t.backlog.B):
		t.backlog.B = t.backlog.B[:size]
	default:
		t.backlog = t.backlog.grow(size)
	}
	copy(t.backlog.B[had:], p[n:])
	return len(p), nil
}

// TryWrite writes what the socket accepts at once.
func (t *tryConn) TryWrite(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.take(p)
}

// take is TryWrite with t.mu held.
func (t *tryConn) take(p []byte) (n int, err error) {
	for n < len(p) && t.backlog == nil && !t.draining {
		t.tryBuf = p[n:]
		err := t.raw.Write(t.try)
		t.tryBuf = nil
		if err == nil {
			err = t.tryErr
		}
		if err != nil {
			return n, err
		}
		if t.tryN == 0 {
			break
		}
		n += t.tryN
	}
	return n, nil
}

// mayWait sets whether Write may wait from now on, because the writer is a goroutine
// made for that.
func (t *tryConn) mayWait(wait bool) {
	t.mu.Lock()
	t.waiting = wait
	t.mu.Unlock()
}

// behind reports whether there is a backlog for drain to write.
func (t *tryConn) behind() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.backlog != nil
}

// drain writes the backlog and waits for the socket as long as that takes. It must
// not be called concurrently.
func (t *tryConn) drain() error {
	for {
		t.mu.Lock()
		buf := t.backlog
		t.backlog = nil
		t.draining = buf != nil
		t.mu.Unlock()
		if buf == nil {
			return nil
		}
		_, err := t.Conn.Write(buf.B)
		buf.Release()
		if err != nil {
			return err
		}
	}
}

// CloseWrite closes the sending side of the socket, if the socket supports that.
func (t *tryConn) CloseWrite() error { return closeWrite(t.Conn) }

func closeWrite(nc net.Conn) error {
	if cw, ok := nc.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}

// isPipe reports whether nc is an end of net.Pipe, whose type is not exported.
func isPipe(nc net.Conn) bool { return fmt.Sprintf("%T", nc) == "*net.pipe" }
