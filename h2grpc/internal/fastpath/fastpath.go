//go:build !tenon_fastpath

// Package fastpath names what h2grpc does for speed alone. Each of these could be left
// out and nothing would change but what calls cost: a plainer way is beside it, which
// takes all that is unusual in any case. A build with the tag tenon_fastpath has a
// switch for each, in the environment variable TENON_WITHOUT; other builds have
// constants, and none of the branches.
package fastpath

// What there is. h2grpc/internal/h2/README.md has what each brings.
const (
	// HeaderMemo keeps what header blocks decode to that refer to the compression
	// table alone.
	HeaderMemo = true
	// WholeExchange takes a unary request or response at once whose frames are all in
	// the buffer. It needs HeaderMemo.
	WholeExchange = true
	// BlockCache keeps encoded header blocks that many calls share.
	BlockCache = true
	// OwnReading lets a call or a stream that is alone read what it waits for.
	OwnReading = true
	// HandlersOnReader runs quick unary handlers on the server's reader.
	HandlersOnReader = true
	// TryWrite lets any goroutine write what a socket takes without waiting.
	TryWrite = true
	// Gathering lets other calls add to a write that is about to begin.
	Gathering = true
	// Parts writes large messages from where they were encoded.
	Parts = true
	// Packing lets small messages that wait share a buffer.
	Packing = true
	// Bursts takes the DATA frames of a stream together that are at hand.
	Bursts = true
	// LoneWindow gives streams a larger window while there are few.
	LoneWindow = true
	// LargeBuffers keeps a few large buffers, whatever the garbage collector does.
	LargeBuffers = true
)
