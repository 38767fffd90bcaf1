//go:build lockorder

package h2

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

type (
	connLock    = orderedLock[one]
	streamLock  = orderedLock[two]
	ledgerLock  = orderedLock[three]
	accountLock = orderedLock[four]
)

// A rank is the position of a lock in the order: the size of the type.
type (
	one   [1]byte
	two   [2]byte
	three [3]byte
	four  [4]byte
)

// orderedLock is a sync.Mutex that panics when it is taken out of order.
type orderedLock[rank one | two | three | four] struct{ mu sync.Mutex }

// held has the ranks that each goroutine holds, by its number.
var held sync.Map

func (l *orderedLock[rank]) Lock() {
	var r rank
	id := goroutine()
	var mine []int
	if v, ok := held.Load(id); ok {
		mine = v.([]int)
	}
	if len(mine) > 0 && slices.Max(mine) >= len(r) {
		panic(fmt.Sprintf("a lock of rank %d is taken by a goroutine that holds %v", len(r), mine))
	}
	l.mu.Lock()
	held.Store(id, append(slices.Clone(mine), len(r)))
}

func (l *orderedLock[rank]) Unlock() {
	var r rank
	id := goroutine()
	v, _ := held.Load(id)
	mine := slices.Clone(v.([]int))
	if mine = slices.DeleteFunc(mine, func(n int) bool { return n == len(r) }); len(mine) > 0 {
		held.Store(id, mine)
	} else {
		held.Delete(id)
	}
	l.mu.Unlock()
}

// goroutine returns the number of the calling goroutine, from the first line of a
// stack trace.
func goroutine() string {
	var b [64]byte
	text := b[:runtime.Stack(b[:], false)]
	return string(bytes.Fields(text)[1])
}
