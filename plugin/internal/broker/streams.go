//go:build !tenon_nomux

package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/tenonrpc/tenon/wire"
)

// streams is the transport on which all connections are streams of a Mux. The dialling
// side knocks, and the accepting side answers.
type streams struct {
	*Broker
	mux  *Mux
	bell chan struct{} // has room for one token, which wakes keepDoors
	// guarded by mu
	doors    map[uint32]*door
	knocks   []knock // the peer's unanswered knocks, oldest first, one for each id
	knockers map[uint32][]*knocker
}

// transport returns the transport for the connections of b.
func (m *Mux) transport(b *Broker) transport {
	if m == nil {
		return newSockets(b)
	}
	s := &streams{
		Broker: b, mux: m, bell: make(chan struct{}, 1),
		doors: make(map[uint32]*door), knockers: make(map[uint32][]*knocker),
	}
	b.background.Go(s.keepDoors)
	return s
}

func (b *streams) heard(info *wire.ConnInfo) {
	switch knock := info.Knock; {
	case knock == nil:
		b.cfg.Logger.Warn("the broker ignores an address: multiplexing was agreed on", "id", info.ServiceID)
	case !knock.Knock:
		b.cfg.Logger.Warn("the broker ignores a message that is neither a knock nor the answer to one", "id", info.ServiceID)
	case knock.Ack:
		b.acknowledged(info.ServiceID, knock.Error, info.Network == wire.NetworkReady)
	default:
		b.knocked(info.ServiceID)
	}
}

func (b *streams) forget() { b.knocks = nil }

func (b *streams) pass(r *relay) bool {
	id, ok := b.takeKnock(r)
	if ok {
		r.running.Go(func() { b.passKnock(r, id) })
	}
	return ok
}

// door is the listener for one id of a multiplexed broker. The peer knocks, gets an
// acknowledgement, and opens a stream.
type door struct {
	*queue
	broker *streams
	id     uint32
	once   bool // only one knock is answered
	spent  bool // guarded by broker.mu: that knock has been answered
}

// Addr returns the id.
func (d *door) Addr() net.Addr { return doorAddr(d.id) }

type doorAddr uint32

func (doorAddr) Network() string  { return "broker" }
func (a doorAddr) String() string { return "id " + strconv.FormatUint(uint64(a), 10) }

// Close makes the broker answer no more knocks for the id.
func (d *door) Close() error {
	d.broker.mu.Lock()
	if d.broker.doors[d.id] == d {
		delete(d.broker.doors, d.id)
	}
	d.broker.mu.Unlock()
	d.queue.close()
	return nil
}

// reopen lets one more knock be answered, because the last one led to no connection.
func (d *door) reopen() {
	d.broker.mu.Lock()
	d.spent = false
	d.broker.mu.Unlock()
	d.broker.look()
}

// open opens a door, for one connection if once is set. It need not be announced: the
// peer knocks.
func (b *streams) open(id uint32, once bool) (net.Listener, error) {
	d := &door{queue: newQueue(maxQueued), broker: b, id: id, once: once}
	d.taken = b.look
	b.mu.Lock()
	_, taken := b.doors[id]
	if !taken {
		b.doors[id] = d
	}
	b.mu.Unlock()
	if taken {
		return nil, errors.New("the id is being accepted already")
	}
	b.look()
	return d, nil
}

// announce does nothing: the peer knocks.
func (b *streams) announce(context.Context, uint32, net.Addr) error { return nil }

// knock is a knock of the peer that has not been answered.
type knock struct {
	id uint32
	at time.Time
}

// knocked stores a knock, one for each id.
func (b *streams) knocked(id uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if i := slices.IndexFunc(b.knocks, func(k knock) bool { return k.id == id }); i >= 0 {
		b.knocks[i].at = time.Now()
		return
	}
	if len(b.knocks) >= maxKnocks {
		b.cfg.Logger.Warn("the broker forgets a knock that nobody answered", "id", b.knocks[0].id, "limit", maxKnocks)
		b.knocks = slices.Delete(b.knocks, 0, 1)
	}
	b.knocks = append(b.knocks, knock{id, time.Now()})
	b.look()
	b.tellRelay()
}

