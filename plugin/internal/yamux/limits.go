package yamux

import "time"

// Every limit and time-out of the package. Those marked as the protocol's are
// what hashicorp/yamux has by default, which peers of this protocol rely on.
const (
	// window is how many bytes a peer may send on a stream before it is told
	// that some were read. The protocol's.
	window = 256 << 10

	// updateAfter is how much of the window must have been read before the
	// peer is told. Half of it keeps both sides busy. The protocol's.
	updateAfter = window / 2

	// maxSendWindow bounds the window that a peer gives a stream of ours, in
	// bytes. hashicorp/yamux counts in 32 bits and would start over at zero.
	maxSendWindow = 1<<32 - 1

	// giveWay is after how many frames the reader lets other goroutines run. One that
	// never has to wait for its peer would have a processor for the scheduler's ten
	// milliseconds, again and again.
	giveWay = 256

	// maxBacklog bounds the streams that the peer has opened and that Accept has
	// not returned; a further one is reset. No more of our own wait for the
	// peer's answer, either. The protocol's.
	maxBacklog = 256

	// maxStreams bounds the streams that are open at once, ours and the peer's.
	// The protocol has no such limit; an application that brokers thousands of
	// connections is below it, and an idle stream costs about 1 KiB.
	maxStreams = 8192

	// maxBuffered bounds what the buffers of all streams hold together, in
	// bytes. The protocol bounds each stream alone. The reader of a
	// connection empties its stream at once, so that a healthy session holds
	// a few hundred KiB; a stream that would exceed the bound is reset. It is
	// enough for 256 streams that nobody reads.
	maxBuffered = maxBacklog * window

	// keepBuffered is how much the buffers of all streams may take up, in
	// bytes, before an empty buffer larger than keepBuffer is given back.
	keepBuffered = 4 << 20
	keepBuffer   = 4 << 10

	// bufferStep is how much a stream's buffer is made to hold at once, in
	// bytes, while a frame arrives: what a peer declares costs nothing.
	bufferStep = 16 << 10

	// readSize is the size of the reader's buffer in bytes. What is larger is
	// read into the stream's buffer directly.
	readSize = 16 << 10

	// maxFrame is the most that one of our frames carries, in bytes. Streams
	// take turns by the frame; more gains nothing.
	maxFrame = 64 << 10

	// maxPending bounds the data that waits to be written to the connection, in
	// bytes, before Write waits: a few frames, so that the writer never idles.
	maxPending = 256 << 10

	// maxReplies bounds the answers that wait to be written: to pings, and the
	// resets of streams that were refused. A peer that asks and does not read
	// the answers ends the session. Others ask twice a minute.
	maxReplies = 1024

	// maxPings bounds the pings of the peer in each pingPeriod. Peers send two
	// a minute, and an application that measures round trips a few more.
	maxPings   = 6000
	pingPeriod = time.Minute

	// maxRefused bounds the streams that are refused in a row. A peer that
	// knows the backlog refrains from opening more until some are accepted;
	// one that goes on does so on purpose.
	maxRefused = 4 * maxBacklog

	// keepAliveInterval is the time between pings. The protocol's.
	keepAliveInterval = 30 * time.Second

	// pingTimeout is how long the peer may take to answer a ping before the
	// session ends. The protocol's.
	pingTimeout = 10 * time.Second

	// writeTimeout bounds one write to the connection. A peer that reads
	// nothing for so long is taken for dead. The protocol's.
	writeTimeout = 10 * time.Second

	// acceptTimeout is how long the peer may take to accept a stream before
	// the session ends. The protocol's.
	acceptTimeout = 75 * time.Second

	// closeTimeout is how long the peer may take to close its half of a stream
	// after we have closed the stream; it is reset then. The protocol's.
	closeTimeout = 5 * time.Minute

	// flushTimeout bounds how long the end of a session waits until what was
	// written before has left: the answer to a last call, and streams' ends.
	// The peer reads it at once, or never.
	flushTimeout = 250 * time.Millisecond

	// lingerTimeout bounds how long the end of a session reads on, after
	// everything was written, until the peer closes too: closing a socket with
	// unread data can throw away what the peer has not read.
	lingerTimeout = 100 * time.Millisecond
)
