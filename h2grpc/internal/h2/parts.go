package h2

import (
	"bufio"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is one end of an HTTP/2 connection. All its methods but Run may be called by
// any goroutine.
//
// Locks are taken in this order: mu, a Stream's mu, the ledger's, an Account's (lock.go).
// Nothing waits with one held.
type Conn struct {
	nc     net.Conn
	raw    net.Conn // nc, or what is below TLS
	cfg    Config
	client bool
	done   chan struct{} // closed when Run has ended
	ready  chan struct{} // closed at the peer's first SETTINGS

	role   role  // who reads
	in     inbox // what is being read
	ledger ledger

	mu connLock
	// guarded by mu, but for what is atomic
	life  life
	table table
	pings pings
	out   outbox
	send  sendFlow
	recv  recvFlow
}

// inbox is what the reader knows of what comes. The reader owns it.
type inbox struct {
	br          *bufio.Reader
	begun       bool    // the preface has been read
	lone        *Stream // to be handed over before the next frame
	maxFrame    int     // SETTINGS_MAX_FRAME_SIZE of ours
	dec         *headerDecoder
	sawPeer     bool // the first SETTINGS is here
	largeFrames bool // readFrameSize has been advertised
	idleLeft    int  // of idleFrames
	frames      uint // that run has read; see giveWay
	// reading is the stream whose frame is being read; see enter. Whoever abandons the
	// stream changes it.
	reading atomic.Pointer[Stream]
}

// table is the streams that there are, may be and were.
type table struct {
	streams map[uint32]*Stream
	live    int // server: streams whose handler may run; client: open streams
	// calls counts streams in flight whose consumer wants all at once, that is
	// unary calls.
	calls       atomic.Int32
	lastPeer    uint32 // server: highest stream id the client opened
	nextID      uint32 // client: the next stream's id
	most        int    // client: SETTINGS_MAX_CONCURRENT_STREAMS of the peer
	opening     []chan struct{}
	crowdedSaid time.Time // when Config.Crowded was called last
	headerBytes int       // of headersMost
	// spare holds streams of a client for further calls. Their channels may belong to
	// a synctest bubble, so they stay with their connection.
	spare sync.Pool

	// Server: the reader waits for a handler to return. See handlerWait.
	handlerEnds chan struct{} // closed when one does, if the reader waits
	handlerLate bool          // none did in time, nor has since

	// What was closed lately.
	resets   [recentResets]uint32
	resetPos int
	closes   [recentResets]struct { // client: the streams that the server closed last
		id  uint32
		how closure
	}
	closePos int
}

// pings is our PINGs, and the peer's.
type pings struct {
	onAck    map[[8]byte]func()
	seq      uint64
	due      time.Time // when the peer's next is in time
	answered bool      // HEADERS or DATA were sent since its last
}

// outbox is what is queued for the socket, and who writes it.
type outbox struct {
	try       *tryConn // nil if the socket cannot be written without waiting
	pending   []byte   // with parts between them
	parts     []part
	partBytes int    // of messages, in parts and in now
	now       output // is being written; the writer's, whoever that is
	spare     []byte
	writing   bool
	crowded   time.Time     // yield has taken long, for nothing
	deferred  bool          // a goroutine is about to flush
	idle      chan struct{} // closed when writing ends, if somebody waits
	room      chan struct{} // closed when pending is taken, if somebody waits
	progress  bool          // HEADERS or DATA were sent since idleFrame looked
	answers   int           // bytes of answers queued since the last write began
	unread    atomic.Bool   // answers are more than controlBytes
}

// sendFlow is what the peer lets us send.
type sendFlow struct {
	enc      *headerEncoder
	block    []byte // scratch for header blocks
	window   int
	initial  int       // SETTINGS_INITIAL_WINDOW_SIZE
	maxFrame int       // SETTINGS_MAX_FRAME_SIZE
	maxList  int       // SETTINGS_MAX_HEADER_LIST_SIZE
	blocked  []*Stream // wait for window or room in pending, oldest first
}

// recvFlow is what we let the peer send.
type recvFlow struct {
	window int // what it may still send
	credit int // received and not yet granted again
	// buffered counts received bytes that wait for consumers, and largest is the
	// largest message among them, or was until a moment ago.
	buffered, largest atomic.Int64

	streams   int          // on which it may send
	initial   int          // SETTINGS_INITIAL_WINDOW_SIZE as last sent
	share     atomic.Int32 // initial, for those who do not hold mu
	granted   int          // and as the peer may still take it to be
	shrinking int          // acks of SETTINGS until granted is initial
	since     time.Time
	settings  *time.Timer // runs until our SETTINGS are acknowledged
	unacked   int         // of our SETTINGS

	reserved int64 // window granted to large messages beyond streamWindow
	waiting  []*Stream
}

// Stream is one call on a connection.
//
// One goroutine may send while another receives; neither side may be used by
// two at once. The reader owns the fields under reader; mu guards what it hands to
// the consumer; Conn.mu guards the rest.
type Stream struct {
	c  *Conn
	ID uint32
	// Head is a request's header block on the server. It does not change, and
	// other streams may have the same.
	Head *Head
	// MaxMessage limits received messages; Handler.Open and Open may lower or
	// raise the connection's limit.
	MaxMessage int
	// Data is the handler's, for finding its own state again.
	Data any

	// A server makes a stream for each call: their order saves room.
	whole   bool // the consumer is woken only when everything has arrived
	gotHead bool // reader: response headers are there, and more is to come
	handled bool // the handler's: Done is needed for the connection no more
	own     own

	reader assembler
	held   atomic.Int64 // client: counted in table.headerBytes, or forgotten

	// guarded by Conn.mu
	send       sendHalf
	recv       recvHalf
	started    bool // server: Ready was called, Done is due
	gone       bool // no longer in table.streams
	headerCost int  // server: counted in table.headerBytes

	mu     streamLock
	in     inbound
	notify chan struct{} // nil if nobody will wait
}

// sendHalf is the sending side of a stream. With recvHalf.ended it says which of the
// states of RFC 9113 §5.1 the stream is in: open, half-closed or closed.
type sendHalf struct {
	window  int
	ended   bool // we sent END_STREAM, or can send no more
	blocked bool // in sendFlow.blocked
	sent    bool // something was sent and nothing received since
	heard   bool // the peer has granted window since a message was begun
	ready   chan struct{}
	// claim is that of the message that waits for window, which lacks unsent bytes.
	claim  *Claim
	since  time.Time
	then   int // bytes of it that had moved by then
	unsent int
}

// recvHalf is the receiving side of a stream, but for what its consumer gets.
type recvHalf struct {
	ended     bool // the peer sent END_STREAM; written by the reader
	assembled bool // has been in recvFlow.waiting
	counted   bool // in recvFlow.streams
	reserved  int  // of recvFlow.reserved
	wanted    int  // of it, while in recvFlow.waiting
	// claim is that of the message that has window of its own, since then, or that has
	// come then.
	claim   Claim
	since   time.Time
	excused time.Time // the message could not come, because of us
	then    int       // bytes of it that had moved by then
	account *Account  // the last that it had a claim of
}

// Config says what one end of a connection does. It is not changed.
type Config struct {
	// Handler receives a server's streams; nil makes the end a client.
	Handler Handler
	// MaxMessage is the largest message that is received, in bytes as sent.
	MaxMessage int
	// MessageField names what sets MaxMessage, for errors.
	MessageField string
	// Received and Sent bound what all connections together hold of large messages;
	// nil means no such bound.
	Received, Sent *Account
	// Freed, if set, is called when Owing may have changed. It must not wait, nor
	// call the connection: locks are held.
	Freed func()
	// MaxHeaderList limits received header blocks. The peer is told if TellHeaderList
	// is set (RFC 9113 §6.5.2).
	MaxHeaderList  int
	TellHeaderList bool
	// MaxStreams is how many streams a server handles at once
	// (SETTINGS_MAX_CONCURRENT_STREAMS).
	MaxStreams uint32
	// HandshakeTimeout bounds the wait for the peer's preface and SETTINGS.
	HandshakeTimeout time.Duration
	// MinPing is the least time, on average, between PINGs that a server takes
	// without a strike; zero counts none.
	MinPing time.Duration
	// Stall is how long a response that a client wants as a whole may wait for
	// it to grant any window, or to read anything; zero means for ever.
	//
	// The message of another response that has moved as little for that long ends
	// its stream if others wait for the memory that it takes.
	Stall time.Duration
	// Greeted, if set, is called when the peer's SETTINGS are there, with mu held.
	Greeted func()
	// Crowded, if set, is told now and then that streams of a client have been
	// waiting for long, since the server allows no more than limit at once.
	Crowded func(limit, waiting int)
}

// Handler receives the streams that a client opens. Whoever reads calls
// it, so it must not wait, except in Run.
type Handler interface {
	// New returns the Stream of another call, zero but for what is the
	// handler's.
	New() *Stream
	// Open looks at the Head of a stream, which nothing may be done with yet. If
	// it returns true, Ready follows when the whole request has arrived (or can
	// no longer arrive for a fault in its framing), otherwise at once. A stream
	// that is refused, or reset before, has no Ready. New and Open may come twice.
	Open(*Stream) (whole bool)
	// Opened is called when a stream is taken, before Ready. It may be reset
	// from now on.
	Opened(*Stream)
	// Ready hands the stream over. The handler must call Stream.Done exactly
	// once.
	Ready(*Stream)
	// Quick says whether a whole request, which is there, should be handed over
	// by Run instead of Ready. alone says that there is no other one.
	Quick(s *Stream, alone bool) bool
	// Run is Ready for a quick handler, and may wait for it. It follows whenever
	// Quick returned true.
	Run(*Stream)
	// Reset is called once if the stream ends before its time: reset by either
	// side, or its connection ended. Any goroutine may call it.
	Reset(*Stream)
}

// assembler puts the messages of one stream together from DATA frames. The
// reader goroutine owns it.
type assembler struct {
	left      int64 // what content-length still announces; -1: nothing announced
	asGRPC    bool  // client: the body is gRPC
	failed    bool  // the rest is ignored
	prefix    [prefixLen]byte
	nprefix   uint8 // how much of it is there
	cur       *Buffer
	got, size int
	uncounted int   // bytes of frames that inbound.window does not know of
	ready     queue // whole messages of the frame that is being read
}

// inbound is what has been received for a stream's consumer. Guarded by
// Stream.mu.
type inbound struct {
	head, trailer *Head // of a response
	queue         queue
	partial       int // bytes of the message that is still coming
	need          int // bytes it still lacks
	window        int // what the peer may send before we grant more
	base          int // the part of it that SETTINGS gave
	trailersOnly  bool
	large         bool        // the message that is coming has window of its own
	ended         bool        // END_STREAM
	err           error       // why nothing more comes; after the queue
	failed        error       // a message error
	reset         *ResetError // by Reset
	body          []byte      // beginning of a body that is not gRPC
	headWait      chan struct{}
}

// own is a stream's part in its connection's role.
type own struct {
	// turn is the turn in which the reader ran the handler; 0: it did not. together
	// says that it had read more: responses to requests that were read together are
	// written together.
	turn     turn
	together bool
	// Guarded by Conn.mu: since a message came, the stream has sent something, and
	// its consumer has asked for the next.
	sent, asked bool
}

// closure says how a server closed a stream.
type closure uint8

const (
	notClosed closure = iota // it did not, or it is too long ago
	byEnd                    // with END_STREAM
	byReset                  // with RST_STREAM
)

// wake tells the consumer that something has changed. The channel holds one
// token: a consumer that is not waiting finds it later.
func (s *Stream) wake() {
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

// wakeSender lets a waiting sender look again. c.mu is held.
func (s *Stream) wakeSender() {
	if s.send.ready == nil {
		return
	}
	select {
	case s.send.ready <- struct{}{}:
	default: // it has not yet looked at the last one
	}
}

// drop releases what has been received of messages. What comes is ignored.
func (a *assembler) drop() {
	a.failed = true
	a.ready.drop()
	if a.cur != nil {
		a.cur.Release()
		a.cur = nil
	}
}

// end is why nothing more comes, io.EOF after an orderly end, or nil.
func (in *inbound) end() error {
	switch {
	case in.err != nil:
		return in.err
	case in.failed != nil:
		return in.failed
	case in.ended:
		return io.EOF
	}
	return nil
}
