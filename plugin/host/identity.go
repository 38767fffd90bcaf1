package host

import (
	"sync/atomic"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
)

// spares hold an identity for the next plugin, at most one for each curve. Each plugin
// gets a host identity that no other has: if two plugins knew the host by the same one,
// one could announce the other's address and certificate as its own, and what is meant
// for it, even the call that ends it, would reach the other. Making an identity takes
// milliseconds, so it is made in advance.
var spares [automtls.P256 + 1]spare

type spare struct {
	identity atomic.Pointer[automtls.Identity]
	making   atomic.Bool
}

// newIdentity returns an identity that nobody else has: the spare one, or a new one. It
// is also new if the clock has been set back since the spare was made: plugins of other
// libraries check its dates.
func newIdentity(curve automtls.Curve) (*automtls.Identity, error) {
	if id := spares[curve].identity.Swap(nil); id != nil && automtls.CheckValidity(id.DER()) == nil {
		return id, nil
	}
	return automtls.New(curve)
}

// makeSpare makes an identity in the background for the next newIdentity, unless there
// is one or one is being made.
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
