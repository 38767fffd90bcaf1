package yamux

import "time"

// Every limit and time-out of the package, with its reason. Those called the protocol's
// are the defaults of hashicorp/yamux, which peers of this protocol rely on.
const (
	// window is how many bytes a peer may send on a stream before it is told that some
	// have been read. The protocol's.
	window = 256 << 10

	// updateAfter is how much of the window must have been read before the peer is told.
	// Half of it keeps both sides busy. The protocol's.
	updateAfter = window / 2

	// maxSendWindow bounds the window that a peer gives to a stream of ours, in bytes.
	// hashicorp/yamux counts in 32 bits, and would overflow to zero.
	maxSendWindow = 1<<32 - 1

	// giveWay is the number of frames after which the reader lets other goroutines run. A
	// reader that never has to wait for its peer would otherwise occupy a processor for
	// the scheduler's ten milliseconds, again and again.
	giveWay = 256

	// maxBacklog bounds the streams that the peer has opened and Accept has not returned;
	// a further one is reset. It also bounds our own streams that wait for the peer to
	// accept them. The protocol's.
	maxBacklog = 256

	// maxStreams bounds the streams that are open at once, ours and the peer's.
	// The protocol has no such limit; an application that brokers thousands of
	// connections is below it, and an idle stream costs about 1 KiB.
	maxStreams = 8192

	// maxBuffered bounds what the buffers of all streams hold together, in bytes. The
	// protocol bounds only each stream. The reader of a connection empties its stream at
	// once, so that a healthy session holds a few hundred KiB; a stream that would exceed
	// the bound is reset. It is enough for 256 streams that are not read.
	maxBuffered = maxBacklog * window

	// keepBuffered is how many bytes the buffers of all streams may have before an empty
	// buffer larger than keepBuffer is freed.
	keepBuffered = 4 << 20
	keepBuffer   = 4 << 10

	// bufferStep is how many bytes a stream's buffer grows by at most at once, while a
	// frame arrives, so that the length that a peer declares costs nothing.
	bufferStep = 16 << 10

	// readSize is the size of the reader's buffer in bytes. Larger data is read directly
	// into the stream's buffer.
	readSize = 16 << 10

	// maxFrame is the most data in one of our frames, in bytes. Streams alternate by the
	// frame; larger frames gain nothing.
	maxFrame = 64 << 10

	// maxPending bounds the data that waits to be written to the connection, in
	// bytes, before Write waits: a few frames, so that the writer never idles.
	maxPending = 256 << 10

	// maxReplies bounds the answers that wait to be written: to pings, and resets of
	// refused streams. A peer that asks and does not read the answers ends the session.
	// Other peers ask twice a minute.
	maxReplies = 1024

	// maxPings bounds the pings of the peer in each pingPeriod. Peers send two a minute,
	// and an application that measures round trips a few more.
	maxPings   = 6000
	pingPeriod = time.Minute

	// maxRefused bounds the streams that are refused in a row. A peer that knows the
	// backlog does not open more until some are accepted; one that does so does it on
	// purpose.
	maxRefused = 4 * maxBacklog

	// keepAliveInterval is the time between pings. The protocol's.
	keepAliveInterval = 30 * time.Second

	// pingTimeout is how long the peer may take to answer a ping before the
	// session ends. The protocol's.
	pingTimeout = 10 * time.Second

	// writeTimeout bounds one write to the connection. A peer that reads nothing for so
	// long counts as dead. The protocol's.
	writeTimeout = 10 * time.Second

	// acceptTimeout is how long the peer may take to accept a stream before
	// the session ends. The protocol's.
	acceptTimeout = 75 * time.Second

	// closeTimeout is how long the peer may take to close its half of a stream after we
	// have closed the stream; then it is reset. The protocol's.
	closeTimeout = 5 * time.Minute

	// flushTimeout bounds how long the end of a session waits until earlier writes have
	// been sent: the answer to a last call, and the ends of streams. The peer reads them
	// at once, or never.
	flushTimeout = 250 * time.Millisecond

	// lingerTimeout bounds how long the end of a session keeps reading, after everything
	// was written, until the peer closes too: closing a socket with unread data can
	// discard what the peer has not read yet.
	lingerTimeout = 100 * time.Millisecond
)
