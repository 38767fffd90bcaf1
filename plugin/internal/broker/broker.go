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
// stream when the other side has acknowledged that. door.go has the side that
// accepts, and knock.go the one that dials.
package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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
	offers    []offer       // what the peer announced and nobody dialled, oldest first
	waiting   map[uint32][]chan offer
	listeners map[*listener]struct{}
	listening int // listeners, and those that are being opened

	// With a Mux only. The maps and the list are guarded by mu.
	bell     chan struct{} // has room for one; wakes keepDoors
	doors    map[uint32]*door
	knocks   []knock // the peer's, not answered, oldest first, one for each id
	knockers map[uint32][]*knocker

	// For Relay.
	relay chan struct{} // has room for one; says that offers or knocks has more. Nil: there is no Relay
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

// offer is an announcement of the peer's.
type offer struct {
	id               uint32
	network, address string
}

func (o offer) check() error {
	if (o.network != wire.NetworkUnix && o.network != wire.NetworkTCP) || o.address == "" {
		return fmt.Errorf("the other side announced an unusable address: network %.32q, address %.128q", o.network, o.address)
	}
	return nil
}

// New returns a broker. It announces nothing before Run is called. Close must
// be called when it is no longer needed.
func New(cfg *Config) *Broker {
	b := &Broker{
		cfg:       *cfg,
		relinked:  make(chan struct{}),
		waiting:   make(map[uint32][]chan offer),
		listeners: make(map[*listener]struct{}),
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
	if b.cfg.Mux != nil {
		b.bell = make(chan struct{}, 1)
		b.doors = make(map[uint32]*door)
		b.knockers = make(map[uint32][]*knocker)
		b.background.Go(b.keepDoors)
	}
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
		switch knock := info.Knock; {
		case knock == nil && b.cfg.Mux == nil:
			b.deliver(offer{info.ServiceID, info.Network, info.Address})
		case knock == nil:
			b.cfg.Logger.Warn("the broker ignores an address: multiplexing was agreed on", "id", info.ServiceID)
		case b.cfg.Mux == nil:
			// An ack without a listener would make the peer open a stream
			// that nobody serves; without an ack its Dial fails in time.
			b.cfg.Logger.Warn("the broker ignores a knock: multiplexing was not agreed on", "id", info.ServiceID)
		case !knock.Knock:
			b.cfg.Logger.Warn("the broker ignores a message that is neither a knock nor the answer to one", "id", info.ServiceID)
		case knock.Ack:
			b.acknowledged(info.ServiceID, knock.Error, info.Network == wire.NetworkReady)
		default:
			b.knocked(info.ServiceID)
		}
	}
}

// deliver hands an offer to the first Dial that waits for it, or keeps it.
func (b *Broker) deliver(o offer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if chans := b.waiting[o.id]; len(chans) > 0 {
		b.setWaiting(o.id, chans[1:])
		chans[0] <- o // has room: it is in waiting once, and gets one offer
		return
	}
	// A listener announced later has replaced the earlier one of its id.
	b.take(o.id)
	if len(b.offers) >= maxOffers {
		b.cfg.Logger.Warn("the broker forgets a connection that nobody dialled", "id", b.offers[0].id, "limit", maxOffers)
		b.offers = slices.Delete(b.offers, 0, 1)
	}
	b.offers = append(b.offers, o)
	b.tellRelay()
}

// tellRelay is called with mu held.
func (b *Broker) tellRelay() {
	select {
	case b.relay <- struct{}{}:
	default: // it will look, or there is none
	}
}

// take removes the offer for id, of which there is one at most. It is called with
// mu held.
func (b *Broker) take(id uint32) (o offer, ok bool) {
	i := slices.IndexFunc(b.offers, func(o offer) bool { return o.id == id })
	if i < 0 {
		return offer{}, false
	}
	o = b.offers[i]
	b.offers = slices.Delete(b.offers, i, i+1)
	return o, true
}

// setWaiting is called with mu held.
func (b *Broker) setWaiting(id uint32, chans []chan offer) {
	if len(chans) == 0 {
		delete(b.waiting, id)
		return
	}
	b.waiting[id] = chans
}

// await returns the peer's offer for id, and takes it.
func (b *Broker) await(ctx context.Context, id uint32) (offer, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return offer{}, ErrClosed
	}
	if o, ok := b.take(id); ok {
		b.mu.Unlock()
		return o, nil
	}
	ch := make(chan offer, 1)
	b.waiting[id] = append(b.waiting[id], ch)
	b.mu.Unlock()

	var err error
	select {
	case o := <-ch:
		return o, nil
	case <-ctx.Done():
		err = fmt.Errorf("the other side has not announced it: %w", context.Cause(ctx))
	case <-b.ctx.Done():
		err = ErrClosed
	}
	b.mu.Lock()
	b.setWaiting(id, slices.DeleteFunc(b.waiting[id], func(c chan offer) bool { return c == ch }))
	b.mu.Unlock()
	// Nothing is sent on ch any more. If an offer came at the same moment, the
	// next Dial may have it.
	select {
	case o := <-ch:
		b.deliver(o)
	default:
	}
	return offer{}, err
}

// Dial returns a gRPC connection, which connects on its first call, to what
// the peer announces for id. See plugin.Broker.
func (b *Broker) Dial(ctx context.Context, id uint32) (*h2grpc.ClientConn, error) {
	if b.cfg.Mux != nil {
		cc, err := b.dialMux(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("plugin: broker: dialling id %d: %w", id, err)
		}
		return cc, nil
	}
	o, err := b.await(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("plugin: broker: dialling id %d: %w", id, err)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("plugin: broker: dialling id %d: %w", id, err)
	}
	return b.newClient(func(ctx context.Context) (net.Conn, error) { return b.cfg.Dial(ctx, o.network, o.address) }), nil
}

// newClient returns a gRPC connection over what dial connects to.
func (b *Broker) newClient(dial func(context.Context) (net.Conn, error)) *h2grpc.ClientConn {
	cfg := b.cfg.Client
	cfg.TLS = b.cfg.ClientTLS
	cfg.Dial = dial
	return h2grpc.NewClient(&cfg)
}

// announce tells the peer where id is served.
func (b *Broker) announce(ctx context.Context, id uint32, addr net.Addr) error {
	network, address, err := b.cfg.Announce(addr)
	if err != nil {
		return err
	}
	return b.send(ctx, &wire.ConnInfo{ServiceID: id, Network: network, Address: address})
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

// Hangup ends the control streams and all that depends on them: whoever waits
// gets ErrClosed, and nothing new can be accepted or dialled. What is open
// stays. A plugin that stops hangs up first, lets calls finish, and closes.
func (b *Broker) Hangup() {
	b.mu.Lock()
	b.closed = true
	b.offers, b.knocks = nil, nil
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
		b.cfg.Logger.Warn("a handler of a brokered server goes on after its call was cancelled")
	}
	return nil
}

// tellLogs writes what is to be told of log lines that were left out.
func (b *Broker) tellLogs() {
	for _, tell := range b.tells {
		tell()
	}
}
