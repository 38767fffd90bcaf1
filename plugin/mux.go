package plugin

import (
	"strconv"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/wire"
)

// newMux returns what carries all connections over one, or nil if the host does
// not want that, or the plugin was built without; the handshake says which. Hosts say "true"; anything that is no boolean means no.
func newMux(env wire.Env, log Logger) *broker.Mux {
	if on, err := strconv.ParseBool(env.Multiplex); err != nil || !on {
		return nil
	}
	if !broker.HasMux {
		log.Warn("the host asks for multiplexing, which this plugin was built without (tenon_nomux)")
	}
	return broker.NewPluginMux(log)
}

// hungUp says what the end of the one connection means that carries everything, and
// to which no host can come back: that the host is gone, unless it has said goodbye
// before.
func (s *serving) hungUp() error {
	select {
	case <-s.asked:
		return nil
	default:
	}
	s.cfg.DrainTimeout = 0 // nobody waits for an answer
	return ErrHostGone
}
