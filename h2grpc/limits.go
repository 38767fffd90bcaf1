package h2grpc

import "time"

// The defaults and bounds of this package; those of the connection engine are
// in internal/h2/limits.go.
const (
	// DefaultMaxRequestSize limits the messages that a server receives, in bytes:
	// Terraform's providers have the same limit. All other messages have no limit below
	// 2 GiB, as with go-plugin's hosts. The memory that a peer can make us use does not
	// grow with it: memory follows what has arrived, and MessageMemory bounds that.
	DefaultMaxRequestSize = 256 << 20
	// DefaultMaxDecompressedSize limits compressed messages after decompression, in
	// bytes, unless MaxRecvMessageSize is set: a thousandth of that size is enough to
	// send them, so that what has arrived does not bound it.
	DefaultMaxDecompressedSize = 64 << 20
	// DefaultMessageMemory is the size of the process's MessageMemory, in bytes, if the
	// Go runtime has no memory limit: a dozen of the largest messages known from
	// practice, 73 MB, and a fraction of the memory of the machines concerned; a quarter
	// of it where an int has 32 bits. With a memory limit (GOMEMLIMIT) the size is half
	// of that limit: an application needs memory for what messages are decoded into.
	DefaultMessageMemory = 1 << 30
	// DefaultServerMaxHeaderListSize limits the headers of a request: the sum over all
	// fields of name, value and 32, in bytes (RFC 9113 §6.5.2). It is for tokens and the
	// identifiers of traces, and is sixteen times what most HTTP servers accept;
	// anything larger belongs in messages.
	DefaultServerMaxHeaderListSize = 1 << 20
	// DefaultClientMaxHeaderListSize limits the headers of a response, and its trailers,
	// in the same way. The status is among the trailers, and its text and details may be
	// long: 5 MB of either arrive, including details in base64.
	DefaultClientMaxHeaderListSize = 8 << 20
	// DefaultMaxConcurrentStreams is how many calls a server handles at once on one
	// connection. Idle streams are cheap and go-plugin itself sets no limit, so it is
	// high; but a call with its goroutine takes up to 8 KiB, and the calls of a hostile
	// client should not add up to more than a few MiB.
	DefaultMaxConcurrentStreams = 1024
	// DefaultMaxConnections is how many connections a server has at once. An idle one
	// costs some 18 KiB and a descriptor, and on many systems a process may have 4096
	// descriptors; a server for more clients than that has to be configured for it
	// anyway.
	DefaultMaxConnections = 3072
	// DefaultMaxHandshakes is how many more connections a server has that have not begun
	// to speak HTTP/2. A handshake takes milliseconds, so that honest clients need a few
	// of these places. The rest is for honest clients during a flood of connections: at
	// ten thousand connections a second, one honest client in seven was driven out with
	// 128 places, and hardly any with 512. One takes 17 KiB.
	DefaultMaxHandshakes = 512
	// DefaultHandshakeTimeout limits the TLS handshake and the HTTP/2 preface of a new
	// connection on a server.
	DefaultHandshakeTimeout = 20 * time.Second
	// DefaultStallTimeout is how long a unary response may wait for a client that reads
	// nothing of it. It is so long that a program which a debugger has stopped finds its
	// calls alive.
	DefaultStallTimeout = 5 * time.Minute
	// CloseTimeout is how long Server.Close waits for handlers whose calls it has ended.
	// Handlers that obey their contexts return much sooner, and a program that exits
	// should not hang for one that does not.
	CloseTimeout = 5 * time.Second
	// DefaultConnectTimeout limits dialling, the TLS handshake and the wait for the
	// server's SETTINGS on a client, together.
	DefaultConnectTimeout = 20 * time.Second
	// DefaultKeepaliveTimeout is how long the ack of a keepalive PING may take (gRPC's
	// keepalive document).
	DefaultKeepaliveTimeout = 20 * time.Second

	// redialMin and redialMax bound the growing pause between attempts to connect for
	// calls that wait for a connection.
	redialMin = 50 * time.Millisecond
	redialMax = 2 * time.Second
	// acceptRetryMin and acceptRetryMax bound the growing pause after a failed Accept
	// (mostly for lack of file descriptors).
	acceptRetryMin = 5 * time.Millisecond
	acceptRetryMax = time.Second
	// openTries is how many more times a call looks for a connection because the one it
	// got stopped accepting streams in between.
	openTries = 8

	// refusalWait is how long a server waits for the end of a request that is not gRPC
	// before it answers with an HTTP error. An earlier answer ends with a reset, which
	// makes many clients drop the answer (RFC 9113 §8.1).
	refusalWait = 500 * time.Millisecond

	// decodeSlotLeast is the size in bytes from which a compressed message has to wait for
	// a slot to be decompressed and decoded. A smaller one cannot decompress to more
	// than about 256 KiB.
	decodeSlotLeast = 256
	// maxRoom is the largest buffer for a decompressed message that is kept for reuse.
	maxRoom = 4<<20 + 1<<10

	// quickCall is how long a method's handler may typically take to count as quick:
	// handing a call to another goroutine takes several microseconds. One slow call
	// counts as slowCall at most, so that it is soon forgotten. Of the calls of a quick
	// method that share a connection with others only one in timedEach is timed. For a
	// call that takes less than veryQuickCall, handing it over costs more than it gains.
	quickCall     = 50 * time.Microsecond
	veryQuickCall = 5 * time.Microsecond
	slowCall      = 8 * quickCall
	timedEach     = 8
	// urgentCall is how near its deadline a call is if it must not read its own
	// response: reading would make it notice the deadline a little late (package h2).
	urgentCall = 20 * time.Millisecond

	// headCacheCap bounds the prepared request heads of a client, one for each method.
	headCacheCap = 1024
	// maxQuoted bounds the text of a peer's that an error message quotes, in bytes.
	maxQuoted = 256
	// maxErrorText bounds the text of another package's error in one of ours, in bytes:
	// a certificate may have many names.
	maxErrorText = 4 << 10
)
