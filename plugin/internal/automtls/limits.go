package automtls

import (
	"time"

	"github.com/tenonrpc/tenon/wire"
)

// Every limit and period of the package is here, with its reason.
const (
	// maxPEM bounds a certificate's PEM text in bytes. The host's reaches a plugin in an
	// environment variable, which package wire bounds as well.
	maxPEM = wire.MaxClientCertPEM

	// maxDER bounds a certificate in DER bytes, as in the handshake line.
	maxDER = wire.MaxCertificate

	// minRSA and maxRSA bound the size of a peer's RSA key in bits. Less than 2048 is
	// weak by today's common rules (NIST SP 800-57 part 1). crypto/tls refuses more than
	// 8192; this limit reports it earlier.
	minRSA, maxRSA = 2048, 8192

	// backdate and lifetime are the protocol's: a certificate is valid from 30 s ago, in
	// case a clock is set back a little, for about 30 years. It lives as long as its
	// process; security never depends on its end.
	backdate = 30 * time.Second
	lifetime = 262980 * time.Hour

	// serialBits is the size of the protocol's random serial numbers.
	serialBits = 128

	// sessionCacheSize bounds the sessions that one client configuration keeps. All
	// connections to one plugin have the same server name and therefore share one entry;
	// a few more do no harm.
	sessionCacheSize = 8

	// maxQuoted bounds, in bytes, what errors quote of the X.509 parser's texts, which
	// can contain the peer's.
	maxQuoted = 200
)
