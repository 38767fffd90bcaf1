// Package broker implements the broker of host and plugin: further connections
// in either direction, besides the main one. There is one implementation for
// both sides. They differ in what they are configured with, and in which end of
// the control stream they have.
//
// Each side announces on the control stream where it listens for an id, and
// dials what the other side has announced. Ids travel in the application's own
// calls. Source: the section "Broker" of package wire.
//
// With a [Mux], all connections are streams of one connection. Nothing is
// announced then: who dials an id knocks on the control stream, and opens a
// stream when the other side has acknowledged that. streams.go has the side that
// accepts, and knock.go the one that dials. The build tag tenon_nomux leaves all of
// that out.
package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/connlimit"
	"github.com/tenonrpc/tenon/h2grpc/loglimit"
	"github.com/tenonrpc/tenon/plugin/internal/local"
	"github.com/tenonrpc/tenon/wire"
)

// ErrClosed says that the broker has been closed.
var ErrClosed = errors.New("plugin: the broker is closed")

// Stream is one end of the control stream, a client's or a server's. One
// goroutine sends and another receives.
type Stream interface {
	Send(*wire.ConnInfo) error
	Recv() (*wire.ConnInfo, error)
}

// Config says how a broker listens and dials.
type Config struct {
	// Mux carries all connections. Listen, Announce and Dial are not used
	// with it. Nil means that each has a socket of its own.
	Mux *Mux
	// Listen opens a new listener. Required without a Mux.
	Listen func() (net.Listener, error)
	// Announce turns a listener's address into what the peer is told. Nil
	// tells it the address itself.
	Announce func(net.Addr) (network, address string, err error)
	// Dial connects to an address that the peer announced; network is "unix"
	// or "tcp". Nil dials it as it is.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ServerTLS and ClientTLS secure accepted and dialled connections. They
	// are used as they are, not cloned, so that sessions resume. Both nil is
	// plaintext.
	ServerTLS, ClientTLS *tls.Config
	// Server and Client configure gRPC on them; their TLS and Dial are not
	// used. Limits of connections and handshakes that are zero are small ones.
	Server h2grpc.ServerConfig
	Client h2grpc.ClientConfig
	// MaxOpen limits the listeners that are open at once, and the connections
	// that were made to them, each. Zero means 1024, a negative number no limit.
	MaxOpen int
	// Logger receives what nobody else is told. Nil means none.
	Logger h2grpc.Logger
}

// Broker is one side's broker. All methods may be called concurrently.
type Broker struct {
	cfg     Config
	via     transport
	lastID  atomic.Uint32
	ctx     context.Context // ends with Hangup: announcements both ways
	hangup  context.CancelFunc
	serving context.Context // ends with Close: servers
	cancel  context.CancelFunc
	conns   *connlimit.Limit // of those that listeners have accepted
	tells   []func()         // write what is to be told of log lines that were left out

	background sync.WaitGroup // servers that Serve started

	mu sync.Mutex
	// guarded by mu
	closed    bool          // Hangup has been called
	links     []*link       // the control streams; the last one is sent on
	relinked  chan struct{} // closed, and made anew, when links changes
	listeners map[*listener]struct{}
	servers   map[*h2grpc.Server]struct{}
	listening int           // listeners, and those that are being opened
	relay     chan struct{} // has room for one; says that via has more to pass on. Nil: there is no Relay
}

// transport is how the two sides come by a connection for an id: [sockets] of its
// own, or [streams] of a Mux. Both sides have the same, and what they say to each other
// on the control stream is its alone. Its state is guarded by the broker's mu.
type transport interface {
	// heard acts on a message of the peer's. Nobody else calls it.
	heard(*wire.ConnInfo)
	// open opens a listener, and announce tells the peer where it is, if it has to
	// know.
	open(id uint32, once bool) (net.Listener, error)
	announce(ctx context.Context, id uint32, addr net.Addr) error
	// dial is Dial, and connect DialConn without TLS.
	dial(ctx context.Context, id uint32) (*h2grpc.ClientConn, error)
	connect(ctx context.Context, id uint32) (net.Conn, error)
	// pass passes on one thing of those that were heard and that are for nobody
	// here, and reports whether there was one.
	pass(*relay) bool
	// forget forgets all that was heard. It is called with mu held.
	forget()
}

