package reflection

const (
	// maxCalls bounds the calls that a server has open, under both names
	// together. A tool makes one. Each may hold a response with all files of
	// the program while its client does not read, and a small request is
	// enough for that.
	maxCalls = 64

	// maxQuoted is how much of a client's words an error repeats, in bytes:
	// most full names, and, even if each byte is escaped, less than
	// wire.MaxReflectionError.
	maxQuoted = 256

	// maxNesting bounds how deep the messages of embedded files may be
	// declared within each other. protoc itself stops at 32.
	maxNesting = 64
)
