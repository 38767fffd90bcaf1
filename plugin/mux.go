package plugin

import (
	"strconv"

	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/wire"
)

// newMux returns the Mux that carries all connections over one, or nil if the host does
// not ask for it or the plugin was built without it; the handshake says which. Hosts send
// "true"; a value that is not a boolean means no.
func newMux(env wire.Env, log Logger) *broker.Mux {
	if on, err := strconv.ParseBool(env.Multiplex); err != nil || !on {
		return nil
	}
	if !broker.HasMux {
		log.Warn("the host asks for multiplexing, which this plugin was built without (tenon_nomux)")
	}
	return broker.NewPluginMux(log)
}

// hungUp returns what ServeContext returns when the one connection ends that carries
// everything, to which no host can come back: nil if the host has asked the plugin to
// stop, and otherwise ErrHostGone.
func (s *serving) hungUp() error {
	select {
	case <-s.asked:
		return nil
	default:
	}
	s.cfg.DrainTimeout = 0 // nobody waits for an answer
	return ErrHostGone
}
