package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/tenonrpc/tenon/wire"
)

// KeyType is the kind of a private key.
type KeyType int

// The kinds of keys. Every TLS library has P256. FIPS 140 allows all four. BoringSSL,
// which gRPC's packages for other languages contain, has no P521.
const (
	P256 KeyType = iota
	P384
	P521
	Ed25519
)

func (k KeyType) generate() (crypto.Signer, error) {
	switch k {
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("Options.Key is %d, which is no kind of key; use P256, P384, P521 or Ed25519", int(k))
}

// Options describe a certificate that is to be made.
type Options struct {
	// Names are the DNS names and IP addresses of a server or client. A certificate of
	// Server and Peer needs one at least, since those who connect look for it. A DNS
	// name may begin with "*.". Authorities have none.
	Names []string
	// Name is the subject's common name, which people read in errors and nobody checks;
	// at most 64 bytes. Empty means the first of Names, or, for an authority, "CA" with
	// a number that no other one has.
	Name string
	// Key is the kind of the new private key.
	Key KeyType
	// Validity is how long from now on the certificate is valid. It ends with its
	// authority's at the latest. Zero means 365 days, or five years for an authority; a
	// negative value is an error.
	Validity time.Duration
}

// CA is a certificate authority of one's own: a certificate whose key signs others. Keep
// its key where no plugin and no host runs: whoever has it can pass for all of them.
type CA struct{ Pair }

// NewCA makes an authority with a new key. It signs certificates of servers and clients,
// and none of further authorities.
func NewCA(o Options) (*CA, error) {
	if len(o.Names) > 0 {
		return nil, errors.New("certs: making an authority: Options.Names is set; it is for the certificates that the authority signs")
	}
	p, err := issue(nil, o, defaultCAValidity)
	if err != nil {
		return nil, fmt.Errorf("certs: making an authority: %w", err)
	}
	return &CA{*p}, nil
}

// Server makes a key and a certificate for a server alone.
func (ca *CA) Server(o Options) (*Pair, error) {
	return ca.sign("a server", o, x509.ExtKeyUsageServerAuth)
}

// Client makes a key and a certificate for a client alone.
func (ca *CA) Client(o Options) (*Pair, error) {
	return ca.sign("a client", o, x509.ExtKeyUsageClientAuth)
}

// Peer makes a key and a certificate for both roles. A host and a plugin that use the
// broker need this: each connects to the other.
func (ca *CA) Peer(o Options) (*Pair, error) {
	return ca.sign("a peer", o, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
}

func (ca *CA) sign(what string, o Options, usages ...x509.ExtKeyUsage) (*Pair, error) {
	p, err := issue(&ca.Pair, o, defaultValidity, usages...)
	if err != nil {
		return nil, fmt.Errorf("certs: making a certificate for %s: %w", what, err)
	}
	return p, nil
}

// issue makes a key and a certificate, which ca signs, or which signs itself.
func issue(ca *Pair, o Options, validity time.Duration, usages ...x509.ExtKeyUsage) (*Pair, error) {
	var serial [serialBytes]byte
	rand.Read(serial[:])
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial[:]),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usages,
	}
	if o.Validity < 0 {
		return nil, errors.New("Options.Validity is negative")
	}
	if o.Validity > 0 {
		validity = o.Validity
	}
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-backdate), now.Add(validity)
	if ca == nil {
		template.IsCA, template.MaxPathLenZero = true, true
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	} else if err := within(ca.Leaf, template, now); err != nil {
		return nil, err
	}
	if err := name(template, o, usages); err != nil {
		return nil, err
	}
	key, err := o.Key.generate()
	if err != nil {
		return nil, err
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.Leaf, ca.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Pair{Leaf: leaf, Key: key}, nil
}

// within limits a certificate's validity to that of its authority, outside of which it
// would be of no use.
func within(ca, template *x509.Certificate, now time.Time) error {
	if !ca.IsCA || ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fmt.Errorf("%s is no authority: it may not sign certificates", called(ca))
	}
	if err := checkTime(ca, now); err != nil {
		return fmt.Errorf("the authority %w", err)
	}
	if template.NotBefore.Before(ca.NotBefore) {
		template.NotBefore = ca.NotBefore
	}
	if template.NotAfter.After(ca.NotAfter) {
		template.NotAfter = ca.NotAfter
	}
	return nil
}

// name sets a certificate's names.
func name(template *x509.Certificate, o Options, usages []x509.ExtKeyUsage) error {
	if len(o.Names) > maxNames {
		return fmt.Errorf("%d names; a certificate has at most %d", len(o.Names), maxNames)
	}
	for _, n := range o.Names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		if !validName(n) {
			return fmt.Errorf("the name %s is neither a DNS name, in ASCII, nor an IP address", wire.Quote(n))
		}
		template.DNSNames = append(template.DNSNames, n)
	}
	if len(o.Names) == 0 && len(usages) > 0 && usages[0] == x509.ExtKeyUsageServerAuth {
		return errors.New("Options.Names is empty; give the name, or the address, that those who connect look for")
	}
	if len(o.Name) > maxCommonName || wire.ControlByte(o.Name) >= 0 {
		return fmt.Errorf("Options.Name %s is longer than %d bytes, or has control characters", wire.Quote(o.Name), maxCommonName)
	}
	template.Subject = pkix.Name{CommonName: o.Name}
	switch {
	case o.Name != "":
	case template.IsCA:
		template.Subject.CommonName = "CA " + shortSerial(template)
	case len(o.Names) > 0 && len(o.Names[0]) <= maxCommonName:
		template.Subject.CommonName = o.Names[0]
	case len(o.Names) == 0:
		return errors.New("neither Options.Names nor Options.Name is set; nobody could tell the certificate from others")
	}
	return nil
}

// validName reports whether crypto/x509 can find a name in a certificate.
func validName(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '.' || s[len(s)-1] == '.' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && s[i-1] != '.':
		case c == '*' && i == 0 && len(s) > 2 && s[1] == '.':
		default:
			return false
		}
	}
	return true
}

// shortSerial returns enough of a certificate's serial number to tell it from others.
func shortSerial(c *x509.Certificate) string {
	s := fmt.Sprintf("%032x", c.SerialNumber)
	return s[:min(8, len(s))]
}
