package broker

import "time"

// maxOffers bounds the announcements of the peer that no Dial has claimed yet. go-plugin
// drops each after 5 s; here they stay, so that a slow Dial finds its own, and the oldest
// is dropped when there are too many. An application has only a few between announcing
// and dialling. With package wire's limit on addresses, a hostile peer can occupy 4 MiB.
const maxOffers = 1024

// maxOpen bounds how many listeners one side's broker has open for the other, and how
// many connections were made to them. An application with an object for each of its
// windows, or tables, has a few dozen; with a thousand listeners and a thousand
// connections, one peer takes half of the 4096 descriptors that many systems allow a
// program.
const maxOpen = 1024

// maxConnections bounds the connections of one brokered server. A peer makes one to each
// id, and another when that was lost; with multiplexing any number of goroutines may dial
// an id.
const maxConnections = 64

// maxHandshakes bounds the connections of one brokered server that have not begun to
// speak HTTP/2. It is not small, so that somebody who only connects does not drive out
// the peer's own: see h2grpc.DefaultMaxHandshakes. All servers together may have no more
// unfinished TLS handshakes than crowdedServers may have.
const (
	maxHandshakes  = 128
	crowdedServers = 2
)

// closeTimeout bounds how long Close waits for handlers of brokered servers whose calls
// it has cancelled. One that ignores that must not delay the end of a host or a plugin;
// nor must one that has called Close itself.
const closeTimeout = 200 * time.Millisecond

// maxPassages bounds the listeners of a relay, in each direction, that have no
// connection: the protocol does not tell when what they represent has gone. An id is
// announced and passed on at about the same time, and dialled at once, so that the oldest
// of so many is hardly needed. Each takes a descriptor.
const maxPassages = 256

// The following are for multiplexed brokers.
const (
	// maxKnocks bounds the peer's knocks that wait for an Accept, one for each id. Peers
	// that dial one after the other have one or a few.
	maxKnocks = 1024

	// knockPatience is how long a knock is stored. go-plugin's Dial gives up after 5 s
	// and would not open the stream after an answer; this package's knocks again before
	// that.
	knockPatience = 5 * time.Second

	// streamTimeout bounds how long an answered knock whose stream does not come delays
	// the answers to others. Streams come at once, unless the peer has given up.
	streamTimeout = 5 * time.Second

	// acceptTimeout bounds how long the peer may take to accept a stream that it has
	// asked for. It accepts at once, unless its listener has gone.
	acceptTimeout = 5 * time.Second

	// knockTurn is how long a Dial without an answer delays the others. An application
	// passes on an id at about the time when it accepts it, so that the answer takes
	// milliseconds.
	knockTurn = time.Second

	// knockAgain is the time after which a knock is repeated. It is well below
	// knockPatience.
	knockAgain = 2 * time.Second

	// maxRefusals is how many times in a row a knock must be refused for Dial to fail,
	// and refusalPause the time in between. go-plugin's host refuses for a moment what it
	// is just beginning to accept.
	maxRefusals  = 5
	refusalPause = 20 * time.Millisecond

	// readyPause is how long a plugin of go-plugin gets between its answer to a knock and
	// the stream, because it can answer before its listener is ready. What is missing
	// then is a few instructions, which take this long if the scheduler interrupts them.
	readyPause = 5 * time.Millisecond

	// redialTimeout bounds how long a lost brokered connection that a call needs again
	// waits for the other side to accept it again. A side that still accepts answers at
	// once, and calls wait for it.
	redialTimeout = 2 * time.Second

	// maxQueued bounds the connections for one id that wait for the application to accept
	// them. Further knocks are answered when there is room.
	maxQueued = 16

	// acceptPause is how long a plugin waits after it failed to accept the host's
	// connection, for lack of file descriptors for example.
	acceptPause = 50 * time.Millisecond

	// maxCandidates bounds the connections to a plugin that may become the one that
	// carries everything; if there are more the oldest is closed. A host makes one, and
	// may first make one or two to check whether there is a plugin.
	maxCandidates = 32

	// maxUnproven is how many bytes a candidate may send. It must hold a TLS handshake
	// and what a host sends right after it: HTTP/2 allows 64 KiB of data before the
	// plugin has answered (RFC 9113 §6.9.2).
	maxUnproven = 256 << 10
)
