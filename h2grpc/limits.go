package h2grpc

import "time"

// The defaults and bounds of this package; those of the connection engine are
// in internal/h2/limits.go.
const (
	// DefaultMaxRequestSize limits the messages that a server receives, in bytes:
	// what Terraform's providers take. Everything else has no limit below 2 GiB,
	// which is what go-plugin's hosts take. What a peer can make us hold does not
	// grow with it: memory follows what has arrived, and MessageMemory bounds that.
	DefaultMaxRequestSize = 256 << 20
	// DefaultMaxDecompressedSize limits compressed messages once decompressed, in
	// bytes, unless MaxRecvMessageSize is set: their size is not what has arrived, of
	// which a thousandth is enough to make them.
	DefaultMaxDecompressedSize = 64 << 20
	// DefaultMessageMemory is the bytes of a process's MessageMemory if the Go
	// runtime has no memory limit: a dozen of the largest messages that are known
	// from practice, 73 MB, and a fraction of what a machine has that runs them; a
	// quarter of it where an int has 32 bits. If
	// there is a limit (GOMEMLIMIT), it is half of that: an application needs memory
	// for what messages become.
	DefaultMessageMemory = 1 << 30
	// DefaultServerMaxHeaderListSize limits a request's metadata: the sum over all
	// fields of name, value and 32, in bytes (RFC 9113 §6.5.2). It is for tokens and
	// the names of traces, sixteen times what most servers of HTTP take; what is
	// larger belongs into messages.
	DefaultServerMaxHeaderListSize = 1 << 20
	// DefaultClientMaxHeaderListSize limits a response's headers and its trailers
	// likewise. A status is among the trailers, and its text and details are as long
	// as what went wrong: 5 MB of either arrive, details in base64 and all.
	DefaultClientMaxHeaderListSize = 8 << 20
	// DefaultMaxConcurrentStreams is how many calls a server handles at once
	// on one connection. Parked streams are cheap and go-plugin itself sets no
	// limit, so it is high; but a call with its goroutine takes up to 8 KiB,
	// and a hostile client's calls should not add up to more than a few MiB.
	DefaultMaxConcurrentStreams = 1024
	// DefaultMaxConnections is how many connections a server has at once. An idle
	// one costs some 18 KiB and a descriptor, and many systems let a program have
	// 4096 of those and no more; a server for more clients than that is set up for
	// it anyway.
	DefaultMaxConnections = 3072
	// DefaultMaxHandshakes is how many more there may be that have not begun to
	// speak HTTP/2. A handshake takes milliseconds, so that honest clients need a
	// few of these places. The others are for them beside somebody who does nothing
	// but connect: at ten thousand connections a second, of those with 128 places
	// one in seven was driven out, and with 512 hardly any. One takes 17 KiB.
	DefaultMaxHandshakes = 512
	// DefaultHandshakeTimeout bounds a new connection's TLS handshake and
	// HTTP/2 preface on a server.
	DefaultHandshakeTimeout = 20 * time.Second
	// DefaultStallTimeout is how long a unary response may wait for a client
	// that takes nothing of it. A program that a debugger has stopped should
	// find its calls alive.
	DefaultStallTimeout = 5 * time.Minute
	// CloseTimeout is how long Server.Close waits for handlers whose calls it has
	// ended. Those that heed their contexts are much quicker, and a program that
	// ends should not hang for one that does not.
	CloseTimeout = 5 * time.Second
	// DefaultConnectTimeout bounds dialling, the TLS handshake and the wait
	// for the server's SETTINGS on a client.
	DefaultConnectTimeout = 20 * time.Second
	// DefaultKeepaliveTimeout is how long a keepalive PING may stay without
	// its ack (gRPC's keepalive document).
	DefaultKeepaliveTimeout = 20 * time.Second

	// redialMin and redialMax bound the growing pause between two attempts to
	// connect for calls that wait for a connection.
	redialMin = 50 * time.Millisecond
	redialMax = 2 * time.Second
	// acceptRetryMin and acceptRetryMax bound the pause after a failed Accept
	// (no file descriptors left, mostly).
	acceptRetryMin = 5 * time.Millisecond
	acceptRetryMax = time.Second
	// openTries bounds how often a call looks for another connection because
	// the one it got stopped taking streams in between.
	openTries = 8

	// refusalWait is how long a server lets the request of a client that does
	// not speak gRPC come to its end before it answers with an HTTP error. An
	// answer before that ends with a reset, which makes many clients drop the
	// answer (RFC 9113 §8.1).
	refusalWait = 500 * time.Millisecond

	// turnsLeast is from how many bytes on a compressed message has to wait for
	// its turn to be decompressed and decoded. Below, it cannot decompress to more
	// than about 256 KiB.
	turnsLeast = 256
	// maxRoom is the largest room for a decompressed message that is kept.
	maxRoom = 4<<20 + 1<<10

	// quickCall is how long a method's handler may typically take to count as
	// quick: handing a call to another goroutine takes several microseconds.
	// One slow call counts for slowCall at most, so that it is soon forgotten.
	// Of the calls of a quick method that share a connection with others only
	// one of timedEach is timed.
	// Not even that is gained by handing over a call that takes less than
	// veryQuickCall.
	quickCall     = 50 * time.Microsecond
	veryQuickCall = 5 * time.Microsecond
	slowCall      = 8 * quickCall
	timedEach     = 8
	// urgentCall is how near a call's deadline is for the call not to read its own
	// response: that would make it see the deadline a little late (package h2).
	urgentCall = 20 * time.Millisecond

	// headCacheCap bounds the prepared request heads of a client, one a
	// method.
	headCacheCap = 1024
	// maxQuoted bounds a peer's words in an error message.
	maxQuoted = 256
	// maxErrorText bounds the text of another package's error in one of ours, in
	// bytes: a certificate may have many names.
	maxErrorText = 4 << 10
)
