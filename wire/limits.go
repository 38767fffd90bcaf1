package wire

// Every limit of the package is here, with its reason. A value that is over
// its limit is an error (or, in log lines, is cut), never a larger allocation.
const (
	// MaxHandshakeLine bounds the handshake line in bytes, newline included.
	// Upstream hosts read it with a bufio.Scanner, which stops at 64 KiB, so
	// no plugin that works anywhere writes a longer one.
	MaxHandshakeLine = 64 << 10

	// MaxCertificate bounds a certificate in DER bytes. The protocol's own
	// template needs about 700; 16 KiB leaves room for RSA keys and long names
	// and still fits into MaxHandshakeLine after base64.
	MaxCertificate = 16 << 10

	// MaxLegacyField is the length in bytes up to which a sixth handshake
	// field is the unused extra of old plugins rather than a certificate. No
	// certificate is that short. Source: go-plugin.
	MaxLegacyField = 50

	// MaxAddress bounds a network address in bytes: the longest path of any
	// supported system (PATH_MAX on Linux). Socket paths are far shorter, but
	// that limit differs by system and is checked where sockets are opened.
	MaxAddress = 4096

	// MaxNetwork bounds the name of a network in bytes. "unix" and "tcp" are
	// the known ones.
	MaxNetwork = 32

	// MaxKnockError bounds the error text in a broker's knock answer, in
	// bytes. It is one sentence for a human.
	MaxKnockError = 4096

	// MaxMuxField bounds the value of the multiplexing field and variable in
	// bytes. The longest boolean word is "false".
	MaxMuxField = 16

	// MaxVersions bounds the number of entries of a protocol version list. An
	// application has a handful; the cap only keeps nonsense out.
	MaxVersions = 256

	// MaxVersionList bounds that list in bytes: MaxVersions entries of up to
	// ten digits and a comma, and some slack.
	MaxVersionList = 4096

	// MaxVersion is the largest protocol version: what a 32-bit int holds, so
	// that the same line means the same on every machine.
	MaxVersion = 1<<31 - 1

	// MaxPort is the largest TCP port.
	MaxPort = 65535

	// MaxClientCertPEM bounds the PEM text of the host's certificate in bytes:
	// MaxCertificate in base64 with its line ends and headers.
	MaxClientCertPEM = 32 << 10

	// MaxGroup bounds the name of a group in bytes. LOGIN_NAME_MAX is 256.
	MaxGroup = 256

	// MaxLifeline bounds the lifeline variable in bytes: three decimal
	// numbers of up to twenty digits, two colons and some slack.
	MaxLifeline = 80

	// MaxStatusDetails bounds the number of details of a google.rpc.Status.
	// They travel in one header field, which the header list limit bounds in
	// bytes; this bounds the slice that two-byte details could make of it.
	MaxStatusDetails = 1024

	// MaxLogLine bounds in bytes what is read of one log line. Upstream hosts
	// cut at 64 KiB, which verbose plugins that log whole HTTP bodies exceed.
	MaxLogLine = 256 << 10

	// MaxLogAttrs bounds the attributes of one log line. What a person can
	// read in a line is far below. Of a JSON line the rest is dropped and the
	// record says so; of a text line they all stay part of the message.
	MaxLogAttrs = 64

	// maxLogKeys bounds how many keys of one line are looked at, since each
	// costs some microseconds even when its attribute is dropped. What stands
	// behind them is cut; hclog's own keys come first or nearly so.
	maxLogKeys = 1024

	// maxLogSeconds bounds a time in seconds since 1970: it is the first second of
	// the year 10000, which RFC 3339 cannot write. What loggers have in
	// milliseconds is above it.
	maxLogSeconds = 253402300800

	// MaxLogKey bounds the key of an attribute in bytes.
	MaxLogKey = 256

	// MaxLogDepth bounds how deep an attribute's objects and arrays may nest;
	// a scalar has depth 0. Deeper values stay text.
	MaxLogDepth = 8

	// MaxLogValues bounds the values inside one attribute, so that a line of
	// commas cannot become hundreds of thousands of allocations. Values with
	// more stay text.
	MaxLogValues = 1024

	// MaxLogText bounds in bytes the text that an attribute over MaxLogDepth
	// or MaxLogValues is kept as.
	MaxLogText = 4096

	// MaxReattach bounds the reattach variable, and tenon's own record, in
	// bytes: room for MaxReattachEntries usual entries of about 200 bytes.
	MaxReattach = 64 << 10

	// MaxReattachEntries bounds the plugins in the reattach variable.
	MaxReattachEntries = 256

	// MaxReattachName bounds the name of such a plugin in bytes.
	MaxReattachName = 1024

	// MaxHostKey bounds the private key in tenon's own record, in bytes of
	// PKCS #8: P-521, the largest in use, needs 241.
	MaxHostKey = 4 << 10

	// maxPID is the largest process id, and MaxVersion's equal: both are int32.
	maxPID = 1<<31 - 1

	// maxBootID bounds the boot id in bytes; Linux's is a UUID of 36.
	maxBootID = 64

	// maxPrettyTries bounds the places at which a pretty log line is tried
	// for a list of attributes, which keeps parsing linear in the line.
	maxPrettyTries = 16

	// maxTimeoutDigits is the length limit of grpc-timeout's number.
	// Source: gRPC's PROTOCOL-HTTP2, TimeoutValue.
	maxTimeoutDigits = 8

	// maxQuoted bounds how many bytes of a peer's words an error quotes.
	maxQuoted = 64
)
