package h2

import (
	"time"
)

// What an endpoint grants, and what it tolerates from a peer. The reason for every
// number is here and nowhere else.
const (
	// loneWindow is the receive window of a stream while no more than loneStreams may
	// send: a message of 1 MiB does not wait for more window, which would cost a tenth
	// of its time. Two streams of a plugin are always open, for its output and for the
	// broker.
	loneWindow  = 1280 << 10
	loneStreams = 3
	// streamWindow is the receive window while no more than fewStreams may send. A peer
	// that sends parts of messages can make us hold that much for each stream, so it is
	// small; a message that needs more is granted exactly that once its length is known
	// (assemblyBudget, endRoom).
	streamWindow = 128 << 10

	// endRoom is the window that is left when a large message has arrived. Peers that
	// use nghttp2, Node among them, do not look for the end of a body, and do not send
	// the trailers after it, while the stream's window is zero.
	endRoom = 1
	// fewStreams: whenever four times as many streams may send, windows shrink to a
	// quarter. 3 streams hold 4 MiB, 8 hold 1 MiB, 100 together 2.3 MiB, 2000 together 4
	// MiB.
	fewStreams = 8
	// minStreamWindow is the smallest window: smaller ones would be renewed for every
	// message. 4000 streams hold 1 MiB more with it.
	minStreamWindow = 512
	// windowPeriod is the least time before windows grow again, so that bursts of calls
	// do not change them back and forth.
	windowPeriod = time.Second
	// connWindow is the receive window of the connection. It is renewed on receipt, so
	// that a consumer that does not read stops only its own stream, up to
	// bufferedBudget.
	connWindow = 2 << 20
	// bufferedBudget, added to the size of the largest message that waits, is how many
	// bytes of whole messages may wait for their consumers on one connection before its
	// window is no longer renewed: one message that is not consumed must not delay all
	// others. Only whole messages count: they can always be consumed, so this can delay
	// a peer and never stop it for good.
	bufferedBudget = 16 << 20
	// assemblyBudget is how many bytes of window a connection grants at once to messages
	// that need more than streamWindow, oldest first. One message of any size is always
	// admitted; the limit of messages does not matter here.
	assemblyBudget = 5 << 20
	// eagerAlloc is the most that is allocated for a message because of its announced
	// length alone; beyond it the buffer grows with the bytes that arrive.
	eagerAlloc = 4 << 10
	// wholeFrom is how much of a message must have arrived, and it must be one part in
	// wholeShare, before a buffer is allocated for all of it that the peer has window
	// for. So what we hold costs the peer a share of it, whatever the limit of messages,
	// and little has to be copied. Buffers grow by powers of four and sizes just above a
	// power of two are common, so wholeShare is a little more than sixteen.
	wholeFrom  = 1 << 20
	wholeShare = 20
	// wholeMost is the most that is allocated in this way before it has arrived. It
	// bounds what a peer gains with a message of 2 GiB.
	wholeMost = 64 << 20
	// largeKept bounds the large buffers that a process keeps for later messages: a few
	// of 1 MiB, or the two largest.
	largeKept = 8<<20 + 1<<10
	// packAfter is how many messages that wait for the consumer of a stream have a
	// buffer each. Small ones after them share buffers of packSize bytes: an empty
	// message takes 5 bytes of window, and in a buffer of its own 400 bytes of memory.
	packAfter = 2
	packSize  = 4 << 10
	// readFrameSize is the SETTINGS_MAX_FRAME_SIZE that we advertise once a peer has
	// begun a message beyond largeMessage: fewer headers and wake-ups for large
	// messages, and still a bounded buffer. Before that we accept frames of the initial
	// size: a connection that needs no large ones does not offer them to an attacker.
	readFrameSize = 1 << 20
	largeMessage  = 64 << 10
	// controlFrameSize bounds every frame that carries neither DATA nor headers: it must
	// be read as a whole, and no honest one comes near 16384 bytes.
	controlFrameSize = 16 << 10
	// headerBlockSize, or headerBlockShare times the limit of a header list if that is
	// more, bounds the encoded bytes of a header block, which may come in frames as
	// large as we advertise, and every string in one. No peer uses the Huffman code
	// where it takes more bytes than the text, so no block within the limit of the list
	// exceeds this; of a block past that limit only the beginning is kept, once it is
	// decoded.
	headerBlockSize  = 4 << 20
	headerBlockShare = 1.5
	// readBuffer is large enough for many small frames in one read call.
	readBuffer = 32 << 10

	// defaultMaxFrame, defaultWindow and defaultTableSize are the initial
	// values of RFC 9113 §6.5.2 and §6.9.2.
	defaultMaxFrame  = 16 << 10
	defaultWindow    = 65535
	defaultTableSize = 4096
	maxWindow        = 1<<31 - 1
	maxStreamID      = 1<<31 - 1
	// MaxMessage is the largest limit of messages: 2 GiB less what a peer may already
	// have window for, so that no window grows past 2^31-1.
	MaxMessage = 1<<31 - 1 - 2<<20

	// freeMessage is the size up to which waiting messages do not count: a thousand
	// streams hold 4 MiB of them.
	freeMessage = 4 << 10
	// sendBudget is how many bytes of messages of each class (ledger.go) may be encoded
	// and not written on a connection before others wait to be encoded; sendLeast
	// messages of a class are encoded whatever their size, but only one unary response.
	// A peer makes us hold no more than three times that, and asideBudget.
	sendBudget = 2 << 20
	sendLeast  = 4
	// asideAfter is how long the first message that waits in a class does so before
	// messages of the class that have not moved are set aside. asideBudget is how many
	// bytes of those a server keeps, or sendLeast messages.
	asideAfter  = time.Second
	asideBudget = 8 << 20
	// connFree is how many bytes of large messages a connection holds that do not count
	// for the account of the process: as much as honest connections mostly need, so that
	// hostile ones which have used up the account do not delay them.
	connFree = 4 << 20
	// slowAfter and slowRate define what is slow while others wait for the account: a
	// message that has moved at less than slowRate, in bytes a second, for slowAfter.
	// Sent messages were encoded before, and local sockets are a thousand times as fast.
	slowAfter = 10 * time.Second
	slowRate  = 1 << 20
	// heldMost is how long a message that has arrived may wait for its handler while
	// others wait for the account. The handler may be waiting for the same peer, or for
	// another, or for something that we do not see, so only the time can decide.
	heldMost = 30 * time.Second

	// assumedMaxStreams is how many streams a client opens before the server's SETTINGS
	// announce its limit (RFC 9113 §6.5.2 recommends no less).
	assumedMaxStreams = 100
	// crowdedAfter is how long a call waits for another to end, because the server
	// allows no more at once, before that is logged, and crowdedEvery how often it is
	// logged. A queue that moves is not worth a line; streams that never end look like a
	// hang.
	crowdedAfter = 10 * time.Second
	crowdedEvery = time.Minute

	// pendingCap is how many bytes may wait for the socket before senders of messages
	// wait too. Control frames do not wait.
	pendingCap = 256 << 10
	// copyMost is how many bytes of a message are copied to the write buffer. A larger
	// message is written from its own buffer if the peer accepts such frames: copying it
	// takes longer than a few more system calls. A call with 64 KiB is 6 percent faster
	// if it is copied, and so the bound is above that, with what surrounds a payload.
	copyMost = 96 << 10
	// partsCap is how many bytes of messages in their own buffers may wait for the
	// socket. They delay what others send, but take no additional memory.
	partsCap = 1<<20 + 1<<10
	// partMost is how many of those bytes are written at once.
	partMost = 256 << 10
	// spareCap is the capacity of the largest write buffer that is kept for reuse.
	spareCap = 512 << 10
	// deferFlush is how many bytes a streaming sender lets gather before it writes
	// itself; below that the write is left to a goroutine that runs as soon as a
	// processor is free.
	deferFlush = 32 << 10
	// yieldBelow is the number of pending bytes below which the writer, if other calls
	// are in flight, first lets them add to the same write.
	yieldBelow = 4 << 10
	// gatherMost is how long that may take; among calls alone it takes microseconds. If
	// it takes longer and nothing was added, goroutines are computing, each for the
	// scheduler's ten milliseconds, and the writer does not yield again before
	// crowdedFor is over.
	gatherMost = time.Millisecond
	crowdedFor = time.Second
	// giveWay is after how many frames a reader lets other goroutines run; it takes less
	// than a millisecond for them if they are small, and windows stop it if they are
	// large. A reader that never has to wait for its peer would otherwise run for the
	// scheduler's ten milliseconds, and then again from a processor's own queue, where
	// it and the goroutines that it has started come before the readers of quieter
	// connections: beside four floods of calls these waited up to 140 ms.
	giveWay = 256
	// backlogCap bounds what is left to us when a socket accepts no more: one flush of
	// messages, the control frames beside it and the overhead of TLS.
	backlogCap = 2 << 20

	// assumedList is the size of the headers that are sent to a peer that has not
	// announced its limit: grpc-go's default limit, beyond which it ends the connection.
	assumedList = 16 << 20
	// minHeaderFields bounds the fields of one header block, whatever their size: no
	// honest request has 15 000 empty cookies. A limit of the list of more than that
	// many KiB allows one field for every fieldShare bytes.
	minHeaderFields = 1000
	fieldShare      = 1 << 10
	// headerBudget bounds the memory of the headers of all calls of a connection. Each
	// field counts for fieldCost besides its text; the first freeHeaders bytes of each
	// call, which a thousand calls may well have, do not count. Past the bound a server
	// refuses calls, and clients retry them; a client keeps only the beginning of a
	// response's headers. It is more if one block may be larger.
	headerBudget = 3 << 20
	freeHeaders  = 2 << 10
	fieldCost    = 96
	// memoBlockSize and memoBlocks bound the decoded header blocks that a connection
	// remembers, to 80 KiB beside the strings of the table: those of calls without much
	// metadata take a dozen bytes, and few programs call more methods.
	memoBlockSize = 32
	memoBlocks    = 64
	// continuationShare bounds the CONTINUATION frames of one header block, however
	// small they are: the multiple of what the largest block needs in frames of the
	// initial size, which every peer can send and every known one does.
	continuationShare = 2

	// maxSettings bounds the settings of one SETTINGS frame: RFC 9113 defines six.
	maxSettings = 100
	// controlBytes is how many bytes of answers (acks of SETTINGS and PING, resets,
	// refusals) may be queued for a peer that does not read, before nothing more is read
	// of it: that would cause more answers. What handlers send waits for room.
	controlBytes = 256 << 10
	// watchPeriod is how often the watch checks whether a handler keeps a server's
	// reader busy, whether a call or a stream has been reading for itself for that long,
	// or whether nothing has been reading. So a handler delays other calls of its
	// connection, a call that reads for itself notices the end of its context late, and
	// data waits without a reader, by no more than twice that.
	watchPeriod = time.Millisecond
	// stepBackAfter is how many unary calls must have ended, or messages have gone to
	// and fro on a stream, with nothing else received, before calls and streams read for
	// themselves. Taking the role back costs about as much as that saves in a few calls.
	stepBackAfter = 16
	// handlerWait is how long the reader of a server waits, when there is no room for
	// another stream, for the handler of a stream that has ended: a client may open a
	// stream as soon as it has reset another, whose handler takes a moment to return. A
	// client that cancels as fast as it can (rapid reset, CVE-2023-44487, and
	// MadeYouReset, CVE-2025-8671) gains no more than that: as many handlers as streams
	// are allowed, and a connection that waits for them. Handlers that do not return are
	// not waited for again; streams are refused until one returns. Other frames of the
	// connection are not delayed any longer either.
	handlerWait = 10 * time.Millisecond
	// pingStrikes is how many PINGs may come early, with nothing sent to the client in
	// between (gRPC's keepalive document).
	pingStrikes = 2
	// idleFrames is how many frames that carry nothing (empty DATA, PRIORITY, unknown
	// types, SETTINGS, PING, WINDOW_UPDATE) a reader accepts before it rests for
	// idleRest, unless HEADERS or DATA were sent meanwhile: a long download consists of
	// DATA in one direction and WINDOW_UPDATE in the other. Such frames make us keep
	// nothing, so they are no reason to end a connection, and an application may well
	// cause thousands of them at once; but a flood of them should not take a whole
	// processor. A stream that is reset, by either side, counts for resetCost of them.
	idleFrames = 1_000
	idleRest   = time.Millisecond
	resetCost  = 5
	// recentResets is how many of the streams that we reset are remembered, so that
	// frames which the peer sent before it knew are ignored (RFC 9113 §5.1 closed), and
	// how many of those that a server closed, on which it may send nothing more.
	recentResets = 128
	// blockCacheCap bounds the cached header blocks of a connection.
	blockCacheCap = 512

	// maxErrorBody is how many bytes of the body of an HTTP error are kept for quoting.
	maxErrorBody = 512
	// maxErrorText bounds the text of a connection's error in one of ours, in bytes: it
	// has two addresses at most, which are short.
	maxErrorText = 512

	// stoppedTime is how long a peer may leave a header block unfinished, answers
	// unread, or SETTINGS unacknowledged that change a connection in use. It is so long
	// that a program which a debugger has stopped finds its connections alive.
	stoppedTime = 5 * time.Minute
	// settingsTimeout is how long a peer may leave our first SETTINGS unacknowledged
	// (RFC 9113 §6.5.3).
	settingsTimeout = 30 * time.Second
	// drainPing is how long a graceful stop waits for the ack which shows that the peer
	// knows of it.
	drainPing = 5 * time.Second
	// lingerTime is how long a failed connection is still read after our GOAWAY, since
	// closing it with unread data would discard the GOAWAY.
	lingerTime = time.Second
	// lingerBytes bounds what is read in that time.
	lingerBytes = 16 << 20
)
