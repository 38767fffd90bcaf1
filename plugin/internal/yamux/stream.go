package yamux

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// state is which halves of a stream are closed.
type state uint8

const (
	stateOpen         state = iota
	stateLocalClosed        // we have sent FIN
	stateRemoteClosed       // the peer has sent FIN
	stateClosed             // both
	stateReset              // either side has sent RST, or refused the stream
)

// String returns the state's name.
func (s state) String() string {
	return [...]string{"open", "closed by this side", "closed by the other side", "closed", "reset"}[s]
}

var _ net.Conn = (*Stream)(nil)

// Stream is a stream of a session, a net.Conn. All its methods may be called
// concurrently. Concurrent calls of Read each get a part of the data; concurrent calls of
// Write are executed one after the other.
type Stream struct {
	s        *Session
	id       uint32
	accepted chan struct{} // closed by settle; nil if the peer opened the stream

	onEstablished func() // may be nil

	// guarded by s.mu
	state    state
	closed   bool        // Close was called
	failed   error       // why the state is stateReset
	settled  bool        // accepted is closed
	timer    *time.Timer // until the peer accepts, and then until it closes too
	recv     ring
	filling  bool // the reader is writing into recv
	readable sync.Cond

	recvWindow uint32 // what the peer may send
	consumed   uint32 // bytes that were read and the peer has not been told of

	sendWindow uint64
	writing    bool // a Write is in progress
	blocked    bool // in s.out.blocked
	writable   sync.Cond

	readDeadline, writeDeadline deadline
}

func newStream(s *Session, id uint32) *Stream {
	st := &Stream{s: s, id: id, recvWindow: window, sendWindow: window}
	st.readable.L, st.writable.L = &s.mu, &s.mu
	return st
}

// ID returns the stream's id in its session.
func (st *Stream) ID() uint32 { return st.id }

// Accepted returns a channel that is closed when the peer has accepted the stream that
// Open returned, or the stream has ended. It is nil for a stream that Accept returned.
func (st *Stream) Accepted() <-chan struct{} { return st.accepted }

// OnEstablished sets the function that Established calls. It must be called before the
// stream is passed to anyone.
func (st *Stream) OnEstablished(do func()) { st.onEstablished = do }

// Established implements h2grpc.EstablishedConn, for h2grpc's servers.
func (st *Stream) Established() {
	if st.onEstablished != nil {
		st.onEstablished()
	}
}

// Read reads what has arrived, or waits for it. It returns io.EOF when the peer has
// closed its half and everything has been read.
func (st *Stream) Read(p []byte) (int, error) {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case st.closed:
			return 0, net.ErrClosed
		case st.readDeadline.passed:
			return 0, os.ErrDeadlineExceeded
		case st.state == stateReset:
			return 0, st.failed
		case st.recv.len() > 0:
			n := st.recv.read(p)
			st.taken(n)
			return n, nil
		case st.finReceived():
			return 0, io.EOF
		case s.err != nil:
			return 0, &sessionError{s.err}
		case len(p) == 0:
			return 0, nil
		}
		st.readable.Wait()
	}
}

// taken releases what n bytes that were read have occupied: the peer's window, and
// memory.
func (st *Stream) taken(n int) {
	if st.recv.len() == 0 && len(st.recv.buf) > keepBuffer && st.s.buffered > keepBuffered {
		st.freeBuffer()
	}
	st.consumed += uint32(n)
	if st.consumed < updateAfter || st.finReceived() {
		return
	}
	st.recvWindow += st.consumed
	st.s.send(Header{Type: WindowUpdate, StreamID: st.id, Length: st.consumed})
	st.consumed = 0
}

// freeBuffer frees the buffer and its contents.
func (st *Stream) freeBuffer() {
	if st.filling {
		return // filled does it then
	}
	st.s.buffered -= len(st.recv.buf)
	st.recv = ring{}
}

// Write writes p. It returns when the last byte has been queued for the connection, which
// can be before the peer has read any.
func (st *Stream) Write(p []byte) (n int, err error) {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for st.writing {
		if err := st.writeErr(); err != nil {
			return 0, err
		}
		st.writable.Wait()
	}
	st.writing = true
	defer func() {
		st.writing = false
		st.writable.Broadcast()
	}()
	for {
		if err := st.writeErr(); err != nil {
			return n, err
		}
		left := p[n:]
		switch {
		case len(left) == 0:
			return n, nil
		case st.sendWindow == 0:
			st.writable.Wait()
		case len(s.out.pending) >= maxPending:
			if !st.blocked {
				st.blocked = true
				s.out.blocked = append(s.out.blocked, st)
			}
			st.writable.Wait()
		default:
			m := int(min(uint64(len(left)), st.sendWindow, maxFrame))
			st.sendWindow -= uint64(m)
			s.send(Header{Type: Data, StreamID: st.id, Length: uint32(m)})
			s.out.pending = append(s.out.pending, left[:m]...)
			n += m
		}
	}
}

