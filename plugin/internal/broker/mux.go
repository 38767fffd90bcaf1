//go:build !tenon_nomux

package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/loglimit"
	"github.com/tenonrpc/tenon/plugin/internal/yamux"
)

// HasMux reports that the program has multiplexing, which the tag tenon_nomux leaves out.
const HasMux = true

// MuxProtocolError is a violation of the protocol by the peer that ends a Mux.
type MuxProtocolError = yamux.ProtocolError

// Mux carries the main connection and all brokered ones over one raw connection, as the
// streams of a yamux session. A stream does not tell what it is for: if the side that
// opens it has announced it by a knock it is a brokered connection, otherwise it is the
// main connection. The nth acknowledged knock belongs to the nth such stream. Source: the
// section "Broker" of package wire.
//
// All methods may be called concurrently. A nil Mux stands for a side whose connections
// have sockets of their own.
type Mux struct {
	log      h2grpc.Logger
	tell     func()          // logs how many lines were left out
	main     *queue          // the streams that no knock announced; nil: they are refused
	dialLock chan struct{}   // held by the call that dials; a channel, so that a context can end the wait
	ctx      context.Context // ends with Close, which calls cancel with mu held
	cancel   context.CancelFunc

	attached chan struct{} // closed when session is set
	ended    chan struct{} // closed when the session, if there was one, has ended
	running  sync.WaitGroup

	// For plugins.
	raw    net.Listener
	trials sync.WaitGroup // of candidates

	mu sync.Mutex
	// guarded by mu
	session    *yamux.Session
	candidates []*yamux.Session // oldest first; some may have ended
	next       *expectation     // what the next stream is for; nil if it is for main
}

// expectation is a knock that is being acknowledged. The next stream is its.
type expectation struct {
	q    *queue
	came chan struct{} // closed when the stream has come
}

func newMux(log h2grpc.Logger) *Mux {
	m := &Mux{dialLock: make(chan struct{}, 1), attached: make(chan struct{}), ended: make(chan struct{})}
	m.log, m.tell = loglimit.Wrap(log)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// NewHostMux returns a Mux for a host, on a raw connection to its plugin, which the Mux
// owns from then on. log may be nil.
func NewHostMux(raw net.Conn, log h2grpc.Logger) *Mux {
	m := newMux(log)
	m.session = yamux.Client(raw)
	close(m.attached)
	m.running.Go(func() {
		m.route()
		close(m.ended)
	})
	return m
}

// NewPluginMux returns a Mux for a plugin, without a connection yet; see Listen. log may
// be nil.
func NewPluginMux(log h2grpc.Logger) *Mux {
	m := newMux(log)
	m.main = newQueue(0)
	return m
}

// Listen returns the listener on which to serve a plugin's main connection. The host
// connects to raw: the first connection on whose first stream the server calls
// Established, as an h2grpc.Server does, carries everything, and raw is closed then.
// Closing the returned listener also closes raw, but not the connections that it has
// accepted. Listen may be called once. Without a Mux it returns raw.
func (m *Mux) Listen(raw net.Listener) net.Listener {
	if m == nil {
		return raw
	}
	m.raw = raw
	m.running.Go(func() {
		m.acceptRaw()
		m.trials.Wait()
		close(m.ended)
	})
	return &mainListener{m.main, raw}
}

// onHost reports whether this is a host's Mux.
func (m *Mux) onHost() bool { return m.main == nil }

// mainListener is the queue of main connections, with the raw listener's address.
type mainListener struct {
	*queue
	raw net.Listener
}

func (l *mainListener) Addr() net.Addr { return l.raw.Addr() }

func (l *mainListener) Close() error {
	l.queue.close()
	return l.raw.Close()
}

// Ended returns a channel that is closed when the raw connection has ended, or will never
// be made. Without a Mux it is never closed.
func (m *Mux) Ended() <-chan struct{} {
	if m == nil {
		return nil
	}
	return m.ended
}

// Err returns why the raw connection has ended. It returns nil before that.
func (m *Mux) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session == nil {
		return nil
	}
	return m.session.Err()
}

// Close ends the raw connection and everything on it. Earlier writes are still sent. It
// may be called more than once.
func (m *Mux) Close() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	m.cancel()
	s := m.session
	for _, c := range m.candidates {
		c.End()
	}
	m.mu.Unlock()
	if m.main != nil {
		m.main.close()
	}
	if s != nil {
		s.Close()
	}
	m.running.Wait()
	m.tell()
	return nil
}

