package plugintest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/tenonrpc/tenon/wire"
)

const (
	// pipeBuffer bounds how many bytes one direction of a connection holds, like a
	// socket's buffer: two sides that both write before they read must not wait for each
	// other.
	pipeBuffer = 64 << 10

	// backlog is how many connections can wait for a listener's Accept; further ones wait
	// in their dial.
	backlog = 16
)

// memory is a network within a process: it maps names to listeners.
type memory struct {
	mu sync.Mutex
	// guarded by mu
	listeners map[string]*listener
	count     int
	conns     map[*conn]struct{} // both ends of each dialled connection
}

func newMemory() *memory {
	return &memory{listeners: make(map[string]*listener), conns: make(map[*conn]struct{})}
}

// addr is the address of a listener. The protocol knows two networks; of these unix
// allows any text as a path.
type addr string

func (addr) Network() string  { return wire.NetworkUnix }
func (a addr) String() string { return string(a) }

func (m *memory) listen() (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	l := &listener{
		memory: m,
		addr:   addr("plugintest:" + strconv.Itoa(m.count)),
		queue:  make(chan net.Conn, backlog),
		closed: make(chan struct{}),
	}
	m.listeners[l.addr.String()] = l
	return l, nil
}

func (m *memory) dial(ctx context.Context, network, address string) (net.Conn, error) {
	m.mu.Lock()
	l := m.listeners[address]
	m.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("plugintest: nobody listens at %q: %w", address, syscall.ECONNREFUSED)
	}
	here, there := newPipe(l.addr)
	m.keep(here, there)
	select {
	case l.queue <- there:
		select {
		case <-l.closed:
			l.drain() // Close may have drained it before this one was queued
		default:
		}
		return here, nil
	case <-l.closed:
		here.Close()
		there.Close()
		return nil, fmt.Errorf("plugintest: nobody listens at %q any more: %w", address, syscall.ECONNREFUSED)
	case <-ctx.Done():
		here.Close()
		there.Close()
		return nil, ctx.Err()
	}
}

// keep records connections until they are closed.
func (m *memory) keep(conns ...*conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range conns {
		c.closed = func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.conns, c)
		}
		m.conns[c] = struct{}{}
	}
}

// cut closes all connections.
func (m *memory) cut() {
	m.mu.Lock()
	conns := slices.Collect(maps.Keys(m.conns))
	m.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// listener is a listener of a memory.
type listener struct {
	memory *memory
	addr   addr
	queue  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the listener. Connections that have not been accepted are closed, as the
// kernel does.
func (l *listener) Close() error {
	err := net.ErrClosed
	l.once.Do(func() {
		l.memory.mu.Lock()
		delete(l.memory.listeners, l.addr.String())
		l.memory.mu.Unlock()
		close(l.closed)
		err = nil
	})
	l.drain()
	return err
}

func (l *listener) drain() {
	for {
		select {
		case c := <-l.queue:
			c.Close()
		default:
			return
		}
	}
}

// newPipe returns the two ends of a connection.
func newPipe(a addr) (*conn, *conn) {
	one, other := newHalf(), newHalf()
	return &conn{in: one, out: other, addr: a}, &conn{in: other, out: one, addr: a}
}

// conn is one end of a connection. One goroutine may read while another writes,
// and any may close it.
type conn struct {
	in, out *half
	addr    addr
	closed  func() // called by Close; may be nil
}

func (c *conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b) }
func (c *conn) LocalAddr() net.Addr         { return c.addr }
func (c *conn) RemoteAddr() net.Addr        { return c.addr }

func (c *conn) Close() error {
	c.in.close(&c.in.reader)
	c.out.close(&c.out.writer)
	if c.closed != nil {
		c.closed()
	}
	return nil
}

func (c *conn) SetReadDeadline(at time.Time) error  { return c.in.setDeadline(&c.in.reader, at) }
func (c *conn) SetWriteDeadline(at time.Time) error { return c.out.setDeadline(&c.out.writer, at) }

func (c *conn) SetDeadline(at time.Time) error {
	if err := c.SetReadDeadline(at); err != nil {
		return err
	}
	return c.SetWriteDeadline(at)
}

// half is one direction of a connection.
type half struct {
	mu      sync.Mutex
	changed sync.Cond
	// guarded by mu
	buf            []byte
	reader, writer side
}

// side is the state of the reader or the writer of a half.
type side struct {
	closed   bool
	deadline time.Time
	timer    *time.Timer // wakes waiting calls when the deadline has passed
}

func newHalf() *half {
	h := new(half)
	h.changed.L = &h.mu
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.reader.closed:
			return 0, net.ErrClosed
		case h.reader.late():
			return 0, os.ErrDeadlineExceeded
		case len(h.buf) > 0:
			n := copy(b, h.buf)
			h.buf = append(h.buf[:0], h.buf[n:]...)
			h.changed.Broadcast()
			return n, nil
		case h.writer.closed:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(b []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.writer.closed:
			return n, net.ErrClosed
		case h.writer.late():
			return n, os.ErrDeadlineExceeded
		case h.reader.closed:
			return n, syscall.EPIPE
		case len(b) == 0:
			return n, nil
		}
		if room := min(pipeBuffer-len(h.buf), len(b)); room > 0 {
			h.buf = append(h.buf, b[:room]...)
			b, n = b[room:], n+room
			h.changed.Broadcast()
			continue
		}
		h.changed.Wait()
	}
}

func (h *half) close(s *side) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	h.changed.Broadcast()
}

func (h *half) setDeadline(s *side, at time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if s.deadline = at; !at.IsZero() {
		s.timer = time.AfterFunc(time.Until(at), func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.changed.Broadcast()
		})
	}
	h.changed.Broadcast()
	return nil
}

// late reports whether the deadline has passed.
func (s *side) late() bool { return !s.deadline.IsZero() && !time.Now().Before(s.deadline) }
