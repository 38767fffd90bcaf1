package broker

import "time"

// maxOffers bounds the announcements of the peer that no Dial has claimed yet.
// go-plugin forgets each after 5 s; here they stay, so that a slow Dial finds
// its own, and the oldest goes when there are too many. An application opens a
// handful between announcing and dialling; with package wire's limit on
// addresses, a hostile peer can occupy 4 MiB.
const maxOffers = 1024

// maxOpen bounds what one side's broker has open for the other: the listeners,
// and the connections that were made to them, of each. An application that lends
// an object for each of its windows, or tables, has some dozens; with a listener
// and a connection for each of a thousand, one peer takes half of the 4096
// descriptors that many systems let a program have.
const maxOpen = 1024

// maxConnections bounds the connections of one brokered server. A peer makes one
// to each id, and another when it was lost; with multiplexing any number of
// goroutines may dial an id.
const maxConnections = 64

// maxHandshakes bounds the connections of one brokered server that have not begun
// to speak HTTP/2. It is not small, so that the peer's own is not driven out by
// somebody who only connects: see h2grpc.DefaultMaxHandshakes. All servers together
// have, of those that have not finished the TLS handshake, no more than
// crowdedServers may have.
const (
	maxHandshakes  = 128
	crowdedServers = 2
)

// closeTimeout bounds how long Close waits for handlers of brokered servers,
// whose calls it has cancelled. One that does not notice must not hold up the
// end of a host or a plugin; nor must one that called Close itself.
const closeTimeout = 200 * time.Millisecond

// maxPassages bounds the listeners of a relay, in each direction, that have no
// connection: nobody says when what they stand for has gone. Whoever announces an
// id hands it over about then, and it is dialled at once, so that the oldest of so
// many will hardly be missed. Each is a descriptor.
const maxPassages = 256

// The following are for multiplexed brokers.
const (
	// maxKnocks bounds the peer's knocks that wait for an Accept, one for each
	// id. Peers that dial one after the other have one or a few.
	maxKnocks = 1024

	// knockPatience is how long a knock is kept. go-plugin's Dial gives up
	// after 5 s and would not open the stream that an answer asks for; this
	// package's knocks again before that.
	knockPatience = 5 * time.Second

	// streamTimeout bounds how long an answered knock keeps others waiting for
	// their answer, because its stream does not come. Streams come at once,
	// unless the peer has given up.
	streamTimeout = 5 * time.Second

	// acceptTimeout bounds how long the peer may take to accept a stream that
	// it has asked for. It accepts at once, unless its listener has gone.
	acceptTimeout = 5 * time.Second

	// knockTurn is how long a Dial that is not answered keeps the others
	// waiting. An application hands over an id about when it accepts it, so
	// that the answer takes milliseconds.
	knockTurn = time.Second

	// knockAgain is the time after which a knock is repeated. It is well below
	// knockPatience.
	knockAgain = 2 * time.Second

	// maxRefusals is how many times in a row a knock must be refused for Dial to
	// fail, and refusalPause the time between. go-plugin's host refuses for a
	// moment what it is just beginning to accept.
	maxRefusals  = 5
	refusalPause = 20 * time.Millisecond

	// readyPause is how long a plugin of go-plugin's is given between its answer
	// to a knock and the stream, because it can answer before its listener is
	// ready. What is missing then is a few instructions, which take as long as
	// this when the scheduler interrupts them.
	readyPause = 5 * time.Millisecond

	// redialTimeout bounds how long a brokered connection that was lost, and
	// that a call needs again, waits for the other side to accept it again. A
	// side that still accepts answers at once, and calls wait for it.
	redialTimeout = 2 * time.Second

	// maxQueued bounds the connections for one id that wait for the
	// application to accept them. Further knocks are answered when there is
	// room.
	maxQueued = 16

	// acceptPause is how long a plugin waits after it could not accept the
	// host's connection, for want of file descriptors for example.
	acceptPause = 50 * time.Millisecond

	// maxCandidates bounds the connections to a plugin that may become the one
	// which carries everything; the oldest goes when there are more. A host
	// makes one, and may look once or twice before whether there is a plugin.
	maxCandidates = 32

	// maxUnproven is how many bytes a candidate may send, in which a TLS
	// handshake must fit and what a host sends on right after it: HTTP/2 allows
	// 64 KiB of data until the plugin has answered (RFC 9113 §6.9.2).
	maxUnproven = 256 << 10
)
