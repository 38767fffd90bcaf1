// Package h2 is the connection engine: HTTP/2 (RFC 9113) as gRPC uses it, for
// both ends of a connection. Frames are read and written here; header blocks are
// compressed by x/net's hpack.
//
// It knows frames, flow control, header blocks and gRPC's five-byte message
// prefix, and nothing of methods, statuses or codecs.
//
// One goroutine at a time reads a connection: one of Conn.Run, or a call or a stream
// that is alone (role.go).
// There is no writing goroutine: whoever has something to send appends it to a
// shared buffer, and whoever finds nobody writing writes what has gathered.
package h2

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

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

// Handler receives the streams that a client opens. The reader goroutine calls
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

// Conn is one end of an HTTP/2 connection. All its methods but Run may be
// called by any goroutine.
type Conn struct {
	nc     net.Conn
	raw    net.Conn // nc, or what is below TLS
	try    *tryConn // nil if the socket cannot be written without waiting
	cfg    Config
	client bool
	done   chan struct{} // closed when Run has ended
	ready  chan struct{} // closed at the peer's first SETTINGS

	// spareStreams holds streams of a client for further calls. Their channels
	// may belong to a synctest bubble, so they stay with their connection.
	spareStreams sync.Pool

	ledger ledger

	// buffered counts received bytes that wait for consumers, and largest is the
	// largest message among them, or was until a moment ago.
	buffered, largest atomic.Int64
	// calls counts streams in flight whose consumer wants all at once, that is
	// unary calls.
	calls atomic.Int32
	// share is window, for those who do not hold mu.
	share atomic.Int32

	// unread says that controlBytes is used up.
	unread atomic.Bool
	role   role

	// Owned by the reader goroutine.
	br          *bufio.Reader
	begun       bool    // the preface has been read
	lone        *Stream // to be handed over before the next frame
	maxFrame    int     // SETTINGS_MAX_FRAME_SIZE of ours
	hdec        *headerDecoder
	sawPeer     bool // the first SETTINGS is here
	largeFrames bool // readFrameSize has been advertised
	idleLeft    int  // of idleFrames
	// reading is the stream whose frame is being read; see enter.
	reading atomic.Pointer[Stream]

	mu sync.Mutex
	// guarded by mu
	streams  map[uint32]*Stream
	live     int    // server: streams whose handler may run; client: open streams
	lastPeer uint32 // server: highest stream id the client opened
	nextID   uint32 // client: the next stream's id
	opening  []chan struct{}
	// crowdedSaid is when Crowded was called last.
	crowdedSaid time.Time
	resets      [recentResets]uint32
	resetPos    int
	closes      [recentResets]struct { // client: the streams that the server closed last
		id  uint32
		how closure
	}
	closePos int
	progress bool      // HEADERS or DATA were sent since idleFrame looked
	answered bool      // HEADERS or DATA were sent since the last PING
	pingDue  time.Time // when the next PING is in time

	// Server: the reader waits for a handler to return. See handlerWait.
	handlerEnds chan struct{} // closed when one does, if the reader waits
	handlerLate bool          // none did in time, nor has since

	life life

	onPing  map[[8]byte]func()
	pingSeq uint64

	// Sending.
	pending     []byte // with parts between them
	parts       []part
	partBytes   int    // of messages, in parts and in out
	out         output // is being written; the writer's, whoever that is
	spare       []byte
	henc        *headerEncoder
	block       []byte // scratch for header blocks
	writing     bool
	deferred    bool          // a goroutine is about to flush
	idle        chan struct{} // closed when writing ends, if somebody waits
	controlSize int           // bytes of answers queued since the last write began
	room        chan struct{} // closed when pending is taken, if somebody waits
	headerBytes int           // of headersMost
	sendWindow  int
	blocked     []*Stream // wait for sendWindow or room in pending, oldest first
	peerWindow  int       // SETTINGS_INITIAL_WINDOW_SIZE
	peerFrame   int       // SETTINGS_MAX_FRAME_SIZE
	peerStreams int       // SETTINGS_MAX_CONCURRENT_STREAMS
	peerList    int       // SETTINGS_MAX_HEADER_LIST_SIZE

	// Receiving.
	recvWindow  int // what the peer may still send
	recvCredit  int // received and not yet granted again
	receiving   int // streams on which the peer may send
	window      int // SETTINGS_INITIAL_WINDOW_SIZE as last sent
	granted     int // and as the peer may still take it to be
	shrinking   int // acks of SETTINGS until granted is window
	windowSince time.Time
	assembly    int64 // window granted to large messages beyond streamWindow
	assembling  []*Stream
	settings    *time.Timer // runs until our SETTINGS are acknowledged
	unacked     int         // of our SETTINGS
}