// link is a control stream while Run serves it.
type link struct {
	out  chan *sending // unbuffered: taken by Run, or not at all
	done chan struct{} // closed when Run has ended
}

// sending is an announcement on its way; result has room for its outcome.
type sending struct {
	info   *wire.ConnInfo
	result chan error
}

// New returns a broker. It announces nothing before Run is called. Close must
// be called when it is no longer needed.
func New(cfg *Config) *Broker {
	b := &Broker{
		cfg:       *cfg,
		relinked:  make(chan struct{}),
		listeners: make(map[*listener]struct{}),
		servers:   make(map[*h2grpc.Server]struct{}),
	}
	if b.cfg.Announce == nil {
		b.cfg.Announce = func(a net.Addr) (string, string, error) { return a.Network(), a.String(), nil }
	}
	// One bound for all servers and clients, however many there come to be.
	for _, log := range []*h2grpc.Logger{&b.cfg.Logger, &b.cfg.Server.Logger, &b.cfg.Client.Logger} {
		limited, tell := loglimit.Wrap(cmp.Or(*log, b.cfg.Logger))
		*log, b.tells = limited, append(b.tells, tell)
	}
	b.cfg.MaxOpen = cmp.Or(b.cfg.MaxOpen, maxOpen)
	b.cfg.Server.MaxConnections = cmp.Or(b.cfg.Server.MaxConnections, maxConnections)
	b.cfg.Server.MaxHandshakes = cmp.Or(b.cfg.Server.MaxHandshakes, maxHandshakes)
	b.conns = connlimit.New(b.cfg.MaxOpen, crowdedServers*b.cfg.Server.MaxHandshakes)
	if b.cfg.Dial == nil {
		b.cfg.Dial = local.Dial
	}
	b.ctx, b.hangup = context.WithCancel(context.Background())
	b.serving, b.cancel = context.WithCancel(context.Background())
	b.via = b.cfg.Mux.transport(b)
	return b
}

// NextID returns an id that this side has not used.
func (b *Broker) NextID() uint32 { return b.lastID.Add(1) }

// Run serves a control stream until it has ended or Hangup is called, maybe before
// Run, and returns nil if it was ended in order. While several run, all are listened to
// and the newest is sent on: a plugin may be attached to again.
//
// When Run returns, a Recv may still be under way; it must fail once the owner
// of the stream ends it. An owner that will not call Run again closes the
// broker, so that nobody waits for announcements any longer.
func (b *Broker) Run(s Stream) error {
	l := &link{out: make(chan *sending), done: make(chan struct{})}
	if !b.attach(l) {
		return nil // as for a stream that began a moment earlier
	}
	defer b.detach(l)
	received := make(chan error, 1)
	go func() { received <- b.receive(s) }()
	for {
		select {
		case snd := <-l.out:
			err := s.Send(snd.info)
			snd.result <- err
			if err == io.EOF {
				// A client's stream has ended; receiving says why.
				err = <-received
			}
			if err != nil && err != io.EOF {
				return fmt.Errorf("plugin: broker: sending on the control stream: %w", err)
			}
			if err == io.EOF {
				return nil
			}
		case err := <-received:
			if err == io.EOF {
				return nil
			}
			return fmt.Errorf("plugin: broker: receiving on the control stream: %w", err)
		case <-b.ctx.Done():
			return nil
		}
	}
}

func (b *Broker) attach(l *link) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.links = append(b.links, l)
	b.announceRelink()
	return true
}

