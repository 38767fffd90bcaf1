//go:build !tenon_nomux

package broker

import (
	"net"

	"github.com/tenonrpc/tenon/plugin/internal/yamux"
)

// A plugin's Mux carries everything over one connection, and whoever can reach the socket
// can make one. So each connection is a candidate first: on its first stream the main
// server performs the TLS handshake. The first whose handshake succeeds is the host's,
// and the socket is then closed. Others may have connected earlier, and stay connected
// until then. Without TLS nothing can be proved, and the first connection to open a
// stream is chosen: only package peercred then keeps others away.

// admit makes a connection a candidate. If there are too many, the oldest is closed. It
// is called in the order of the connections.
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

// tryOut serves a candidate until it ends, by itself or because another was chosen.
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
		// Somebody checked whether there is a plugin, or is not the host.
		m.log.Debug("a connection ended without being used", "err", s.Err())
	}
	s.Close()
}

// choose makes a candidate the connection that carries everything, unless there is one.
// After it returns nobody else can connect.
func (m *Mux) choose(s *yamux.Session) {
	m.mu.Lock()
	if m.ctx.Err() != nil || m.session != nil {
		m.mu.Unlock()
		return // this candidate has been ended
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
	m.raw.Close() // this also removes the socket's file
}
