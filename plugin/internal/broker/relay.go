package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
)

// Relay joins two brokers, so that their peers reach each other through it, under the ids
// that they choose. See plugin.RelayBrokers.
func Relay(ctx context.Context, a, b *Broker, join func(id uint32, from, to net.Conn)) error {
	if (a.cfg.Mux == nil) != (b.cfg.Mux == nil) {
		return errors.New("plugin: broker: one of the two connections is multiplexed and the other is not: with multiplexing a side asks for what it dials, and without it a side is told what it can dial, so one cannot be relayed to the other")
	}
	if a == b {
		return errors.New("plugin: broker: a broker cannot be relayed to itself")
	}
	for _, broker := range []*Broker{a, b} {
		if !broker.startRelay() {
			return errors.New("plugin: broker: the broker is already being relayed")
		}
		defer broker.endRelay()
	}
	if join == nil {
		join = copyBoth
	}
	alive, cut := context.WithCancel(ctx)
	defer cut()
	open, end := context.WithCancel(alive)
	defer end()
	for _, broker := range []*Broker{a, b} {
		defer context.AfterFunc(broker.serving, cut)()
		defer context.AfterFunc(broker.ctx, end)()
	}
	var both sync.WaitGroup
	for _, r := range []*relay{{from: a, to: b}, {from: b, to: a}} {
		r.alive, r.open, r.join, r.busy = alive, open, join, make(map[uint32]bool)
		both.Go(r.run)
	}
	both.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return ErrClosed
}

func (b *Broker) startRelay() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.relay != nil {
		return false
	}
	b.relay = make(chan struct{}, 1)
	b.relay <- struct{}{} // for messages that came before
	return true
}

func (b *Broker) endRelay() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.relay = nil
}

// relay passes on what one broker receives from its peer.
type relay struct {
	open     context.Context // ends with Hangup of either broker: nothing new is passed on
	alive    context.Context // ends with Close of either broker: until then open connections stay
	from, to *Broker
	join     func(id uint32, from, to net.Conn)
	running  sync.WaitGroup

	mu sync.Mutex
	// guarded by mu
	busy map[uint32]bool // ids whose knock is being passed on
	idle []*passage      // those that are not in use, the one idle for longest first
}

// run passes on until nothing new can come, and returns when all connections have ended.
func (r *relay) run() {
	defer r.running.Wait()
	r.from.mu.Lock()
	news := r.from.relay
	r.from.mu.Unlock()
	for {
		select {
		case <-news:
		case <-r.open.Done():
			return
		}
		for r.from.via.pass(r) {
		}
	}
}

// joined lets join serve a pair of connections, and then closes them.
func (r *relay) joined(id uint32, from, to net.Conn) {
	shut := func() { from.Close(); to.Close() }
	defer shut()
	defer context.AfterFunc(r.alive, shut)()
	r.join(id, from, to)
}

// passage is a listener of ours that represents one of the peer.
type passage struct {
	*listener
	offer
	dialling chan struct{} // one token for each connection that is not joined yet
	users    int           // guarded by relay.mu: connections and others that keep the passage open
}

// passOffer relays an announcement: it announces a listener to the other side. Each
// connection to that is joined with a connection to the announced address.
//
// The protocol does not tell when the peer stops listening. A passage is closed when a
// connection shows that, because nothing answers there. The number of passages that are
// not in use is limited, because otherwise those that lead nowhere would accumulate.
func (r *relay) passOffer(o offer) {
	l, err := r.to.listen(r.open, o.id, false)
	if err != nil {
		r.from.cfg.Logger.Debug("a brokered connection is not relayed", "id", o.id, "err", err)
		return
	}
	p := &passage{listener: l, offer: o, dialling: make(chan struct{}, maxQueued), users: 1}
	r.running.Go(func() { r.accept(p) })
	r.leave(p)
}

// accept accepts connections until a passage is closed.
func (r *relay) accept(p *passage) {
	defer p.Close()
	defer context.AfterFunc(r.open, func() { p.Close() })()
	defer r.use(p) // so that it is not closed again
	for {
		raw, err := p.accept()
		if err != nil {
			return
		}
		r.use(p)
		r.running.Go(func() {
			defer r.leave(p)
			r.pass(p, raw)
		})
	}
}

// pass makes the connection that is joined with one accepted by a passage.
func (r *relay) pass(p *passage, raw *conn) {
	from, err := r.to.secureAccepted(r.open, raw, true)
	if err != nil {
		r.to.cfg.Logger.Warn("a brokered connection failed", "id", p.id, "err", err)
		return
	}
	select {
	case p.dialling <- struct{}{}:
	case <-r.open.Done():
		from.Close()
		return
	}
	to, err := r.from.dialOffer(r.open, p.offer)
	if err == nil {
		to, err = r.from.secureDialled(r.open, to)
	}
	<-p.dialling
	if err != nil {
		p.Close()
		from.Close()
		r.from.cfg.Logger.Debug("a brokered connection is not relayed", "id", p.id, "err", err)
		return
	}
	r.joined(p.id, from, to)
}

// use keeps a passage from being closed because it is idle.
func (r *relay) use(p *passage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.users++
	r.idle = slices.DeleteFunc(r.idle, func(other *passage) bool { return other == p })
}

// leave undoes use. It may close the passage that has been idle for longest.
func (r *relay) leave(p *passage) {
	var oldest *passage
	r.mu.Lock()
	if p.users--; p.users == 0 {
		r.idle = append(r.idle, p)
	}
	if len(r.idle) > maxPassages {
		oldest = r.idle[0]
		r.idle = slices.Delete(r.idle, 0, 1)
	}
	r.mu.Unlock()
	if oldest != nil {
		oldest.Close()
	}
}

// copyBoth copies in both directions. The end of one direction is passed on; if that is
// not possible, it ends both.
func copyBoth(_ uint32, a, b net.Conn) {
	var back sync.WaitGroup
	back.Go(func() { copyOne(a, b) })
	copyOne(b, a)
	back.Wait()
}

func copyOne(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		to.Close()
		from.Close()
	}
}
