package reflection

const (
	// maxCalls bounds the calls that a server has open, under both names together. A
	// tool makes one. Each may hold a response with all files of the program while its
	// client does not read, and a small request suffices for that.
	maxCalls = 64

	// maxName bounds every name in a message, in bytes: hosts, file paths and full
	// protobuf names. PATH_MAX is 4096.
	maxName = 4 << 10

	// maxItems bounds the files, services or extension numbers in one response. The
	// largest public schemas have some thousand files; past the limit, empty items would
	// take more memory than bytes.
	maxItems = 1 << 16

	// maxQuoted is how much of a client's text an error repeats, in bytes: enough for
	// most full names.
	maxQuoted = 256

	// maxNesting bounds how deep the messages of embedded files may be nested. protoc
	// itself stops at 32.
	maxNesting = 64
)
