package h2

import (
	"time"
)

// What an endpoint grants, and what it bears from a peer. Every number has its
// reason here and nowhere else.
const (
	// loneWindow is the receive window of a stream while no more than loneStreams
	// may send: a message of 1 MiB does not wait for more, which would cost a tenth
	// of its time. Two streams of a plugin are always open, for its output and for
	// the broker.
	loneWindow  = 1280 << 10
	loneStreams = 3
	// streamWindow is the window while no more than fewStreams may send. It is what
	// each stream of a peer that sends parts of messages can make us hold, so it is
	// small; a message that needs more gets exactly that once its length is known
	// (assemblyBudget, endRoom).
	streamWindow = 128 << 10

	// endRoom is the window that is left when a large message is here. Peers on
	// nghttp2, Node among them, do not look for the end of a body, and do not
	// send the trailers after it, while the stream's window is zero.
	endRoom = 1
	// Whenever four times as many streams may send, windows shrink to a quarter:
	// 3 streams hold 4 MiB, 8 hold 1 MiB, 100 together 2.3 MiB, 2000 together 4 MiB.
	fewStreams = 8
	// minStreamWindow ends that: windows of less would be renewed for every
	// message. 4000 streams hold 1 MiB more with it.
	minStreamWindow = 512
	// windowPeriod is the least time before windows grow again, so that bursts
	// of calls do not change them to and fro.
	windowPeriod = time.Second
	// connWindow is the receive window of the connection. It is renewed on
	// receipt, so that a consumer that does not read stops only its own stream,
	// up to bufferedBudget.
	connWindow = 2 << 20
	// bufferedBudget is added to the largest message that waits to make the number
	// of bytes of whole messages that may wait for their consumers on one
	// connection before its window is no longer renewed: one message that nobody
	// takes must not hold up all others. Only whole messages count: consuming them is
	// always possible, so this can delay a peer and never wedge it.
	bufferedBudget = 16 << 20
	// assemblyBudget is how many bytes of window a connection grants at once to
	// messages that need more than streamWindow, oldest first. One message of any
	// size is always received; the limit of messages has no part in it.
	assemblyBudget = 5 << 20
	// eagerAlloc is the most that is allocated for a message by its declared
	// length alone; beyond it the buffer grows with the bytes that arrive.
	eagerAlloc = 4 << 10
	// wholeFrom is how much of a message must be there, and it must be one part in
	// wholeShare, for all of it to be allocated for which the peer has window. So a
	// peer pays for what we hold, whatever the limit of messages is, and what has to
	// be copied for it is little. Buffers grow by powers of four and sizes just above
	// a power of two are common, so it is a little more than sixteen.
	wholeFrom  = 1 << 20
	wholeShare = 20
	// wholeMost is the most that is allocated so before it is there. It is what a
	// peer gains of a message of 2 GiB, which otherwise would be much.
	wholeMost = 64 << 20
	// largeKept bounds the large buffers that a process keeps for later messages:
	// a few of 1 MiB, or the two largest.
	largeKept = 8<<20 + 1<<10
	// packAfter is how many messages that wait for a stream's consumer have a
	// buffer each. Small ones after them share buffers of packSize bytes: an
	// empty message takes 5 bytes of window and a buffer of its own 400 bytes
	// of memory.
	packAfter = 2
	packSize  = 4 << 10
	// readFrameSize is the SETTINGS_MAX_FRAME_SIZE we advertise once a peer has
	// begun a message beyond largeMessage: fewer headers and wake-ups for large
	// messages, and still a bounded buffer. Before that we take frames of the
	// initial size: a connection that needs no large ones is not open to them.
	readFrameSize = 1 << 20
	largeMessage  = 64 << 10
	// controlFrameSize bounds every frame that carries neither DATA nor headers:
	// it must be read as a whole, and no honest one comes near 16384 bytes.
	controlFrameSize = 16 << 10
	// headerBlockSize, or headerBlockShare times the limit of a header list if that is
	// more, bounds the encoded bytes of a header block, which may come in frames as
	// large as we advertise, and every string in one. Nobody uses the Huffman code
	// where it takes more bytes than the text, so no block within the limit is beyond
	// that; of one past it only the beginning is kept, once it is decoded.
	headerBlockSize  = 4 << 20
	headerBlockShare = 1.5
	// readBuffer holds many small frames for one read call.
	readBuffer = 32 << 10

	// defaultMaxFrame, defaultWindow and defaultTableSize are the initial
	// values of RFC 9113 §6.5.2 and §6.9.2.
	defaultMaxFrame  = 16 << 10
	defaultWindow    = 65535
	defaultTableSize = 4096
	maxWindow        = 1<<31 - 1
	maxStreamID      = 1<<31 - 1
	// MaxMessage is the largest limit of messages: less than 2 GiB by what a peer may
	// have window for already, so that no window grows past 2^31-1.
	MaxMessage = 1<<31 - 1 - 2<<20

	// freeMessage is the size up to which messages that wait are not counted: a
	// thousand streams hold 4 MiB with it.
	freeMessage = 4 << 10
	// sendBudget is how many bytes of messages of each class (ledger.go) may be
	// encoded and not written on a connection before others wait to be encoded;
	// sendLeast messages of a class are encoded whatever their size, but only one
	// unary response. A peer makes us hold no more than three times that, and asideBudget.
	sendBudget = 2 << 20
	sendLeast  = 4
	// asideAfter is how long the first that waits in a class does so before messages
	// of the class that have not moved are set aside, and asideBudget how many bytes of
	// such a server keeps, or sendLeast messages.
	asideAfter  = time.Second
	asideBudget = 8 << 20
	// connFree is how many bytes of large messages a connection holds that do not
	// count for the account of the process: what honest connections need mostly, so
	// that hostile ones, which have used the account up, do not hold them up.
	connFree = 4 << 20
	// slowAfter and slowRate say what is slow while others wait for the account: a
	// message that has moved at less than slowRate, in bytes a second, for slowAfter.
	// What is sent was encoded before, and local sockets are a thousand times as
	// quick.
	slowAfter = 10 * time.Second
	slowRate  = 1 << 20
	// heldMost is how long a message that has come may wait for its handler while others
	// wait for the account. The handler may be waiting for the same peer, or for
	// another, or for nothing that we see, so there is no other judge but time.
	heldMost = 30 * time.Second

	// assumedMaxStreams is how many streams a client opens before the server's
	// SETTINGS say how many it takes (RFC 9113 §6.5.2 recommends no less).
	assumedMaxStreams = 100
	// crowdedAfter is how long a call waits for another to end, because the
	// server allows no more at once, before the log says so, and crowdedEvery how
	// often it does. A quick queue is nothing to be told of; streams that nobody
	// ends look like a hang.
	crowdedAfter = 10 * time.Second
	crowdedEvery = time.Minute

	// pendingCap is how many bytes may wait for the socket before senders of
	// messages wait too. Control frames are not held up by it.
	pendingCap = 256 << 10
	// copyMost is how much of a message is copied to what is pending. More is left
	// where it is if the peer takes such frames: copying a large message takes
	// longer than a few more system calls. A call with 64 KiB is quicker by 6 percent
	// if it is copied, and so the bound is above that, with what is around a payload.
	copyMost = 96 << 10
	// partsCap is how much of messages that were left where they are may wait for
	// the socket. It delays what others send, but takes no memory of its own.
	partsCap = 1<<20 + 1<<10
	// partMost is how much of them is written at once.
	partMost = 256 << 10
	// spareCap is the largest write buffer that is kept for reuse.
	spareCap = 512 << 10
	// deferFlush is how much a streaming sender lets gather before it writes
	// by itself; below it the write is left to a goroutine that runs as soon
	// as the processor is free.
	deferFlush = 32 << 10
	// yieldBelow: with less than this pending and other calls in flight, the
	// writer first lets them add to the same write.
	yieldBelow = 4 << 10
	// gatherMost is how long that may take, which is microseconds among calls alone.
	// If it takes longer and nobody has added anything, goroutines compute, each for
	// the scheduler's ten milliseconds, and nobody is let in before crowdedFor is over.
	gatherMost = time.Millisecond
	crowdedFor = time.Second
	// giveWay is after how many frames a reader lets other goroutines run, which takes
	// it under a millisecond if they are small; of large ones windows hold it up. One
	// that never has to wait for its peer would otherwise run for the scheduler's ten,
	// and then from a processor's own queue, where it and what it has started come
	// before the readers of quieter connections: beside four floods of calls these
	// waited up to 140 ms.
	giveWay = 256
	// backlogCap bounds what a socket that takes no more may leave to us: one
	// flush of messages, the control frames beside it and TLS's own overhead.
	backlogCap = 2 << 20

	// assumedList is how much of headers is sent to a peer that has not said how much
	// it takes: what grpc-go takes unless it is told otherwise, beyond which it ends
	// the connection.
	assumedList = 16 << 20
	// minHeaderFields bounds the fields of one header block, whatever their size:
	// 15 000 empty cookies are no request. Of a limit of more than that many KiB
	// every fieldShare bytes allow a field.
	minHeaderFields = 1000
	fieldShare      = 1 << 10
	// headerBudget bounds the memory of the headers that all the calls of a
	// connection make us hold, where each field takes fieldCost besides its text, and
	// the first freeHeaders of each call, which a thousand calls may well have, do not
	// count. Past it a server refuses calls, and clients try them again; a client keeps
	// the beginning of a response's headers. It is more if one block may be larger.
	headerBudget = 3 << 20
	freeHeaders  = 2 << 10
	fieldCost    = 96
	// memoBlockSize and memoBlocks bound what a connection keeps of decoded header
	// blocks, to 80 KiB beside the strings of the table: those of calls without
	// much metadata take a dozen bytes, and few programs call more methods.
	memoBlockSize = 32
	memoBlocks    = 64
	// continuationShare bounds the CONTINUATION frames of one header block, however
	// small they are: so many times what the largest block needs in frames of the
	// initial size, which every peer can send and every known one does.
	continuationShare = 2

	// maxSettings bounds the settings of one SETTINGS frame: RFC 9113 defines
	// six.
	maxSettings = 100
	// controlBytes is how many bytes of answers (acks of SETTINGS and PING, resets,
	// refusals) may be queued for a peer that does not read before nothing more is
	// read of it: more of what it sends would make more of them. What handlers send
	// waits for room.
	controlBytes = 256 << 10
	// watchPeriod is how often a watch looks whether a handler keeps a server's
	// reader busy, a call or a stream has been reading for itself for that long, or
	// nobody has read. So a handler delays others of its connection, who reads for
	// itself sees the end of its context later, and data waits while nobody reads, by
	// no more than twice that.
	watchPeriod = time.Millisecond
	// stepBackAfter is how many unary calls must have ended, or messages have gone to
	// and fro on a stream, and nothing else been received, before calls and streams
	// read for themselves. Taking the role back costs about as much as that saves in
	// a few calls.
	stepBackAfter = 16
	// handlerWait is how long the reader of a server waits, when there is no room
	// for another stream, for the handler of one that has ended: a client may open
	// a stream as soon as it has reset another, and the handler of that one takes a
	// moment to return. Cancelling as fast as it can (rapid reset, CVE-2023-44487,
	// and MadeYouReset, CVE-2025-8671) gives a client no more than that: as many
	// handlers as streams are allowed, and a connection that waits for them.
	// Handlers that do not return are not waited for again; streams are refused
	// until one does. Whatever else comes on the connection waits no longer either.
	handlerWait = 10 * time.Millisecond
	// pingStrikes is how many PINGs may come before their time, with nothing sent to
	// the client in between (gRPC's keepalive document).
	pingStrikes = 2
	// idleFrames is how many frames that carry nothing (empty DATA, PRIORITY,
	// unknown types, SETTINGS, PING, WINDOW_UPDATE) a reader takes before it rests for
	// idleRest, unless HEADERS or DATA were sent meanwhile: a long download consists of
	// DATA one way and WINDOW_UPDATE the other. Such frames make us keep nothing, so
	// they are no reason to end a connection, and an application may well have
	// thousands of them at once; but a flood of them should not have a processor for
	// itself. A stream that is reset, by either side, costs resetCost of them.
	idleFrames = 1_000
	idleRest   = time.Millisecond
	resetCost  = 5
	// recentResets is how many streams that we reset are remembered, so that
	// frames the peer sent before it knew are ignored (RFC 9113 §5.1 closed),
	// and how many that a server closed, on which it may send nothing more.
	recentResets = 128
	// blockCacheCap bounds the cached header blocks of a connection.
	blockCacheCap = 512

	// maxErrorBody is how much of an HTTP error's body is kept to be quoted.
	maxErrorBody = 512
	// maxErrorText bounds the text of a connection's error in one of ours, in bytes:
	// it has two addresses at most, which are short.
	maxErrorText = 512

	// stoppedTime is how long a peer may leave a header block unfinished, its answers
	// unread or SETTINGS unacknowledged that change a connection which is in use. A
	// program that a debugger has stopped should find its connections alive.
	stoppedTime = 5 * time.Minute
	// settingsTimeout is how long a peer may leave our first SETTINGS unacknowledged
	// (RFC 9113 §6.5.3).
	settingsTimeout = 30 * time.Second
	// drainPing is how long a graceful stop waits for the ack that shows that
	// the peer knows of it.
	drainPing = 5 * time.Second
	// lingerTime is how long a connection that failed is still read after its
	// GOAWAY, since closing it with unread data would destroy the GOAWAY.
	lingerTime = time.Second
	// lingerBytes bounds what is read meanwhile.
	lingerBytes = 16 << 20
)
