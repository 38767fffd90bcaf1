// Package broker implements the broker of host and plugin: further connections in either
// direction, besides the main one. Both sides have the same implementation. They differ
// in their configuration, and in which end of the control stream they have.
//
// Each side announces on the control stream where it listens for an id, and dials what
// the other side has announced. Ids are passed in the application's own calls. Source:
// the section "Broker" of package wire.
//
// With a [Mux], all connections are streams of one connection. Nothing is announced then:
// to dial an id, a side knocks on the control stream, and opens a stream when the other
// side has acknowledged the knock. streams.go is the accepting side, knock.go the
// dialling one. The build tag tenon_nomux leaves both out.
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

// ErrClosed reports that the broker has been closed.
var ErrClosed = errors.New("plugin: the broker is closed")

// Stream is one end of the control stream, a client's or a server's. One goroutine sends
// and another receives.
type Stream interface {
	Send(*wire.ConnInfo) error
	Recv() (*wire.ConnInfo, error)
}

// Config configures how a broker listens and dials.
type Config struct {
	// Mux carries all connections; Listen, Announce and Dial are then not used. Nil means
	// that each listener has a socket of its own.
	Mux *Mux
	// Listen opens a new listener. It is required without a Mux.
	Listen func() (net.Listener, error)
	// Announce returns the network and address to announce for a listener's address. Nil
	// announces the address itself.
	Announce func(net.Addr) (network, address string, err error)
	// Dial connects to an address that the peer has announced; network is "unix" or
	// "tcp". Nil dials the address as it is.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ServerTLS and ClientTLS secure accepted and dialled connections. They are used as
	// they are, not cloned, so that sessions resume. If both are nil, connections are
	// plaintext.
	ServerTLS, ClientTLS *tls.Config
	// Server and Client configure gRPC on the connections; their TLS and Dial are not
	// used. Limits of connections and handshakes that are zero mean 64 and 128.
	Server h2grpc.ServerConfig
	Client h2grpc.ClientConfig
	// MaxOpen limits how many listeners are open at once, and, separately, how many
	// connections have been made to them. Zero means 1024, a negative number no limit.
	MaxOpen int
	// Logger receives what is not returned as an error. Nil means none.
	Logger h2grpc.Logger
}

// Broker is the broker of one side. All methods may be called concurrently.
type Broker struct {
	cfg     Config
	via     transport
	lastID  atomic.Uint32
	ctx     context.Context // ends with Hangup: announcements in both directions
	hangup  context.CancelFunc
	serving context.Context // ends with Close: servers
	cancel  context.CancelFunc
	conns   *connlimit.Limit // limits accepted connections
	tells   []func()         // log how many lines were left out

	background sync.WaitGroup // servers that Serve started

	mu sync.Mutex
	// guarded by mu
	closed    bool          // Hangup has been called
	links     []*link       // the control streams; the last one is used for sending
	relinked  chan struct{} // closed, and replaced, when links changes
	listeners map[*listener]struct{}
	servers   map[*h2grpc.Server]struct{}
	listening int           // number of listeners, including those that are being opened
	relay     chan struct{} // has room for one token, which means that via has more to pass on; nil without a Relay
}

// transport makes the connections for an id: [sockets] of their own, or [streams] of a
// Mux. Both sides have the same kind, and only it uses the control stream. Its state is
// guarded by the broker's mu.
type transport interface {
	// heard handles a message of the peer. It is called by one goroutine per control
	// stream.
	heard(*wire.ConnInfo)
	// open opens a listener, and announce tells the peer its address, if the peer needs
	// it.
	open(id uint32, once bool) (net.Listener, error)
	announce(ctx context.Context, id uint32, addr net.Addr) error
	// dial is Dial, and connect is DialConn without TLS.
	dial(ctx context.Context, id uint32) (*h2grpc.ClientConn, error)
	connect(ctx context.Context, id uint32) (net.Conn, error)
	// pass relays one message that was received and has no receiver here, and reports
	// whether there was one.
	pass(*relay) bool
	// forget drops everything that was received. It is called with mu held.
	forget()
}

// link is a control stream while Run serves it.
type link struct {
	out  chan *sending // unbuffered: either Run takes it, or it is not sent
	done chan struct{} // closed when Run has ended
}

// sending is an announcement to be sent; result has room for its outcome.
type sending struct {
	info   *wire.ConnInfo
	result chan error
}

// New returns a broker. It announces nothing before Run is called. Close must be called
// when it is no longer needed.
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
	// One limit for all servers and clients, however many there are.
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

// Run serves a control stream until the stream ends or Hangup is called, which may be
// before Run. It returns nil if the stream ended properly. While several streams are
// served, messages are received from all and sent on the newest: a host may attach to a
// plugin again.
//
// When Run returns, a Recv may still be in progress; it must fail once the owner of the
// stream ends the stream. An owner that will not call Run again must close the broker, so
// that nothing waits for announcements any longer.
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
				// A client's stream has ended; Recv returns the reason.
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

// announceRelink wakes everything that waits for a control stream. It is called with mu
// held.
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

// tellRelay wakes the relay, if there is one. It is called with mu held.
func (b *Broker) tellRelay() {
	select {
	case b.relay <- struct{}{}:
	default: // it will check anyway, or there is none
	}
}

// Dial returns a gRPC connection to what the peer announces for id. It connects on its
// first call. See plugin.Broker.
func (b *Broker) Dial(ctx context.Context, id uint32) (*h2grpc.ClientConn, error) {
	cc, err := b.via.dial(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("plugin: broker: dialling id %d: %w", id, err)
	}
	return cc, nil
}

// newClient returns a gRPC connection whose connections dial makes.
func (b *Broker) newClient(dial func(context.Context) (net.Conn, error)) *h2grpc.ClientConn {
	cfg := b.cfg.Client
	cfg.TLS = b.cfg.ClientTLS
	cfg.Dial = dial
	return h2grpc.NewClient(&cfg)
}

// send sends a message to the peer. It waits for a control stream.
func (b *Broker) send(ctx context.Context, info *wire.ConnInfo) error {
	if _, err := info.AppendTo(nil); err != nil {
		return err // the stream is not the cause
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
				// The stream has ended. If the connection was lost there will be another
				// stream; otherwise the broker is closed.
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

// Hangup ends the control streams and everything that depends on them: waiting calls
// return ErrClosed, and nothing new can be accepted or dialled. Open connections stay. A
// plugin that stops calls Hangup first, lets calls finish, and then calls Close.
func (b *Broker) Hangup() {
	b.mu.Lock()
	b.closed = true
	b.via.forget()
	b.mu.Unlock()
	b.hangup()
}

// Close is Hangup, and also ends listeners and servers. Connections that Dial returned
// stay; they belong to the callers. Close returns when the servers of Serve have ended,
// but does not wait long for handlers that ignore that their calls were cancelled. It may
// be called more than once.
func (b *Broker) Close() error {
	b.Hangup()
	b.cancel()
	b.mu.Lock()
	listeners := b.listeners
	b.listeners = nil // nothing adds to it any more
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
			if running := s.Running(); len(running) > 0 {
				b.cfg.Logger.Warn("handlers of a brokered server are still running after their calls were cancelled", "methods", running)
			}
		}
	}
	return nil
}

// tellLogs logs how many lines were left out.
func (b *Broker) tellLogs() {
	for _, tell := range b.tells {
		tell()
	}
}
