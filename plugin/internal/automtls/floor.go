package automtls

import (
	"errors"
	"sync/atomic"
)

// ErrVersion reports a peer that uses an older TLS version than before.
var ErrVersion = errors.New("automtls: the peer uses an older version of TLS than on its main connection")

// Floor is the oldest TLS version that connections with a peer may have, in both
// configurations of the peer: no connection may be less secure than the main one.
// Sessions are not resumed below it, either. The zero value sets no limit beyond the
// configurations'. It may be used concurrently.
type Floor struct{ version atomic.Uint32 }

// Raise makes version the floor, unless the floor is higher already. version must be that
// of a completed handshake: VerifyConnection may still see a stranger who has only the
// peer's certificate, because the proof of its key comes after that.
func (f *Floor) Raise(version uint16) {
	for {
		old := f.version.Load()
		if uint32(version) <= old || f.version.CompareAndSwap(old, uint32(version)) {
			return
		}
	}
}
