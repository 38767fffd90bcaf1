// Package agent is one end of a measurement, in a process of its own: a server
// of a contender or a client of one. The process that measures starts agents
// from its own executable and speaks to them over their standard input and
// output, in lines of JSON: a Request each way in, a Response each way out.
package agent

import (
	"time"

	"github.com/tenonrpc/tenon/plugin/bench/contender"
)

// Kind is what a load does over and over again.
type Kind string

// The kinds. All but Echo and Inspect are streams, of which the messages count.
const (
	Echo     Kind = "echo"     // unary calls
	Inspect  Kind = "inspect"  // unary calls with a deadline and metadata
	Source   Kind = "source"   // the server sends
	Sink     Kind = "sink"     // the client sends
	Chat     Kind = "chat"     // both send, as fast as they can
	PingPong Kind = "pingpong" // one message at a time, to and fro
)

// Streaming reports whether the kind's messages are parts of long streams: then
// there are no latencies.
func (k Kind) Streaming() bool { return k == Source || k == Sink || k == Chat }

// Beside is what else goes on on the connection of a load.
type Beside string

// What may go on beside.
const (
	Waiting   Beside = "waiting"   // besideWaiting handlers that wait for besideTime each
	Computing Beside = "computing" // one handler that keeps a processor busy for besideTime
)

const (
	besideWaiting = 16
	besideTime    = 20 * time.Millisecond
)

// Load is something to measure.
type Load struct {
	Name    string
	Kind    Kind
	Size    int    // of each message, in bytes
	Callers int    // how many goroutines do it at the same time
	Parked  int    `json:",omitempty"` // how many streams are open and idle meanwhile
	Beside  Beside `json:",omitempty"`
}

// Request asks an agent for one thing: what Do says.
type Request struct {
	Do string

	// begin
	Server    bool              `json:",omitempty"` // otherwise a client
	Contender string            `json:",omitempty"`
	Socket    string            `json:",omitempty"`
	Secret    *contender.Secret `json:",omitempty"` // nil: plaintext

	// usage
	Collect bool `json:",omitempty"` // collect garbage first
	Settle  bool `json:",omitempty"` // also give back all memory that is not in use
	Frugal  bool `json:",omitempty"` // and from now on collect garbage all the time

	// hold: have so many idle streams, on so many connections beside the main
	// one. Those above are closed, those that miss are opened.
	Streams int `json:",omitempty"`
	Conns   int `json:",omitempty"`

	// run
	Load *Load         `json:",omitempty"`
	For  time.Duration `json:",omitempty"`

	// once: one Echo of this size
	Size int `json:",omitempty"`

	// profile: write a CPU profile from now on; "" ends it
	Profile string `json:",omitempty"`
}

// Response is an agent's answer.
type Response struct {
	Err    string  `json:",omitempty"`
	Usage  *Usage  `json:",omitempty"`
	Result *Result `json:",omitempty"`
}

// Usage is what a process has used so far.
type Usage struct {
	CPU      time.Duration // in user and kernel mode, of all threads
	Mallocs  uint64        // objects allocated on the heap
	Live     uint64        // bytes of heap in use, and of stacks
	Resident uint64        // bytes of physical memory
	Peak     uint64        // the most that Resident has been since the last settling (once: Resident is that before the call)
}

// Result is what a client has measured in one run.
type Result struct {
	Calls   uint64 // or messages
	Elapsed time.Duration
	// The latencies; zero for streams.
	P50, P99, P999, Max time.Duration
	// What the client's process used.
	CPU     time.Duration
	Mallocs uint64
}
