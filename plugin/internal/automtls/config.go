package automtls

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
)

// serverName is the name in every certificate of the protocol and the name
// that clients ask for. Nothing of ours depends on it; go-plugin's does.
const serverName = "localhost"

// ErrPin reports a peer whose certificate is not the pinned one.
var ErrPin = errors.New("automtls: the peer's certificate is not the pinned one: something else answers on the plugin's address")

// ErrCurve reports a server whose TLS library cannot verify what our key signs.
// BoringSSL, which gRPC's own packages for Python and others carry, is one: it
// leaves P-521 out.
var ErrCurve = errors.New("automtls: the peer's TLS library does not accept keys on the curve of ours")

// # Why these configurations are safe
//
// Both switch off the checks that crypto/tls makes of a peer's certificate by
// itself (InsecureSkipVerify on the client, RequireAnyClientCert instead of
// RequireAndVerifyClientCert on the server) and make their own in
// VerifyConnection: the certificate that the peer sent, the first one if it sent
// others behind it, equals, byte for byte, the one that it announced beforehand.
//
// That is stronger than what is switched off. The usual checks build a chain
// to a trusted root, then look at times, names and usages, all to conclude
// that the certificate belongs to the peer one meant. Here that is known
// beforehand, of one exact certificate; a chain to itself would prove nothing
// more, would run more code on a peer's bytes, and would make the outcome hang
// on fields that other libraries of the protocol fill in differently. Size and
// the strength of the key are checked once, when the certificate is announced: see
// ParseDER. So are its dates, which decide nothing: see CheckValidity.
//
// What is not switched off, because neither setting touches it: crypto/tls
// verifies the peer's signature over the handshake with the key of the first
// certificate it sent (RFC 8446 §4.4.3; RFC 5246 §7.4.3 and §7.4.8). Without
// the private key the pinned certificate is of no use to anyone. What stands
// behind it is looked at by nobody: some TLS libraries send the issuer as well.
//
// VerifyConnection, unlike VerifyPeerCertificate, also runs when a session is
// resumed, with the certificate that the session was made with. It runs before
// the handshake is complete: no byte of the application is read or written on
// a connection that it has refused. It is the only place of the check, so
// there is no second one to disagree with.
//
// The package's tests fail if any of this changes: wrong certificate, none at
// all, the pinned one behind another or without its key, and resumption against
// another pin, each in both directions.

// ServerConfig returns the configuration for every server that talks to the
// peer with the certificate peerDER. ParseDER must have accepted peerDER. The
// floor is the peer's; nil means none.
//
// Use one configuration per peer for all its servers: its session ticket keys
// are fixed, so that a session made with one server resumes with the others,
// also where the configuration has been cloned.
func ServerConfig(own *Identity, peerDER []byte, floor *Floor) *tls.Config {
	cfg := base(own, peerDER, floor)
	cfg.ClientAuth = tls.RequireAnyClientCert // and VerifyConnection: see above
	// The keys never leave the process and end with it. Sessions resume with
	// a fresh key exchange, so that they are not what protects past traffic.
	var key [32]byte
	rand.Read(key[:])
	cfg.SetSessionTicketKeys([][32]byte{key})
	return cfg
}

// ClientConfig returns the configuration for every client that talks to the
// peer with the certificate peerDER. ParseDER must have accepted peerDER. The
// floor is the peer's; nil means none. Use one configuration per peer: it holds
// the peer's sessions.
func ClientConfig(own *Identity, peerDER []byte, floor *Floor) *tls.Config {
	cfg := base(own, peerDER, floor)
	cfg.ServerName = serverName
	cfg.InsecureSkipVerify = true // but VerifyConnection: see above
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	certificate := cfg.Certificates[0]
	cfg.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		// By itself crypto/tls would go on without a certificate, and all that
		// would be seen is that the peer hangs up. Whom else the peer trusts
		// does not matter: it was given this certificate.
		request := *r
		request.AcceptableCAs = nil
		if err := request.SupportsCertificate(&certificate); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCurve, err)
		}
		return &certificate, nil
	}
	return cfg
}

// base is what both ends have in common.
func base(own *Identity, peerDER []byte, floor *Floor) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{own.Certificate()},
		MinVersion:   tls.VersionTLS12,
		// A peer that negotiates no protocol at all is accepted: older ones
		// do not offer any. One that insists on another fails the handshake.
		NextProtos: []string{"h2"},
		// Growing records slowly helps browsers render early. Here it would
		// only split messages.
		DynamicRecordSizingDisabled: true,
		VerifyConnection:            pin(peerDER, floor),
	}
}

// pin returns the check of the peer's certificate, and of the version.
func pin(peerDER []byte, floor *Floor) func(tls.ConnectionState) error {
	want := bytes.Clone(peerDER)
	return func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return fmt.Errorf("%w (it sent none)", ErrPin)
		}
		// That the peer holds the key of this certificate crypto/tls verifies
		// before the handshake is complete, or did so at the start of a session
		// that is resumed.
		got := cs.PeerCertificates[0].Raw
		if len(want) == 0 || !bytes.Equal(got, want) {
			return fmt.Errorf("%w (SHA-256 %x, pinned %x)", ErrPin, sha256.Sum256(got), sha256.Sum256(want))
		}
		if floor != nil && uint32(cs.Version) < floor.version.Load() {
			return ErrVersion
		}
		return nil
	}
}
