package plugin

import (
	"net"
	"strconv"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/wire"
)

// multiplexed reports whether the host wants all connections over one. Hosts say
// "true"; anything that is no boolean means no.
func multiplexed(env wire.Env) bool {
	on, err := strconv.ParseBool(env.Multiplex)
	return err == nil && on
}

// newMux returns what carries all connections over one, or nil if the host does
// not want that.
func newMux(env wire.Env, log Logger) *broker.Mux {
	if !multiplexed(env) {
		return nil
	}
	return broker.NewPluginMux(log)
}

// listenMux returns the listener to serve the main connection on: l itself
// without multiplexing.
func (s *serving) listenMux(l net.Listener) net.Listener {
	if s.mux == nil {
		return l
	}
	return s.mux.Listen(l)
}

// muxEnded returns a channel that is closed when the one connection has ended
// that carries everything. No host can come back to such a plugin.
func (s *serving) muxEnded() <-chan struct{} {
	if s.mux == nil {
		return nil
	}
	return s.mux.Ended()
}

// hungUp says what the end of that connection means: that the host is gone,
// unless it has said goodbye before.
func (s *serving) hungUp() error {
	select {
	case <-s.asked:
		return nil
	default:
	}
	s.cfg.DrainTimeout = 0 // nobody waits for an answer
	return ErrHostGone
}

// closeMux ends the connection that carries everything.
func (s *serving) closeMux() {
	if s.mux != nil {
		s.mux.Close()
	}
}
