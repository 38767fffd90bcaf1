package status

const (
	// maxErrorText bounds the message in the text of an error, in bytes: more than a
	// screen. The status has the whole message.
	maxErrorText = 4 << 10

	// maxDetails bounds the number of details of a google.rpc.Status. They are sent in
	// one header field, whose bytes are bounded by the limit of header lists; this
	// bounds the slice that details of two bytes each would become.
	maxDetails = 1024
)