// NewConn starts one end of a connection on nc, on which nothing has been sent
// yet. raw is the socket below it if nc is a TLS connection made with [Raw],
// and otherwise nc itself. The caller must call Run.
func NewConn(nc net.Conn, raw net.Conn, cfg Config) *Conn {
	c := &Conn{
		nc:          nc,
		raw:         raw,
		cfg:         cfg,
		client:      cfg.Handler == nil,
		done:        make(chan struct{}),
		ready:       make(chan struct{}),
		br:          bufio.NewReaderSize(nc, readBuffer),
		maxFrame:    defaultMaxFrame,
		hdec:        newHeaderDecoder(cfg.MaxHeaderList),
		idleLeft:    idleFrames,
		streams:     map[uint32]*Stream{},
		nextID:      1,
		onPing:      map[[8]byte]func(){},
		henc:        newHeaderEncoder(),
		sendWindow:  defaultWindow,
		peerWindow:  defaultWindow,
		peerFrame:   defaultMaxFrame,
		peerStreams: assumedMaxStreams,
		peerList:    assumedList,
		recvWindow:  connWindow,
		window:      loneWindow,
		granted:     loneWindow,
	}
	l := &c.ledger
	l.received, l.sent, l.freed = cfg.Received, cfg.Sent, cfg.Freed
	l.giveUp, l.keepers, l.turns = c.giveUp, c.keepers, make(chan struct{}, sendLeast)
	l.awaits.class, l.awaits.again = received, c.grantAgain
	c.share.Store(loneWindow)
	if t, ok := raw.(*tryConn); ok {
		c.try = t
	} else if t := newTryConn(raw); t != nil && raw == nc {
		c.try, c.nc = t, t
	}
	if c.try != nil {
		c.try.arm()
	}
	c.role.run, c.role.stoppable = c.run, c.try != nil || isPipe(raw)
	c.hello()
	return c
}

// Raw prepares a socket for TLS on top of it; the result goes below the TLS
// connection and then to [NewConn].
func Raw(nc net.Conn) net.Conn {
	if t := newTryConn(nc); t != nil {
		return t
	}
	return nc
}

// hello queues and sends what both ends begin with: RFC 9113 §3.4. SETTINGS go
// out at once; grpc-go clients wait for a server's.
func (c *Conn) hello() {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := []setting{{settingInitialWindowSize, loneWindow}}
	if c.cfg.TellHeaderList {
		set = append(set, setting{settingMaxHeaderListSize, uint32(min(c.cfg.MaxHeaderList, maxWindow))})
	}
	if c.client {
		c.pending = append(c.pending, ClientPreface...)
		set = append(set, setting{settingEnablePush, 0})
	} else {
		set = append(set, setting{settingMaxConcurrentStreams, c.cfg.MaxStreams})
	}
	c.pending = appendSettings(c.pending, set...)
	c.unacked = 1
	c.pending = appendWindowUpdate(c.pending, 0, connWindow-defaultWindow)
	c.settings = time.AfterFunc(settingsTimeout, func() {
		c.Abort(ErrCodeSettingsTimeout, "SETTINGS were not acknowledged")
	})
	c.flushLocked()
}

// takeLargeFrames advertises readFrameSize, once. Reader only.
func (c *Conn) takeLargeFrames() {
	if c.largeFrames {
		return
	}
	c.largeFrames = true
	c.maxFrame = readFrameSize
	c.mu.Lock()
	c.pending = appendSettings(c.pending, setting{settingMaxFrameSize, readFrameSize})
	c.settingsSent()
	c.mu.Unlock()
}

// Ready is closed when the peer's SETTINGS have arrived.
func (c *Conn) Ready() <-chan struct{} { return c.ready }

// Done is closed when the connection has ended and all its streams with it.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Run reads the connection until it ends, and then ends all its streams. It
// returns the reason, which is nil after an orderly end.
func (c *Conn) Run() error {
	if c.client {
		c.run()
	} else {
		go c.run() // which may come to run a handler that does not return
	}
	<-c.done
	if err := c.Err(); err != ErrClosed {
		return err
	}
	return nil
}

// run is Run, or the rest of it, for whoever is the reader. It returns early when it
// is the reader no more.
func (c *Conn) run() {
	err, reader := c.read()
	if !reader {
		return
	}
	defer close(c.done)
	if c.finish(err) {
		c.linger()
	} else if hungUp(err) {
		c.waitIdle(lingerTime) // for the GOAWAY
	}
	c.closeSocket()
	c.mu.Lock()
	c.life.socket = shut
	c.mu.Unlock()
	c.life.closers.Wait()
	c.waitIdle(lingerTime)
}
