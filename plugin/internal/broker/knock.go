//go:build !tenon_nomux

package broker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/yamux"
	"github.com/tenonrpc/tenon/wire"
)

// knocker waits for the answer to a knock: one stream, or one refusal at a time.
type knocker struct {
	stream  chan *yamux.Stream // has room for one; whoever sends to it removes the knocker from the broker
	refusal chan string        // has room for one
}

// dial connects at once, because only that shows that the other side accepts, and because
// no other call may get the stream.
func (b *streams) dial(ctx context.Context, id uint32) (*h2grpc.ClientConn, error) {
	ctx, cancel := b.bound(ctx)
	defer cancel()
	st, err := b.connect(ctx, id)
	if err != nil {
		return nil, err
	}
	first := make(chan net.Conn, 1)
	first <- st
	cc := b.newClient(func(ctx context.Context) (net.Conn, error) {
		select {
		case conn := <-first:
			return conn, nil
		default:
		}
		// The connection was lost. If the other side accepts again, it does so now.
		ctx, cancel := context.WithTimeout(ctx, redialTimeout)
		defer cancel()
		return b.connect(ctx, id)
	})
	if err := cc.Connect(ctx); err != nil {
		cc.Close() // so that it does not dial again
		select {
		case conn := <-first:
			conn.Close()
		default:
		}
		return nil, err
	}
	return cc, nil
}

// connect asks the peer to accept a connection for id, until it does or ctx ends.
//
// Only one call at a time knocks, gets its answer and opens its stream, so that the peer
// cannot confuse two. An id that is not accepted must not delay all others until its ctx
// ends: after knockTurn the next call may knock, and the answer may come at any time.
// Meanwhile the peer stores the knock, but not for ever, so the knock is repeated.
func (b *streams) connect(ctx context.Context, id uint32) (net.Conn, error) {
	ctx, cancel := b.bound(ctx)
	defer cancel()
	m := b.mux
	if err := m.lockDial(ctx); err != nil {
		return nil, fmt.Errorf("waiting for other connections to be made: %w", err)
	}
	locked := true
	unlock := func() {
		if locked {
			locked = false
			m.unlockDial()
		}
	}
	defer unlock()
	// Calls that dial the same id get their streams in the order of their knocks, so that
	// none has a stream before it waits for one.
	k := &knocker{make(chan *yamux.Stream, 1), make(chan string, 1)}
	if err := b.addKnocker(id, k); err != nil {
		return nil, err
	}
	defer b.dropKnocker(id, k)
	timer := time.NewTimer(knockTurn)
	defer timer.Stop()
	for refusals, send := 0, true; ; {
		if send {
			if err := b.send(ctx, &wire.ConnInfo{ServiceID: id, Knock: &wire.Knock{Knock: true}}); err != nil {
				return nil, err
			}
		}
		select {
		case st := <-k.stream:
			go m.settle(st, locked)
			locked = false
			return st, nil
		case words := <-k.refusal:
			if refusals++; refusals >= maxRefusals {
				return nil, fmt.Errorf("the other side refuses: %.256q", words)
			}
			send = pause(ctx, refusalPause)
		case <-timer.C:
			send = !locked
			unlock()
			timer.Reset(knockAgain)
		case <-ctx.Done():
			return nil, fmt.Errorf("the other side does not accept it: %w", context.Cause(ctx))
		}
	}
}

// pause waits for d, and reports whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *streams) addKnocker(id uint32, k *knocker) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	b.knockers[id] = append(b.knockers[id], k)
	return nil
}

// dropKnocker removes a knocker, if it is still there. A stream that came for it at the
// last moment is passed on.
func (b *streams) dropKnocker(id uint32, k *knocker) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setKnockers(id, slices.DeleteFunc(b.knockers[id], func(other *knocker) bool { return other == k }))
	select {
	case st := <-k.stream:
		b.deliverStream(id, st)
	default:
	}
}

// setKnockers is called with mu held.
func (b *streams) setKnockers(id uint32, ks []*knocker) {
	if len(ks) == 0 {
		delete(b.knockers, id)
		return
	}
	b.knockers[id] = ks
}

// acknowledged handles the peer's answer to a knock. Each answer must be followed by a
// stream, in the order of the answers, even if no call wants it any more: otherwise the
// peer would take the next stream for this one. A plugin of go-plugin that is not ready
// for the stream stops serving altogether; a host of go-plugin answers with an error
// text.
func (b *streams) acknowledged(id uint32, words string, ready bool) {
	if words != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		if ks := b.knockers[id]; len(ks) > 0 {
			select {
			case ks[0].refusal <- words:
			default: // it has not handled the last one
			}
		}
		return
	}
	if !ready && b.mux.onHost() {
		pause(b.ctx, readyPause)
	}
	st, err := b.mux.open(b.ctx)
	if err != nil {
		if b.ctx.Err() == nil {
			b.cfg.Logger.Warn("opening a connection that the other side expects failed", "id", id, "err", err)
		}
		return // Dial goes on waiting, and knocks again
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deliverStream(id, st)
}

// deliverStream passes a stream to the first call that waits for one, or resets it. It is
// called with mu held.
func (b *streams) deliverStream(id uint32, st *yamux.Stream) {
	ks := b.knockers[id]
	if len(ks) == 0 {
		st.Reset()
		return
	}
	b.setKnockers(id, ks[1:])
	ks[0].stream <- st
}
