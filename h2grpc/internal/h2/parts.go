package h2

import (
	"bufio"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is one end of an HTTP/2 connection. All its methods except Run may be called
// by any goroutine.
//
// Locks are taken in this order: mu, a Stream's mu, the ledger's, an Account's
// (lock.go). Nothing waits while holding one.
type Conn struct {
	nc     net.Conn
	raw    net.Conn // nc, or the socket below TLS
	cfg    Config
	client bool
	done   chan struct{} // closed when Run has ended
	ready  chan struct{} // closed at the peer's first SETTINGS

	role   role  // who reads
	in     inbox // what is being read
	ledger ledger

	mu connLock
	// guarded by mu, except what is atomic
	life  life
	table table
	pings pings
	out   outbox
	send  sendFlow
	recv  recvFlow
}

// inbox is the state of reading. The reader owns it.
type inbox struct {
	br          *bufio.Reader
	begun       bool    // the preface has been read
	lone        *Stream // to be passed to the handler before the next frame
	maxFrame    int     // SETTINGS_MAX_FRAME_SIZE of ours
	dec         *headerDecoder
	sawPeer     bool // the first SETTINGS have arrived
	largeFrames bool // readFrameSize has been advertised
	idleLeft    int  // of idleFrames
	frames      uint // read by run; see giveWay
	// reading is the stream whose frame is being read; see enter. Abandoning the stream
	// changes it.
	reading atomic.Pointer[Stream]
}

// table is the streams: those that exist, may be opened and were closed.
type table struct {
	streams map[uint32]*Stream
	live    int // server: streams whose handler may run; client: open streams
	// calls counts the streams in flight whose consumer wants everything at once, that
	// is, unary calls.
	calls       atomic.Int32
	lastPeer    uint32 // server: highest stream id the client opened
	nextID      uint32 // client: the next stream's id
	most        int    // client: SETTINGS_MAX_CONCURRENT_STREAMS of the peer
	opening     []chan struct{}
	crowdedSaid time.Time // when Config.Crowded was last called
	headerBytes int       // counts against headersMost
	// spare holds streams of a client for reuse. Their channels may belong to a synctest
	// bubble, so they stay with their connection.
	spare sync.Pool

	// Server: the reader waits for a handler to return. See handlerWait.
	handlerEnds chan struct{} // closed when one does, if the reader waits
	handlerLate bool          // none did in time, and none has since

	// What was closed recently.
	resets   [recentResets]uint32
	resetPos int
	closes   [recentResets]struct { // client: the streams that the server closed last
		id  uint32
		how closure
	}
	closePos int
}

// pings is the state of our PINGs, and of the peer's.
type pings struct {
	onAck    map[[8]byte]func()
	seq      uint64
	due      time.Time // the time from which the peer's next PING is not early
	answered bool      // HEADERS or DATA were sent since its last PING
}

// outbox is what is queued for the socket, and the state of writing it.
type outbox struct {
	try       *tryConn // nil if the socket cannot be written without waiting
	pending   []byte   // with parts in between
	parts     []part
	partBytes int    // of messages, in parts and in now
	now       output // is being written; owned by the writer
	spare     []byte
	writing   bool
	crowded   time.Time     // when yield took long and nothing was added
	deferred  bool          // a goroutine is about to flush
	idle      chan struct{} // closed when writing ends, if somebody waits
	room      chan struct{} // closed when pending is taken, if somebody waits
	progress  bool          // HEADERS or DATA were sent since idleFrame last checked
	answers   int           // bytes of answers queued since the last write began
	unread    atomic.Bool   // answers are more than controlBytes
}

// sendFlow is what the peer allows us to send.
type sendFlow struct {
	enc      *headerEncoder
	block    []byte // scratch for header blocks
	window   int
	initial  int       // SETTINGS_INITIAL_WINDOW_SIZE
	maxFrame int       // SETTINGS_MAX_FRAME_SIZE
	maxList  int       // SETTINGS_MAX_HEADER_LIST_SIZE
	blocked  []*Stream // waiting for window or for room in pending, oldest first
}

// recvFlow is what we allow the peer to send.
type recvFlow struct {
	window int // what the peer may still send
	credit int // received and not yet granted again
	// buffered is how many received bytes wait for consumers; largest is the size of the
	// largest message among them, now or until a moment ago.
	buffered, largest atomic.Int64

	streams   int          // on which the peer may send
	initial   int          // SETTINGS_INITIAL_WINDOW_SIZE as last sent
	share     atomic.Int32 // initial, for code that does not hold mu
	granted   int          // what initial may still be for the peer
	shrinking int          // acks of SETTINGS until granted is initial
	since     time.Time
	settings  *time.Timer // runs until our SETTINGS are acknowledged
	unacked   int         // of our SETTINGS, not acknowledged

	reserved int64 // window granted to large messages beyond streamWindow
	waiting  []*Stream
}

// Stream is one call on a connection.
//
// One goroutine may send while another receives; neither side may be used by two
// goroutines at once. The reader owns the field reader; mu guards what the reader
// passes to the consumer; Conn.mu guards the rest.
type Stream struct {
	c  *Conn
	ID uint32
	// Head is the header block of a request, on a server. It does not change, and
	// streams may share it.
	Head *Head
	// MaxMessage limits received messages, in bytes as sent; Handler.Open and Open may
	// lower or raise the connection's limit.
	MaxMessage int
	// Data belongs to the handler, for finding its own state.
	Data any

	// A server makes a stream for each call: the order of these fields saves memory.
	whole   bool // the consumer is woken only when everything has arrived
	gotHead bool // reader: the response headers have arrived, and more will follow
	handled bool // the handler's: the connection no longer needs Done
	own     own

	reader assembler
	held   atomic.Int64 // client: counts in table.headerBytes, or forgotten

	// guarded by Conn.mu
	send       sendHalf
	recv       recvHalf
	started    bool // server: Ready was called, Done is due
	gone       bool // no longer in table.streams
	headerCost int  // server: counts in table.headerBytes

	mu     streamLock
	in     inbound
	notify chan struct{} // nil if nothing waits on it
}

// sendHalf is the sending side of a stream. Together with recvHalf.ended it
// determines the state of RFC 9113 §5.1: open, half-closed or closed.
type sendHalf struct {
	window  int
	ended   bool // we sent END_STREAM, or can send no more
	blocked bool // in sendFlow.blocked
	sent    bool // something was sent and nothing received since
	heard   bool // the peer has granted window since the last message was begun
	ready   chan struct{}
	// claim is the claim of the message that waits for window, of which unsent bytes are
	// not sent. It is slow or not by the bytes that have moved since the time since.
	claim  *Claim
	since  time.Time
	then   int // how many bytes had moved at the time since
	unsent int
}

// recvHalf is the receiving side of a stream, without what is passed to its consumer.
type recvHalf struct {
	ended     bool // the peer sent END_STREAM; written by the reader
	assembled bool // has been in recvFlow.waiting
	counted   bool // in recvFlow.streams
	reserved  int  // part of recvFlow.reserved
	wanted    int  // to be added to reserved, while in recvFlow.waiting
	// claim is the claim of the message that was granted window of its own, or that has
	// arrived, at the time since.
	claim   Claim
	since   time.Time
	excused time.Time // when the message last could not arrive because of this side
	then    int       // how many bytes had moved at the time since
	account *Account  // the last account that claim counted for
}

// Config configures one end of a connection. It is not changed.
type Config struct {
	// Handler receives a server's streams; nil makes this end a client.
	Handler Handler
	// MaxMessage is the size of the largest message that is accepted, in bytes as sent.
	MaxMessage int
	// MessageField names the field that sets MaxMessage, for errors.
	MessageField string
	// Received and Sent bound the large messages that all connections hold together; nil
	// means no such bound.
	Received, Sent *Account
	// Freed, if set, is called when Congested may have changed. It must not wait, nor call
	// the connection: locks are held.
	Freed func()
	// MaxHeaderList limits received header blocks, in bytes. It is announced to the peer
	// if TellHeaderList is set (RFC 9113 §6.5.2).
	MaxHeaderList  int
	TellHeaderList bool
	// MaxStreams is how many streams a server handles at once
	// (SETTINGS_MAX_CONCURRENT_STREAMS).
	MaxStreams uint32
	// HandshakeTimeout limits the wait for the peer's preface and SETTINGS.
	HandshakeTimeout time.Duration
	// MinPing is the least time, on average, between PINGs that a server accepts without
	// a strike; zero means no limit.
	MinPing time.Duration
	// Stall is how long a response that the client wants as a whole may wait for the
	// client to grant any window, or to read anything; zero means no limit.
	//
	// The message of another response that has moved as little for that long ends its
	// stream if others wait for the memory that it takes.
	Stall time.Duration
	// Greeted, if set, is called when the peer's SETTINGS have arrived, with mu held.
	Greeted func()
	// Crowded, if set, is called now and then while streams of a client have been
	// waiting for long, since the server allows no more than limit at once.
	Crowded func(limit, waiting int)
}

// Handler receives the streams that a client opens. The reader calls its methods,
// which therefore must not wait, except Run.
type Handler interface {
	// New returns the Stream for another call, with all fields zero except those for the
	// handler.
	New() *Stream
	// Open examines the Head of a stream, which must not be used otherwise yet. If it
	// returns true, Ready is called when the whole request has arrived (or can no longer
	// arrive because of a fault in its framing), otherwise at once. For a stream that is
	// refused, or reset before, Ready is not called. New and Open may be called twice
	// for a stream.
	Open(*Stream) (whole bool)
	// Opened is called when a stream is accepted, before Ready. The stream may be reset
	// from then on.
	Opened(*Stream)
	// Ready passes the stream to the handler, which must call Stream.Done exactly once.
	Ready(*Stream)
	// Quick reports whether a whole request that has arrived should be passed to Run
	// instead of Ready. alone reports that there is no other request.
	Quick(s *Stream, alone bool) bool
	// Run handles a request like Ready, and may wait for its handler. It is called
	// whenever Quick returned true.
	Run(*Stream)
	// Reset is called once if the stream ends early: reset by either side, or with its
	// connection. Any goroutine may call it.
	Reset(*Stream)
}

// assembler assembles the messages of one stream from DATA frames. The reader owns
// it.
type assembler struct {
	left      int64 // what is left of content-length; -1: none was announced
	asGRPC    bool  // client: the body is gRPC
	failed    bool  // everything that follows is ignored
	prefix    [prefixLen]byte
	nprefix   uint8 // how many bytes of prefix have arrived
	cur       *Buffer
	got, size int
	uncounted int   // bytes of frames that inbound.window does not include
	ready     queue // whole messages of the frame that is being read
}

// inbound is what has been received for a stream's consumer. Guarded by Stream.mu.
type inbound struct {
	head, trailer *Head // of a response
	queue         queue
	partial       int // bytes of the message that is still coming
	need          int // bytes that the message lacks
	window        int // what the peer may send before more is granted
	base          int // the part of window that SETTINGS granted
	trailersOnly  bool
	large         bool        // the message that is coming was granted window of its own
	ended         bool        // END_STREAM
	err           error       // why nothing more comes, after the queue
	failed        error       // a message error
	reset         *ResetError // by Reset
	body          []byte      // the beginning of a body that is not gRPC
	headWait      chan struct{}
}

// own is a stream's part in the connection's role.
type own struct {
	// turn is the turn in which the reader ran the handler; 0: it did not. together
	// reports that it had read more at that time: responses to requests that were read
	// together are written together.
	turn     turn
	together bool
	// Guarded by Conn.mu. sent: the stream has sent something since a message arrived.
	// asked: its consumer has asked for the next message.
	sent, asked bool
}

// closure is how a server closed a stream.
type closure uint8

const (
	notClosed closure = iota // it did not, or too long ago
	byEnd                    // with END_STREAM
	byReset                  // with RST_STREAM
)

// wake tells the consumer that something has changed. The channel holds one token,
// which a consumer that is not waiting receives later.
func (s *Stream) wake() {
	select {
	case s.notify <- struct{}{}:
	default:
	}
}

// wakeSender makes a waiting sender try again. c.mu is held.
func (s *Stream) wakeSender() {
	if s.send.ready == nil {
		return
	}
	select {
	case s.send.ready <- struct{}{}:
	default: // the last token has not been received yet
	}
}

// drop releases what has been received of messages. What arrives later is ignored.
func (a *assembler) drop() {
	a.failed = true
	a.ready.drop()
	if a.cur != nil {
		a.cur.Release()
		a.cur = nil
	}
}

// end returns why nothing more comes, io.EOF after an orderly end; nil while more may
// come.
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