// acceptRaw accepts connections until one of them is the host's.
func (m *Mux) acceptRaw() {
	defer m.raw.Close()
	// Close must end an Accept in progress.
	defer context.AfterFunc(m.ctx, func() { m.raw.Close() })()
	for {
		conn, err := m.raw.Accept()
		if errors.Is(err, net.ErrClosed) || m.ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return
		}
		if err != nil {
			m.log.Warn("accepting the host's connection failed", "err", err)
			if !pause(m.ctx, acceptPause) {
				return
			}
			continue
		}
		m.admit(conn)
	}
}

// route passes on the peer's streams until the session ends.
func (m *Mux) route() {
	for {
		st, err := m.session.Accept()
		if err != nil {
			return
		}
		m.hand(st)
	}
}

// hand passes a stream to the queue that it is for.
func (m *Mux) hand(st *yamux.Stream) {
	m.mu.Lock()
	next := m.next
	m.next = nil
	m.mu.Unlock()
	switch {
	case next != nil:
		next.q.put(st, m.session.Done())
		close(next.came)
	case m.main != nil:
		m.main.put(st, m.session.Done())
	default:
		m.log.Warn("the plugin opened a connection that it has not announced; it is refused")
		st.Reset()
	}
}

// expect makes q the receiver of the next stream. There must be no other expectation.
func (m *Mux) expect(q *queue) *expectation {
	e := &expectation{q, make(chan struct{})}
	m.mu.Lock()
	m.next = e
	m.mu.Unlock()
	return e
}

// forget removes an expectation whose stream did not come.
func (m *Mux) forget(e *expectation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == e {
		m.next = nil
	}
}

// lockDial waits until no other call dials. A stream that is opened between the knock and
// the stream of another call would be taken for that call's.
func (m *Mux) lockDial(ctx context.Context) error {
	select {
	case m.dialLock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-m.ended:
		return m.endErr()
	}
}

// endErr returns why nothing can be opened any more.
func (m *Mux) endErr() error { return cmp.Or(m.Err(), ErrClosed) }

func (m *Mux) unlockDial() { <-m.dialLock }

// open opens a stream.
func (m *Mux) open(ctx context.Context) (*yamux.Stream, error) {
	select {
	case <-m.attached:
		return m.session.Open(ctx)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-m.ended:
		return nil, m.endErr()
	}
}

// Dial opens a main connection. It is for hosts.
func (m *Mux) Dial(ctx context.Context) (net.Conn, error) {
	if err := m.lockDial(ctx); err != nil {
		return nil, cmp.Or(m.Err(), fmt.Errorf("waiting for other connections to be made: %w", err))
	}
	st, err := m.open(ctx)
	if err = cmp.Or(m.Err(), err); err != nil {
		m.unlockDial()
		return nil, err
	}
	go m.settle(st, true)
	return st, nil
}

// settle waits until the other side has accepted a stream that we have opened, and then,
// if locked is set, lets the next call dial: until then the stream could be taken for
// another call's. A peer may accept a stream only with its first data, which may depend
// on ours, so the stream is already in use.
func (m *Mux) settle(st *yamux.Stream, locked bool) {
	if locked {
		defer m.unlockDial()
	}
	timer := time.NewTimer(acceptTimeout)
	defer timer.Stop()
	select {
	case <-st.Accepted(): // or the stream has ended
	case <-timer.C:
		m.log.Warn("the other side did not accept a connection", "within", acceptTimeout)
		st.Reset()
	}
}

// queue is a net.Listener that gets its connections from put.
type queue struct {
	conns chan *yamux.Stream
	done  chan struct{}
	once  sync.Once
	taken func() // called after Accept has taken a connection; may be nil
}

func newQueue(size int) *queue {
	return &queue{conns: make(chan *yamux.Stream, size), done: make(chan struct{})}
}

// put adds a connection. It waits while the queue is full, and resets the connection if
// the queue or over is closed.
func (q *queue) put(st *yamux.Stream, over <-chan struct{}) {
	select {
	case q.conns <- st:
		select {
		case <-q.done: // close emptied the queue before this was added
			q.drain()
		default:
		}
	case <-q.done:
		st.Reset()
	case <-over:
		st.Reset()
	}
}

// Accept waits for a connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case <-q.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case conn := <-q.conns:
		if q.taken != nil {
			q.taken()
		}
		return conn, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) close() {
	q.once.Do(func() { close(q.done) })
	q.drain()
}

// drain resets the connections that have not been accepted.
func (q *queue) drain() {
	for {
		select {
		case conn := <-q.conns:
			conn.Reset()
		default:
			return
		}
	}
}
