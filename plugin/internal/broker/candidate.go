//go:build !tenon_nomux

package broker

import (
	"net"

	"github.com/tenonrpc/tenon/plugin/internal/yamux"
)

// A plugin's Mux carries everything over one connection, and whoever reaches the
// socket can make one. So each is a candidate at first: on its first stream the
// main server performs the TLS handshake. Whose handshake succeeds first is the
// host, and the socket is closed; strangers may have come earlier, and stay as
// long as they like. Without TLS nothing can be proved, and whoever opens a
// stream first is taken: what package peercred lets in is all that keeps
// strangers away.

// admit makes a connection a candidate, for which the oldest may have to go. It
// is called in the order in which they came.
func (m *Mux) admit(conn net.Conn) {
	s := yamux.Server(conn)
	s.Allow(maxUnproven)
	m.mu.Lock()
	if m.ctx.Err() != nil || m.session != nil {
		s.End()
	}
	if len(m.candidates) >= maxCandidates {
		m.candidates[0].End()
		m.candidates = m.candidates[1:]
	}
	m.candidates = append(m.candidates, s)
	m.mu.Unlock()
	m.trials.Go(func() { m.tryOut(s) })
}

// tryOut serves a candidate until it ends, or is ended in favour of another.
func (m *Mux) tryOut(s *yamux.Session) {
	if first, err := s.Accept(); err == nil {
		first.OnEstablished(func() { m.choose(s) })
		m.main.put(first, s.Done())
		select {
		case <-m.attached:
		case <-s.Done():
		}
	}
	m.mu.Lock()
	chosen := m.session == s
	m.mu.Unlock()
	if chosen {
		m.route()
	} else {
		// Someone looked whether there is a plugin, and went, or is a stranger.
		m.log.Debug("a connection has ended that carried nothing", "err", s.Err())
	}
	s.Close()
}

// choose makes a candidate the one, unless there is one already. When it returns
// nobody else can connect.
func (m *Mux) choose(s *yamux.Session) {
	m.mu.Lock()
	if m.ctx.Err() != nil || m.session != nil {
		m.mu.Unlock()
		return // it has been ended
	}
	s.Allow(-1)
	m.session = s
	close(m.attached)
	for _, other := range m.candidates {
		if other != s {
			other.End()
		}
	}
	m.candidates = nil
	m.mu.Unlock()
	m.raw.Close() // and the socket's file is gone
}
