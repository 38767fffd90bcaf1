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

// HasMux says that there is multiplexing, which the tag tenon_nomux leaves out.
const HasMux = true

// MuxProtocolError is what a peer did that ends a Mux.
type MuxProtocolError = yamux.ProtocolError

// Mux carries the main connection and all brokered ones over one raw connection,
// as the streams of a yamux session. A stream does not say what it is for: one
// that the side which opens it has announced by a knock is a brokered
// connection, and any other one is the main connection. The nth knock that was
// acknowledged is followed by the nth such stream. Source: the section "Broker"
// of package wire.
//
// All methods may be called concurrently. A nil Mux is that of a side whose
// connections have sockets of their own.
type Mux struct {
	log    h2grpc.Logger
	tell   func()          // writes what is to be told of lines that were left out
	main   *queue          // the streams that no knock announced; nil: they are refused
	turn   chan struct{}   // holds one token; whoever dials has it
	ctx    context.Context // ends with Close, which calls cancel with mu held
	cancel context.CancelFunc

	attached chan struct{} // closed when session is set
	ended    chan struct{} // closed when the session, if there was one, has ended
	running  sync.WaitGroup

	// A plugin's.
	raw    net.Listener
	trials sync.WaitGroup // of candidates

	mu sync.Mutex
	// guarded by mu
	session    *yamux.Session
	candidates []*yamux.Session // oldest first; some may have ended
	next       *expectation     // of the next stream; nil if it is for main
}

// expectation is a knock that is being acknowledged. Its stream is the next one.
type expectation struct {
	q    *queue
	came chan struct{} // closed when the stream is there
}

func newMux(log h2grpc.Logger) *Mux {
	m := &Mux{turn: make(chan struct{}, 1), attached: make(chan struct{}), ended: make(chan struct{})}
	m.log, m.tell = loglimit.Wrap(log)
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// NewHostMux returns a Mux for a host, on a raw connection to its plugin, which
// it owns from then on. Log may be nil.
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

// NewPluginMux returns a Mux for a plugin, which has no connection yet; see
// Listen. Log may be nil.
func NewPluginMux(log h2grpc.Logger) *Mux {
	m := newMux(log)
	m.main = newQueue(0)
	return m
}

// Listen returns the listener to serve a plugin's main connection on. The host
// connects to raw: the first of its connections on whose first stream the server
// calls Established, as an h2grpc.Server does, carries everything, and raw is
// closed then. Closing the listener closes raw as well, but not what it has
// accepted. Listen is called once. Without a Mux it is raw.
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

// mainListener is the queue of main connections, with the raw listener's
// address.
type mainListener struct {
	*queue
	raw net.Listener
}

func (l *mainListener) Addr() net.Addr { return l.raw.Addr() }

func (l *mainListener) Close() error {
	l.queue.close()
	return l.raw.Close()
}

// Ended returns a channel that is closed when the raw connection has ended, or
// will never be made. Without a Mux it never is.
func (m *Mux) Ended() <-chan struct{} {
	if m == nil {
		return nil
	}
	return m.ended
}

// Err says why the raw connection has ended. It is nil before.
func (m *Mux) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session == nil {
		return nil
	}
	return m.session.Err()
}

// Close ends the raw connection and everything on it. What was written before
// is still sent. It may be called more than once.
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
	// Close must end an Accept that waits.
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

// route hands out the peer's streams until the session ends.
func (m *Mux) route() {
	for {
		st, err := m.session.Accept()
		if err != nil {
			return
		}
		m.hand(st)
	}
}

// hand hands a stream to whom it is for.
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

// expect says that the next stream is for q. There must be no other
// expectation.
func (m *Mux) expect(q *queue) *expectation {
	e := &expectation{q, make(chan struct{})}
	m.mu.Lock()
	m.next = e
	m.mu.Unlock()
	return e
}

// forget ends an expectation that nothing came of.
func (m *Mux) forget(e *expectation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == e {
		m.next = nil
	}
}

// takeTurn waits until nobody else dials. A stream that somebody opens between
// another's knock and stream would be taken for the other's.
func (m *Mux) takeTurn(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-m.ended:
		return m.endErr()
	}
}

// endErr says why nothing can be opened any more.
func (m *Mux) endErr() error { return cmp.Or(m.Err(), ErrClosed) }

func (m *Mux) endTurn() { <-m.turn }

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

// Dial opens a main connection, for hosts.
func (m *Mux) Dial(ctx context.Context) (net.Conn, error) {
	if err := m.takeTurn(ctx); err != nil {
		return nil, cmp.Or(m.Err(), fmt.Errorf("waiting for other connections to be made: %w", err))
	}
	st, err := m.open(ctx)
	if err = cmp.Or(m.Err(), err); err != nil {
		m.endTurn()
		return nil, err
	}
	go m.settle(st, true)
	return st, nil
}

// settle waits until the other side has accepted a stream that we have opened, and
// ends our turn, if it still is: until then the stream could pass for somebody
// else's. A peer may accept it by its first data, which may wait for ours, so the
// stream is in use meanwhile.
func (m *Mux) settle(st *yamux.Stream, ourTurn bool) {
	if ourTurn {
		defer m.endTurn()
	}
	timer := time.NewTimer(acceptTimeout)
	defer timer.Stop()
	select {
	case <-st.Accepted(): // or it has ended
	case <-timer.C:
		m.log.Warn("the other side did not accept a connection", "within", acceptTimeout)
		st.Reset()
	}
}

// queue is a net.Listener whose connections are handed to it.
type queue struct {
	conns chan *yamux.Stream
	done  chan struct{}
	once  sync.Once
	taken func() // called after Accept has taken a connection; may be nil
}

func newQueue(size int) *queue {
	return &queue{conns: make(chan *yamux.Stream, size), done: make(chan struct{})}
}

// put hands a connection over. It waits while the queue is full, and resets the
// connection if the queue is closed, or over.
func (q *queue) put(st *yamux.Stream, over <-chan struct{}) {
	select {
	case q.conns <- st:
		select {
		case <-q.done: // close has emptied it before
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

// drain resets the connections that nobody will accept.
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
