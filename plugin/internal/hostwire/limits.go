package hostwire

const (
	// MaxHandshakeLine bounds the handshake line in bytes, newline included.
	// Upstream hosts read it with a bufio.Scanner, which stops at 64 KiB, so
	// no plugin that works anywhere writes a longer one.
	MaxHandshakeLine = 64 << 10

	// maxLegacyField is the length in bytes up to which a sixth handshake
	// field is the unused extra of old plugins rather than a certificate. No
	// certificate is that short. Source: go-plugin.
	maxLegacyField = 50

	// maxLogLine bounds in bytes what is read of one log line. Upstream hosts
	// cut at 64 KiB, which verbose plugins that log whole HTTP bodies exceed.
	maxLogLine = 256 << 10

	// maxLogAttrs bounds the attributes of one log line. What a person can
	// read in a line is far below. Of a JSON line the rest is dropped and the
	// record says so; of a text line they all stay part of the message.
	maxLogAttrs = 64

	// maxLogKeys bounds how many keys of one line are looked at, since each
	// costs some microseconds even when its attribute is dropped. What stands
	// behind them is cut; hclog's own keys come first or nearly so.
	maxLogKeys = 1024

	// maxLogSeconds bounds a time in seconds since 1970: it is the first second of
	// the year 10000, which RFC 3339 cannot write. What loggers have in
	// milliseconds is above it.
	maxLogSeconds = 253402300800

	// maxLogKey bounds the key of an attribute in bytes.
	maxLogKey = 256

	// maxLogDepth bounds how deep an attribute's objects and arrays may nest;
	// a scalar has depth 0. Deeper values stay text.
	maxLogDepth = 8

	// maxLogValues bounds the values inside one attribute, so that a line of
	// commas cannot become hundreds of thousands of allocations. Values with
	// more stay text.
	maxLogValues = 1024

	// maxLogText bounds in bytes the text that an attribute over maxLogDepth
	// or maxLogValues is kept as.
	maxLogText = 4096

	// maxPrettyTries bounds the places at which a pretty log line is tried
	// for a list of attributes, which keeps parsing linear in the line.
	maxPrettyTries = 16
)
