//go:build !tenon_fastpath

// Package fastpath names the optimizations of h2grpc. Each could be left out, and
// only the cost of calls would change: beside it is plainer code, which handles the
// unusual cases anyway. A build with the tag tenon_fastpath has a switch for each, in
// the environment variable TENON_WITHOUT; other builds have constants, and no
// branches for them.
package fastpath

// The optimizations. h2grpc/internal/h2/README.md has what each of them gains.
const (
	// HeaderMemo remembers the decoded form of header blocks that consist of references
	// to the compression table.
	HeaderMemo = true
	// WholeExchange handles a unary request or response at once if all its frames are in
	// the buffer. It needs HeaderMemo.
	WholeExchange = true
	// BlockCache keeps encoded header blocks that many calls share.
	BlockCache = true
	// OwnReading lets a call or a stream that is alone on its connection read for
	// itself.
	OwnReading = true
	// HandlersOnReader runs quick unary handlers on the server's reader.
	HandlersOnReader = true
	// TryWrite lets any goroutine write what a socket accepts without waiting.
	TryWrite = true
	// Gathering lets other calls add to a write that is about to begin.
	Gathering = true
	// Parts writes large messages from where they were encoded.
	Parts = true
	// Packing lets small messages that wait for their consumer share a buffer.
	Packing = true
	// Bursts handles together the DATA frames of a stream that are in the buffer.
	Bursts = true
	// LoneWindow gives streams a larger window while there are few.
	LoneWindow = true
	// LargeBuffers keeps a few large buffers that the garbage collector would free.
	LargeBuffers = true
)
