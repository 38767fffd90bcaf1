package host

import (
	"sync/atomic"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
)

// spares hold an identity for the next plugin, one at most for each curve. Each
// plugin has a host's identity to itself: could two be reached with the same, the
// one could announce the other's address and certificate as its own, and what is
// meant for it, its end included, would go to the other. Making one takes
// milliseconds, so it is made while nobody waits.
var spares [automtls.P256 + 1]spare

type spare struct {
	identity atomic.Pointer[automtls.Identity]
	making   atomic.Bool
}

// newIdentity returns an identity that nobody else has: the spare one, or a new
// one, also if the clock has been set back since the spare was made: plugins of
// other libraries look at its dates.
func newIdentity(curve automtls.Curve) (*automtls.Identity, error) {
	if id := spares[curve].identity.Swap(nil); id != nil && automtls.CheckValidity(id.DER()) == nil {
		return id, nil
	}
	return automtls.New(curve)
}

// makeSpare makes an identity in the background for the next newIdentity, unless
// there is one, or is about to be.
func makeSpare(curve automtls.Curve) {
	s := &spares[curve]
	if s.identity.Load() != nil || !s.making.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer s.making.Store(false)
		// The next Start meets the same error, and reports it.
		if id, err := automtls.New(curve); err == nil {
			s.identity.Store(id)
		}
	}()
}
