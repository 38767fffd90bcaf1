package wire

// Every limit of the package is here, with its reason. A value over its limit is an
// error, never a larger allocation.
const (
	// MaxCertificate bounds a certificate in DER bytes. The protocol's own
	// template needs about 700; 16 KiB leaves room for RSA keys and long names
	// and still fits into a handshake line of 64 KiB after base64.
	MaxCertificate = 16 << 10

	// maxAddress bounds a network address in bytes: the longest path of any
	// supported system (PATH_MAX on Linux). Socket paths are far shorter, but
	// that limit differs by system and is checked where sockets are opened.
	maxAddress = 4096

	// maxNetwork bounds the name of a network in bytes. The known ones are "unix" and
	// "tcp".
	maxNetwork = 32

	// maxKnockError bounds the error text in the answer to a knock, in bytes. It is one
	// sentence for people.
	maxKnockError = 4096

	// MaxMuxField bounds the value of the multiplexing field and variable in bytes. The
	// longest boolean is "false".
	MaxMuxField = 16

	// MaxVersions bounds the number of entries of a protocol version list. An application
	// has a few; the limit only keeps nonsense out.
	MaxVersions = 256

	// maxVersionList bounds that list in bytes: MaxVersions entries of up to ten digits
	// and a comma, with some slack.
	maxVersionList = 4096

	// MaxVersion is the largest protocol version: the largest 32-bit int, so that a line
	// means the same on every machine.
	MaxVersion = 1<<31 - 1

	// MaxPort is the largest TCP port.
	MaxPort = 65535

	// MaxClientCertPEM bounds the PEM text of the host's certificate in bytes:
	// MaxCertificate in base64 with its line ends and headers.
	MaxClientCertPEM = 32 << 10

	// maxGroup bounds the name of a group in bytes. LOGIN_NAME_MAX is 256.
	maxGroup = 256

	// maxLifeline bounds the lifeline variable in bytes: three decimal
	// numbers of up to twenty digits, two colons and some slack.
	maxLifeline = 80

	// maxTimeoutDigits bounds the digits of grpc-timeout's number. Source: gRPC's
	// PROTOCOL-HTTP2, TimeoutValue.
	maxTimeoutDigits = 8

	// maxQuoted bounds how many bytes of a peer's text an error quotes.
	maxQuoted = 64
)
