package status

const (
	// maxErrorText bounds the message in an error's text, in bytes: more than a
	// screen. The status has all of it.
	maxErrorText = 4 << 10

	// maxDetails bounds the number of details of a google.rpc.Status. They travel
	// in one header field, which the header list limit bounds in bytes; this bounds
	// the slice that two-byte details could make of it.
	maxDetails = 1024
)
