package automtls

import (
	"errors"
	"sync/atomic"
)

// ErrVersion reports a peer that uses an older TLS than it has used before.
var ErrVersion = errors.New("automtls: the peer uses an older version of TLS than on its main connection")

// Floor is the oldest version of TLS that connections with a peer may have, for
// both configurations of the peer: none is to be worse secured than the main one
// that the two have had. Sessions are not resumed below it either. The zero value
// leaves it to the configurations. Any goroutine may use it.
type Floor struct{ version atomic.Uint32 }

// Raise makes version the floor, unless it is higher already. It must be that of
// a handshake that has completed: what VerifyConnection sees may still be a
// stranger's, who has only the peer's certificate. Its key is proved after that.
func (f *Floor) Raise(version uint16) {
	for {
		old := f.version.Load()
		if uint32(version) <= old || f.version.CompareAndSwap(old, uint32(version)) {
			return
		}
	}
}
