//go:build !lockorder

package h2

import "sync"

// The locks, in the order in which they may be taken: a goroutine that holds one
// takes no other of the same kind or of one listed before it. With the tag lockorder
// they panic when the order is violated.
type (
	connLock    = sync.Mutex
	streamLock  = sync.Mutex
	ledgerLock  = sync.Mutex
	accountLock = sync.Mutex
)
