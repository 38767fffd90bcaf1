package broker

import (
	"context"
	"net"
	"slices"

	"github.com/tenonrpc/tenon/wire"
)

// streams is the transport on which all connections are streams of a Mux. Who dials
// knocks, and who accepts answers.
type streams struct {
	*Broker
	mux  *Mux
	bell chan struct{} // has room for one; wakes keepDoors
	// guarded by mu
	doors    map[uint32]*door
	knocks   []knock // the peer's, not answered, oldest first, one for each id
	knockers map[uint32][]*knocker
}

// transport returns the transport that the connections of b have.
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

// takeKnock finds a knock for nobody here, and makes its id busy. The knock stays,
// for the doorkeeper.
func (b *streams) takeKnock(r *relay) (id uint32, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.busy) >= maxKnocks { // some of which were forgotten meanwhile
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

// passKnock passes on a knock: this side is told that it may come when the other has
// said so.
func (b *streams) passKnock(r *relay, id uint32) {
	from, to, err := answerKnock(r, id)
	if err != nil {
		// This peer hears nothing, as from one that does not accept the id. It
		// knocks again if it likes.
		b.cfg.Logger.Debug("a brokered connection is not relayed", "id", id, "err", err)
		b.forgetKnock(id)
	}
	r.mu.Lock()
	delete(r.busy, id)
	r.mu.Unlock()
	b.mu.Lock()
	b.tellRelay() // there may be a next one for the id
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
