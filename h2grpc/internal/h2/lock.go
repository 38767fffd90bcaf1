//go:build !lockorder

package h2

import "sync"

// The locks, in the order in which they may be taken: nobody who holds one takes
// another of its kind, or one that comes before it. The tag lockorder makes them panic
// where that is not so.
type (
	connLock    = sync.Mutex
	streamLock  = sync.Mutex
	ledgerLock  = sync.Mutex
	accountLock = sync.Mutex
)
