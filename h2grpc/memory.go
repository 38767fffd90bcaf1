package h2grpc

import (
	"math"
	"runtime/debug"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
)

// MessageMemory bounds the memory that several connections, usually all of a process,
// use for large messages together: those that peers have begun to send, those that
// have arrived and were not consumed, and those that are encoded and that peers have
// not read. A message is large if it needs more window than every stream has (1280
// KiB, and less when there are many streams); of smaller ones, at most 16 MiB wait
// for their handlers on each connection. Each connection has 4 MiB in addition, so
// that connections without larger messages are not affected when others have used it
// up. Half of it is for received messages and half for sent ones: a handler that
// waits to send may hold what it has received, and would otherwise wait for itself.
//
// A message for which there is no room waits, the oldest first; its peer is granted
// no more window for it, and nothing is encoded. A message that has moved at less
// than 1 MiB a second for ten seconds while others wait ends its call with
// RESOURCE_EXHAUSTED, and so does one that has arrived and was not received for
// thirty seconds; a connection whose peer reads no faster ends. Messages that are
// larger than one half are admitted one at a time, in addition.
//
// It may be used by any number of configurations, and concurrently.
type MessageMemory struct {
	received, sent *h2.Account
}

// NewMessageMemory returns a MessageMemory of the given size. Configurations share it
// if they are given the same one.
func NewMessageMemory(bytes int64) *MessageMemory {
	return &MessageMemory{h2.NewAccount(bytes / 2), h2.NewAccount(bytes / 2)}
}

// processMemory is shared by all configurations that have no MessageMemory.
var processMemory = sync.OnceValue(func() *MessageMemory {
	bytes := int64(DefaultMessageMemory)
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		bytes = limit / 2
	} else if math.MaxInt == math.MaxInt32 {
		bytes /= 4 // of the 2 or 3 GiB of address space
	}
	return NewMessageMemory(bytes)
})

// accounts returns the accounts of m, or those of the process if m is nil.
func (m *MessageMemory) accounts() (received, sent *h2.Account) {
	if m == nil {
		m = processMemory()
	}
	return m.received, m.sent
}