// look wakes keepDoors.
func (b *streams) look() {
	select {
	case b.bell <- struct{}{}:
	default: // it is awake already
	}
}

// nextKnock removes the oldest knock that can be answered, and returns its door, or nil
// if there is none. It drops knocks that are too old.
func (b *streams) nextKnock() *door {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.knocks = slices.DeleteFunc(b.knocks, func(k knock) bool { return time.Since(k.at) > knockPatience })
	for i, k := range b.knocks {
		if d := b.doors[k.id]; d != nil && !d.spent && len(d.conns) < cap(d.conns) {
			d.spent = d.once
			b.knocks = slices.Delete(b.knocks, i, i+1)
			return d
		}
	}
	return nil
}

// keepDoors answers knocks, one after the other. It answers the next only when the stream
// for the last has come, because only their order tells which stream is for whom.
func (b *streams) keepDoors() {
	for {
		select {
		case <-b.bell:
		case <-b.ctx.Done():
			return
		}
		for {
			d := b.nextKnock()
			if d == nil {
				break
			}
			if err := b.answer(d); err != nil {
				if b.ctx.Err() != nil {
					return
				}
				b.cfg.Logger.Warn("answering a knock failed", "id", d.id, "err", err)
				d.reopen()
			}
		}
	}
}

func ack(id uint32) *wire.ConnInfo {
	return &wire.ConnInfo{ServiceID: id, Network: wire.NetworkReady, Knock: &wire.Knock{Knock: true, Ack: true}}
}

// answer acknowledges a knock and waits for the stream.
func (b *streams) answer(d *door) error {
	ctx, cancel := context.WithTimeout(b.ctx, streamTimeout)
	defer cancel()
	e := b.mux.expect(d.queue)
	defer b.mux.forget(e)
	if err := b.send(ctx, ack(d.id)); err != nil {
		return err
	}
	select {
	case <-e.came:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the other side did not open a connection: %w", context.Cause(ctx))
	}
}

// takeKnock finds a knock for an id without a listener here, and marks the id as busy.
// The knock stays, for keepDoors.
func (b *streams) takeKnock(r *relay) (id uint32, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.busy) >= maxKnocks { // some of them may have been forgotten
		return 0, false
	}
	i := slices.IndexFunc(b.knocks, func(k knock) bool { return b.doors[k.id] == nil && !r.busy[k.id] })
	if i < 0 {
		return 0, false
	}
	id = b.knocks[i].id
	r.busy[id] = true
	return id, true
}

// passKnock relays a knock: this side gets its acknowledgement when the other has given
// one.
func (b *streams) passKnock(r *relay, id uint32) {
	from, to, err := answerKnock(r, id)
	if err != nil {
		// This peer gets no answer, as if the id were not accepted. It may knock again.
		b.cfg.Logger.Debug("a brokered connection is not relayed", "id", id, "err", err)
		b.forgetKnock(id)
	}
	r.mu.Lock()
	delete(r.busy, id)
	r.mu.Unlock()
	b.mu.Lock()
	b.tellRelay() // there may be another for the id
	b.mu.Unlock()
	if err == nil {
		r.joined(id, from, to)
	}
}

func answerKnock(r *relay, id uint32) (from, to net.Conn, err error) {
	ctx, cancel := context.WithTimeout(r.open, knockPatience)
	defer cancel()
	if to, err = r.to.DialConn(ctx, id); err != nil {
		return nil, nil, err
	}
	ctx, cancel = context.WithTimeout(r.open, knockPatience)
	defer cancel()
	if from, err = r.from.AcceptConn(ctx, id); err != nil {
		to.Close()
		return nil, nil, err
	}
	return from, to, nil
}

func (b *streams) forgetKnock(id uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.knocks = slices.DeleteFunc(b.knocks, func(k knock) bool { return k.id == id })
}
