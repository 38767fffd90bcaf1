package broker

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/wire"
)

// sockets is the transport with a socket for each listener. The address is announced, and
// dialled.
type sockets struct {
	*Broker
	// guarded by mu
	offers  []offer // what the peer has announced and no call has dialled, oldest first
	waiting map[uint32][]chan offer
}

// offer is an announcement of the peer.
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

func newSockets(b *Broker) *sockets {
	return &sockets{Broker: b, waiting: make(map[uint32][]chan offer)}
}

func (b *sockets) open(uint32, bool) (net.Listener, error) { return b.cfg.Listen() }

// announce tells the peer where id is served.
func (b *sockets) announce(ctx context.Context, id uint32, addr net.Addr) error {
	// The peer may dial at once: the socket already has a queue.
	network, address, err := b.cfg.Announce(addr)
	if err != nil {
		return err
	}
	return b.send(ctx, &wire.ConnInfo{ServiceID: id, Network: network, Address: address})
}

func (b *sockets) heard(info *wire.ConnInfo) {
	if info.Knock != nil {
		// An acknowledgement without a listener would make the peer open a stream that
		// nothing serves; without one its Dial fails in time.
		b.cfg.Logger.Warn("the broker ignores a knock: multiplexing was not agreed on", "id", info.ServiceID)
		return
	}
	b.deliver(offer{info.ServiceID, info.Network, info.Address})
}

func (b *sockets) forget() { b.offers = nil }

// deliver passes an offer to the first Dial that waits for it, or stores it.
func (b *sockets) deliver(o offer) {
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
	// A listener announced later replaces the earlier one with its id.
	b.take(o.id)
	if len(b.offers) >= maxOffers {
		b.cfg.Logger.Warn("the broker forgets a connection that nobody dialled", "id", b.offers[0].id, "limit", maxOffers)
		b.offers = slices.Delete(b.offers, 0, 1)
	}
	b.offers = append(b.offers, o)
	b.tellRelay()
}

// take removes and returns the offer for id, if there is one. It is called with mu held.
func (b *sockets) take(id uint32) (o offer, ok bool) {
	i := slices.IndexFunc(b.offers, func(o offer) bool { return o.id == id })
	if i < 0 {
		return offer{}, false
	}
	o = b.offers[i]
	b.offers = slices.Delete(b.offers, i, i+1)
	return o, true
}

// setWaiting is called with mu held.
func (b *sockets) setWaiting(id uint32, chans []chan offer) {
	if len(chans) == 0 {
		delete(b.waiting, id)
		return
	}
	b.waiting[id] = chans
}

// await returns the peer's offer for id, and removes it.
func (b *sockets) await(ctx context.Context, id uint32) (offer, error) {
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
	// Nothing is sent on ch any more. If an offer came at the same moment, it is kept for
	// the next Dial.
	select {
	case o := <-ch:
		b.deliver(o)
	default:
	}
	return offer{}, err
}

// dial returns a connection that connects when it is used.
func (b *sockets) dial(ctx context.Context, id uint32) (*h2grpc.ClientConn, error) {
	o, err := b.await(ctx, id)
	if err == nil {
		err = o.check()
	}
	if err != nil {
		return nil, err
	}
	return b.newClient(func(ctx context.Context) (net.Conn, error) { return b.cfg.Dial(ctx, o.network, o.address) }), nil
}

func (b *sockets) connect(ctx context.Context, id uint32) (net.Conn, error) {
	o, err := b.await(ctx, id)
	if err != nil {
		return nil, err
	}
	return b.dialOffer(ctx, o)
}

// dialOffer connects to the address that the peer has announced.
func (b *Broker) dialOffer(ctx context.Context, o offer) (net.Conn, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return b.cfg.Dial(ctx, o.network, o.address)
}

func (b *sockets) pass(r *relay) bool {
	b.mu.Lock()
	if len(b.offers) == 0 {
		b.mu.Unlock()
		return false
	}
	o, _ := b.take(b.offers[0].id)
	b.mu.Unlock()
	// One after the other: while the other side cannot be told, the offers wait where
	// their number is limited.
	r.passOffer(o)
	return true
}