func (b *Broker) detach(l *link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.links, l)
	b.links = slices.Delete(b.links, i, i+1)
	b.announceRelink()
	close(l.done)
}

// announceRelink wakes those who wait for a control stream. It is called with
// mu held.
func (b *Broker) announceRelink() {
	close(b.relinked)
	b.relinked = make(chan struct{})
}

func (b *Broker) receive(s Stream) error {
	for {
		info, err := s.Recv()
		if err != nil {
			return err
		}
		b.via.heard(info)
	}
}

// tellRelay is called with mu held.
func (b *Broker) tellRelay() {
	select {
	case b.relay <- struct{}{}:
	default: // it will look, or there is none
	}
}

// Dial returns a gRPC connection, which connects on its first call, to what
// the peer announces for id. See plugin.Broker.
func (b *Broker) Dial(ctx context.Context, id uint32) (*h2grpc.ClientConn, error) {
	cc, err := b.via.dial(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("plugin: broker: dialling id %d: %w", id, err)
	}
	return cc, nil
}

// newClient returns a gRPC connection over what dial connects to.
func (b *Broker) newClient(dial func(context.Context) (net.Conn, error)) *h2grpc.ClientConn {
	cfg := b.cfg.Client
	cfg.TLS = b.cfg.ClientTLS
	cfg.Dial = dial
	return h2grpc.NewClient(&cfg)
}

// send sends a message to the peer. It waits for a control stream.
func (b *Broker) send(ctx context.Context, info *wire.ConnInfo) error {
	if _, err := info.AppendTo(nil); err != nil {
		return err // not the stream's fault
	}
	snd := &sending{info: info, result: make(chan error, 1)}
	for {
		b.mu.Lock()
		relinked := b.relinked
		var out chan<- *sending // nil, and so never ready, without a stream
		var done <-chan struct{}
		if n := len(b.links); n > 0 {
			out, done = b.links[n-1].out, b.links[n-1].done
		}
		b.mu.Unlock()
		select {
		case out <- snd:
			select {
			case err := <-snd.result:
				if err == nil {
					return nil
				}
				// The stream has ended. If the connection broke there will be
				// another; otherwise the broker is closed.
				select {
				case <-done:
				case <-ctx.Done():
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		case <-done:
		case <-relinked:
		case <-ctx.Done():
			return fmt.Errorf("the other side could not be told: %w", context.Cause(ctx))
		case <-b.ctx.Done():
			return ErrClosed
		}
	}
}

// bound returns a context that ends with ctx, or with Hangup.
func (b *Broker) bound(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.ctx, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

// Hangup ends the control streams and all that depends on them: whoever waits
// gets ErrClosed, and nothing new can be accepted or dialled. What is open
// stays. A plugin that stops hangs up first, lets calls finish, and closes.
func (b *Broker) Hangup() {
	b.mu.Lock()
	b.closed = true
	b.via.forget()
	b.mu.Unlock()
	b.hangup()
}

// Close is Hangup, and ends listeners and servers as well. Connections that
// Dial returned stay; they are their callers'. It returns when the servers of
// Serve have ended, but does not wait long for handlers that ignore that their
// calls were cancelled. It may be called again.
func (b *Broker) Close() error {
	b.Hangup()
	b.cancel()
	b.mu.Lock()
	listeners := b.listeners
	b.listeners = nil // nobody adds to it any more
	b.mu.Unlock()
	for l := range listeners {
		l.Close()
	}
	defer b.tellLogs()
	ended := make(chan struct{})
	go func() { b.background.Wait(); close(ended) }()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		b.mu.Lock()
		servers := maps.Clone(b.servers)
		b.mu.Unlock()
		for s := range servers {
			b.cfg.Logger.Warn("handlers of a brokered server are still running after their calls were cancelled", "methods", s.Running())
		}
	}
	return nil
}

// tellLogs writes what is to be told of log lines that were left out.
func (b *Broker) tellLogs() {
	for _, tell := range b.tells {
		tell()
	}
}
