package automtls

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
)

// serverName is the name in every certificate of the protocol, and the name that clients
// ask for. Only go-plugin depends on it.
const serverName = "localhost"

// ErrPin reports a peer whose certificate is not the pinned one.
var ErrPin = errors.New("automtls: the peer's certificate is not the pinned one: something else answers on the plugin's address")

// ErrCurve reports a server whose TLS library cannot verify signatures by our key. One is
// BoringSSL, which gRPC's own packages for Python and other languages contain: it does
// not support P-521.
var ErrCurve = errors.New("automtls: the peer's TLS library does not accept keys on this side's curve")

// # Why these configurations are safe
//
// Both turn off the checks that crypto/tls makes of a peer's certificate by itself
// (InsecureSkipVerify on the client, RequireAnyClientCert instead of
// RequireAndVerifyClientCert on the server), and check it in VerifyConnection instead:
// the certificate that the peer has sent, the first if there are several, must equal,
// byte for byte, the one that it announced in advance.
//
// That is stronger than the checks that are turned off. These build a chain to a trusted
// root, then check times, names and usages, all to conclude that the certificate belongs
// to the intended peer. Here that is known in advance, of one exact certificate. A chain
// to itself would prove nothing more, would run more code on a peer's bytes, and would
// make the result depend on fields that other libraries of the protocol fill in
// differently. Size and key strength are checked once, when the certificate is announced:
// see ParseDER. So are its dates, which decide nothing: see CheckValidity.
//
// Neither setting turns off this: crypto/tls verifies the peer's signature over the
// handshake with the key of the first certificate that it has sent (RFC 8446 §4.4.3; RFC
// 5246 §7.4.3 and §7.4.8). Without the private key the pinned certificate is of no use to
// anyone. Further certificates are ignored: some TLS libraries send the issuer as well.
//
// VerifyConnection, unlike VerifyPeerCertificate, also runs when a session is resumed,
// with the certificate that the session was made with. It runs before the handshake is
// complete: no byte of the application is read or written on a connection that it has
// refused. It is the only place of the check, so that no second one can disagree with it.
//
// The package's tests fail if any of this changes: a wrong certificate, none at all, the
// pinned one after another or without its key, and resumption against another pin, each
// in both directions.

// ServerConfig returns the configuration for all servers that talk to the peer with the
// certificate peerDER, which ParseDER must have accepted. floor is the peer's; nil means
// none.
//
// Use one configuration per peer for all its servers: its session ticket keys are fixed,
// so that a session made with one server resumes with the others, even with a clone of
// the configuration.
func ServerConfig(own *Identity, peerDER []byte, floor *Floor) *tls.Config {
	cfg := base(own, peerDER, floor)
	cfg.ClientAuth = tls.RequireAnyClientCert // and VerifyConnection: see above
	// The keys never leave the process and end with it. Sessions resume with a fresh key
	// exchange, so past traffic does not depend on them.
	var key [32]byte
	rand.Read(key[:])
	cfg.SetSessionTicketKeys([][32]byte{key})
	return cfg
}

// ClientConfig returns the configuration for all clients that talk to the peer with the
// certificate peerDER, which ParseDER must have accepted. floor is the peer's; nil means
// none. Use one configuration per peer: it holds the peer's sessions.
func ClientConfig(own *Identity, peerDER []byte, floor *Floor) *tls.Config {
	cfg := base(own, peerDER, floor)
	cfg.ServerName = serverName
	cfg.InsecureSkipVerify = true // but VerifyConnection: see above
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(sessionCacheSize)
	certificate := cfg.Certificates[0]
	cfg.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		// By itself crypto/tls would go on without a certificate, and the only symptom
		// would be that the peer closes the connection. Whom else the peer trusts does
		// not matter: it was given this certificate.
		request := *r
		request.AcceptableCAs = nil
		if err := request.SupportsCertificate(&certificate); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCurve, err)
		}
		return &certificate, nil
	}
	return cfg
}

// base returns what both configurations have in common.
func base(own *Identity, peerDER []byte, floor *Floor) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{own.Certificate()},
		MinVersion:   tls.VersionTLS12,
		// A peer that negotiates no protocol at all is accepted, because old ones do not
		// offer any. With one that insists on another protocol the handshake fails.
		NextProtos: []string{"h2"},
		// Records that grow slowly help browsers render early. Here they would only split
		// messages.
		DynamicRecordSizingDisabled: true,
		VerifyConnection:            pin(peerDER, floor),
	}
}

// pin returns the check of the peer's certificate and TLS version.
func pin(peerDER []byte, floor *Floor) func(tls.ConnectionState) error {
	want := bytes.Clone(peerDER)
	return func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return fmt.Errorf("%w (it sent none)", ErrPin)
		}
		// crypto/tls verifies that the peer has the key of this certificate before the
		// handshake is complete, or did so at the start of a session that is resumed.
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