// writeErr returns why nothing can be written, or nil.
func (st *Stream) writeErr() error {
	switch {
	case st.state == stateReset && !st.closed:
		return st.failed
	case st.closed, st.finSent():
		return net.ErrClosed
	case st.s.err != nil:
		return &sessionError{st.s.err}
	case st.writeDeadline.passed:
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (st *Stream) finSent() bool     { return st.state == stateLocalClosed || st.state == stateClosed }
func (st *Stream) finReceived() bool { return st.state == stateRemoteClosed || st.state == stateClosed }

// CloseWrite closes our half of the stream: the peer reads io.EOF after the earlier
// writes.
func (st *Stream) CloseWrite() error {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	if err := st.writeErr(); err != nil && err != os.ErrDeadlineExceeded {
		return err
	}
	st.sendFIN()
	return nil
}

// sendFIN closes our half, if it is open.
func (st *Stream) sendFIN() {
	switch st.state {
	case stateOpen:
		st.state = stateLocalClosed
	case stateRemoteClosed:
		st.state = stateClosed
	default:
		return
	}
	st.s.send(Header{Type: WindowUpdate, Flags: FIN, StreamID: st.id})
	st.writable.Broadcast()
	if st.state == stateClosed {
		st.s.remove(st)
	}
}

// Close closes the stream. Earlier writes still reach the peer; what the peer sends from
// now on is discarded. If the peer does not close its half within five minutes, the
// stream is reset.
func (st *Stream) Close() error {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.closed {
		return net.ErrClosed
	}
	st.closed = true
	st.readDeadline.stop()
	st.writeDeadline.stop()
	st.sendFIN()
	if st.state == stateLocalClosed && s.err == nil && (st.accepted == nil || st.settled) {
		st.startCloseTimer() // otherwise settle does it
	}
	st.freeBuffer()
	st.notify()
	return nil
}

// Reset ends the stream at once, in both directions; data in transit is lost.
func (st *Stream) Reset() {
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if !st.closed {
		st.closed = true
		st.readDeadline.stop()
		st.writeDeadline.stop()
	}
	st.reset(net.ErrClosed)
	st.freeBuffer()
	st.notify()
}

// reset resets the stream, unless both sides have finished with it.
func (st *Stream) reset(err error) {
	if st.state == stateClosed || st.state == stateReset || st.s.err != nil {
		return
	}
	st.s.send(Header{Type: WindowUpdate, Flags: RST, StreamID: st.id})
	st.state, st.failed = stateReset, err
	st.freeBuffer()
	st.s.remove(st)
}

// received handles the flags of a frame, except SYN. It is the only place where the peer
// changes a stream's state.
func (st *Stream) received(flags uint16) error {
	if st.state == stateReset || st.s.err != nil {
		return nil // this happened while the frame's data arrived
	}
	if flags&ACK != 0 {
		st.settle()
	}
	if flags&RST != 0 {
		st.state, st.failed = stateReset, ErrReset
		st.freeBuffer()
		st.s.remove(st)
		return nil
	}
	if flags&FIN == 0 {
		return nil
	}
	switch st.state {
	case stateOpen:
		st.state = stateRemoteClosed
	case stateLocalClosed:
		st.state = stateClosed
		st.s.remove(st)
	default:
		return faultf(st.id, "closed twice")
	}
	st.readable.Broadcast()
	return nil
}

// settle stops the wait for the peer to accept the stream: the peer has accepted it, or
// the stream has ended.
func (st *Stream) settle() {
	if st.accepted == nil || st.settled {
		return
	}
	st.settled = true
	close(st.accepted)
	st.s.unacked--
	st.s.openable.Broadcast()
	st.stopTimer()
	if st.closed && st.state == stateLocalClosed && st.s.err == nil {
		st.startCloseTimer()
	}
}

// notAccepted is called when the peer has had enough time to accept the stream.
func (st *Stream) notAccepted() {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	if !st.settled {
		st.s.endLocked(fmt.Errorf("%w: stream %d was not accepted within %v", ErrUnresponsive, st.id, acceptTimeout))
	}
}

func (st *Stream) startCloseTimer() { st.timer = time.AfterFunc(closeTimeout, st.notClosed) }

// notClosed is called when the peer has had enough time to close its half.
func (st *Stream) notClosed() {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	st.reset(net.ErrClosed)
}

func (st *Stream) stopTimer() {
	if st.timer != nil {
		st.timer.Stop()
	}
}

// notify wakes everything that waits for the stream.
func (st *Stream) notify() {
	st.readable.Broadcast()
	st.writable.Broadcast()
}

// LocalAddr returns the local address of the session's connection.
func (st *Stream) LocalAddr() net.Addr { return st.s.conn.LocalAddr() }

// RemoteAddr returns the remote address of the session's connection.
func (st *Stream) RemoteAddr() net.Addr { return st.s.conn.RemoteAddr() }

// SetDeadline sets both deadlines.
func (st *Stream) SetDeadline(t time.Time) error {
	if err := st.SetReadDeadline(t); err != nil {
		return err
	}
	return st.SetWriteDeadline(t)
}

// SetReadDeadline sets when calls of Read fail, including those in progress. The zero
// time means never.
func (st *Stream) SetReadDeadline(t time.Time) error {
	return st.setDeadline(&st.readDeadline, &st.readable, t)
}

// SetWriteDeadline sets when calls of Write fail, including those in progress. The zero
// time means never. What such a call has written is still sent.
func (st *Stream) SetWriteDeadline(t time.Time) error {
	return st.setDeadline(&st.writeDeadline, &st.writable, t)
}

// deadline is a stream's deadline for one direction.
type deadline struct {
	passed bool
	timer  *time.Timer // nil without a future deadline
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (st *Stream) setDeadline(d *deadline, waiting *sync.Cond, t time.Time) error {
	st.s.mu.Lock()
	defer st.s.mu.Unlock()
	if st.closed {
		return net.ErrClosed
	}
	d.stop()
	d.passed = false
	if t.IsZero() {
		return nil
	}
	if left := time.Until(t); left > 0 {
		var timer *time.Timer
		timer = time.AfterFunc(left, func() {
			st.s.mu.Lock()
			defer st.s.mu.Unlock()
			if d.timer == timer { // it has not been replaced
				d.passed = true
				waiting.Broadcast()
			}
		})
		d.timer = timer
		return nil
	}
	d.passed = true
	waiting.Broadcast()
	return nil
}
