package h2grpc

import (
	"math"
	"runtime/debug"
	"sync"

	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
)

// MessageMemory bounds the memory that several connections, usually all of a
// process, take for large messages together: those that peers have begun to send,
// those that have come and were not consumed, and those that are encoded and that
// peers do not take. Large are those that need more window than streams have anyway
// (1280 KiB, and less when there are many); of smaller ones a connection holds 16 MiB
// at most that wait for their handlers. Each connection has 4 MiB besides, so that
// those that send nothing larger do not notice when others have used it up. Half of it is for messages
// that are received and half for those that are sent: a handler that waits to send may
// hold what it has received meanwhile, and would wait for itself otherwise.
//
// A message that finds no room waits, the oldest first; its peer is granted no more
// window for it, and nothing is encoded. One that has moved at less than 1 MiB a
// second for ten seconds while others wait ends its call with RESOURCE_EXHAUSTED, and so
// does one that has come and that nobody has received for thirty; a connection whose
// peer reads no faster ends. Of messages that are larger than that half, one at a time
// is let through besides.
//
// It may be used by any number of configurations, concurrently.
type MessageMemory struct {
	received, sent *h2.Account
}

// NewMessageMemory returns a MessageMemory of so many bytes. Configurations share it
// by being given the same one.
func NewMessageMemory(bytes int64) *MessageMemory {
	return &MessageMemory{h2.NewAccount(bytes / 2), h2.NewAccount(bytes / 2)}
}

// processMemory is what all configurations share that have none of their own.
var processMemory = sync.OnceValue(func() *MessageMemory {
	bytes := int64(DefaultMessageMemory)
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		bytes = limit / 2
	} else if math.MaxInt == math.MaxInt32 {
		bytes /= 4 // of the 2 or 3 GiB of addresses
	}
	return NewMessageMemory(bytes)
})

// accounts returns those of m, or of the process's if m is nil.
func (m *MessageMemory) accounts() (received, sent *h2.Account) {
	if m == nil {
		m = processMemory()
	}
	return m.received, m.sent
}
