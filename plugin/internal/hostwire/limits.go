package hostwire

const (
	// MaxHandshakeLine bounds the handshake line in bytes, newline included. go-plugin's
	// hosts read it with a bufio.Scanner, which stops at 64 KiB, so that no working
	// plugin writes a longer one.
	MaxHandshakeLine = 64 << 10

	// maxLegacyField is the length in bytes up to which a sixth handshake field is an
	// unused extra of old plugins, not a certificate. No certificate is that short.
	// Source: go-plugin.
	maxLegacyField = 50

	// maxLogLine bounds how many bytes of one log line are read. go-plugin's hosts cut at
	// 64 KiB, which plugins that log whole HTTP bodies exceed.
	maxLogLine = 256 << 10

	// maxLogAttrs bounds the attributes of one log line. It is far more than a person can
	// read in a line. Further attributes of a JSON line are dropped, which the record
	// reports; those of a text line all stay part of the message.
	maxLogAttrs = 64

	// maxLogKeys bounds how many keys of one line are parsed, because each costs
	// microseconds even if its attribute is dropped. Keys beyond that are cut; hclog's
	// own keys come first or nearly first.
	maxLogKeys = 1024

	// maxLogSeconds bounds a time in seconds since 1970: it is the first second of the
	// year 10000, which RFC 3339 cannot express. Times in milliseconds are above it.
	maxLogSeconds = 253402300800

	// maxLogKey bounds the key of an attribute in bytes.
	maxLogKey = 256

	// maxLogDepth bounds how deep an attribute's objects and arrays may nest; a scalar
	// has depth 0. Deeper values stay text.
	maxLogDepth = 8

	// maxLogValues bounds the values inside one attribute, so that a line of commas
	// cannot cause hundreds of thousands of allocations. Attributes with more stay text.
	maxLogValues = 1024

	// maxLogText bounds, in bytes, the text of an attribute over maxLogDepth or
	// maxLogValues.
	maxLogText = 4096

	// maxPrettyTries bounds the positions at which a list of attributes may begin in a
	// line of hclog's text format, so that parsing stays linear in the line.
	maxPrettyTries = 16
)
