// Package automtls makes the certificates of the protocol's automatic mutual TLS, and
// pins those of peers. No other package of the module does.
//
// Host and plugin each make one self-signed certificate and send it to the other in
// advance: the host in an environment variable, the plugin in its handshake line. Each
// side then accepts exactly that certificate, byte for byte, and no other. There are no
// authorities, no names to check and no revocation; possession of the private key is the
// whole proof.
//
// Source: the section "AutoMTLS" of package wire, and go-plugin's behaviour.
package automtls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// Curve is the elliptic curve of a certificate's key.
type Curve int

const (
	// P521 is the protocol's own choice, and the default.
	P521 Curve = iota
	// P384 is faster.
	P384
	// P256 is by far the fastest, and supported by every TLS library.
	P256
)

// String returns the curve's usual name.
func (c Curve) String() string {
	switch c {
	case P521:
		return "P-521"
	case P384:
		return "P-384"
	case P256:
		return "P-256"
	}
	return fmt.Sprintf("Curve(%d)", int(c))
}

// parameters returns the curve for crypto/ecdsa.
func (c Curve) parameters() (elliptic.Curve, error) {
	switch c {
	case P521:
		return elliptic.P521(), nil
	case P384:
		return elliptic.P384(), nil
	case P256:
		return elliptic.P256(), nil
	}
	return nil, fmt.Errorf("automtls: unknown %v; use P521, P384 or P256", c)
}

// The kinds of errors about a peer's certificate, for errors.Is.
var (
	// ErrPEM reports text that is not exactly one certificate in PEM.
	ErrPEM = errors.New("automtls: the peer's certificate is not exactly one certificate in PEM")
	// ErrTooLarge reports a certificate over wire.MaxCertificate.
	ErrTooLarge = errors.New("automtls: the peer's certificate is too large")
	// ErrParse reports bytes that are not exactly one X.509 certificate.
	ErrParse = errors.New("automtls: the peer's certificate is not exactly one X.509 certificate")
	// ErrValidity reports a certificate outside its period of validity. That is no reason
	// to refuse it.
	ErrValidity = errors.New("automtls: the peer's certificate is not valid at this time")
	// ErrKey reports a key that is weak or of a kind not supported.
	ErrKey = errors.New("automtls: the peer's certificate has a key that is not acceptable")
)

// Identity is a certificate of our own with its private key, for one peer. It is never
// stored, unless its owner is to attach again: see Restore. It is immutable and may be
// used by several goroutines at once.
type Identity struct {
	key  crypto.Signer
	leaf *x509.Certificate
}

// New makes a new key and a self-signed certificate for it, from the protocol's template.
// With P521 it takes a few milliseconds. Otherwise the curve makes no difference to
// peers: nothing in the certificate but its key is ever trusted.
func New(curve Curve) (*Identity, error) {
	c, err := curve.parameters()
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("automtls: making a key: %w", err)
	}
	var serial [serialBits / 8]byte
	rand.Read(serial[:])
	der, err := selfSigned(curve, key, new(big.Int).SetBytes(serial[:]), time.Now())
	if err != nil {
		return nil, fmt.Errorf("automtls: making a certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("automtls: reading our own certificate: %w", err)
	}
	return &Identity{key: key, leaf: leaf}, nil
}

// DER returns a copy of the certificate in DER.
func (id *Identity) DER() []byte { return bytes.Clone(id.leaf.Raw) }

// PEM returns the certificate in PEM, without the key.
func (id *Identity) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: id.leaf.Raw}))
}

// Certificate returns the certificate with its key, for use in a tls.Config.
func (id *Identity) Certificate() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{id.leaf.Raw}, PrivateKey: id.key, Leaf: id.leaf}
}

// pemType is the label of a certificate's PEM block. Source: RFC 7468 §5.
const pemType = "CERTIFICATE"

// ParsePEM parses the PEM text of one certificate and returns its DER, checked as by
// ParseDER. Only white space may surround the block: a second certificate, a key or any
// other text is refused, because a pin is one certificate and anything else would be a
// misunderstanding. The errors wrap ErrPEM or those of ParseDER.
func ParsePEM(text string) (der []byte, err error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("%w: %d bytes of PEM, at most %d are allowed", ErrTooLarge, len(text), maxPEM)
	}
	// pem.Decode skips whatever precedes the first block.
	data := bytes.TrimSpace([]byte(text))
	if !bytes.HasPrefix(data, []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("%w: it does not begin with a PEM block", ErrPEM)
	}
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, fmt.Errorf("%w: the PEM block is damaged", ErrPEM)
	case block.Type != pemType:
		return nil, fmt.Errorf("%w: the PEM block is a %s", ErrPEM, bounded(block.Type))
	case len(block.Headers) > 0:
		return nil, fmt.Errorf("%w: the PEM block has headers", ErrPEM)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, fmt.Errorf("%w: something follows the first block; a chain is not accepted, send the leaf alone", ErrPEM)
	}
	// If pem.Decode has skipped a damaged block, the block that it returned is not the
	// first.
	if bytes.Count(data, []byte("-----BEGIN ")) != 1 {
		return nil, fmt.Errorf("%w: there are several PEM blocks", ErrPEM)
	}
	if err := ParseDER(block.Bytes); err != nil {
		return nil, err
	}
	return block.Bytes, nil
}

// ParseDER checks that der is a certificate that can be pinned: exactly one, of at most
// wire.MaxCertificate bytes, with a key that is not weak. Its issuer does not matter, nor
// do its dates: see CheckValidity. The errors wrap ErrTooLarge, ErrParse or ErrKey.
func ParseDER(der []byte) error {
	if len(der) > maxDER {
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, len(der), maxDER)
	}
	// This refuses trailing bytes, and therefore a chain.
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrParse, bounded(err.Error()))
	}
	if err := checkKey(cert.PublicKey); err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	return nil
}

// CheckValidity returns an error that wraps ErrValidity, with what to do, if a
// certificate that ParseDER has accepted is outside its period of validity. That is a
// reason to warn, not to refuse: the right peer has just sent it, and which side has the
// wrong time is unknown.
func CheckValidity(der []byte) error {
	cert, err := x509.ParseCertificate(der)
	if now := time.Now(); err == nil && (now.Before(cert.NotBefore) || now.After(cert.NotAfter)) {
		return fmt.Errorf("%w: it is valid from %s to %s, and it is %s; check the clocks, and what made the certificate",
			ErrValidity, cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

func checkKey(key any) error {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P521(), elliptic.P384(), elliptic.P256():
			return nil
		}
		return fmt.Errorf("ECDSA on %s; use P-521, P-384 or P-256", key.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < minRSA || bits > maxRSA {
			return fmt.Errorf("RSA with %d bits; use %d to %d", bits, minRSA, maxRSA)
		}
		return nil
	}
	return errors.New("neither ECDSA, Ed25519 nor RSA")
}

// CurveOf returns the curve of a certificate's key, or P521, the default, if it has
// another kind of key. A plugin makes its own certificate on its host's curve: a host
// that has chosen a faster curve gets it in both directions, and a host whose TLS library
// lacks P-521 can be served at all.
func CurveOf(der []byte) Curve {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return P521
	}
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); ok {
		switch key.Curve {
		case elliptic.P384():
			return P384
		case elliptic.P256():
			return P256
		}
	}
	return P521
}

// bounded quotes a text that may come from a peer.
func bounded(s string) string {
	if len(s) > maxQuoted {
		return fmt.Sprintf("%q...", s[:maxQuoted])
	}
	return fmt.Sprintf("%q", s)
}
