package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/tenonrpc/tenon/wire"
)

// What can be wrong with a certificate. The errors of this package wrap one of these,
// and say more.
var (
	ErrMissing     = errors.New("no certificate was sent")
	ErrExpired     = errors.New("the certificate has expired")
	ErrNotYetValid = errors.New("the certificate is not valid yet")
	ErrUnknownCA   = errors.New("no known authority has signed the certificate")
	ErrName        = errors.New("the certificate is for another name")
	ErrUsage       = errors.New("the certificate is for another use")
	ErrKey         = errors.New("the private key does not belong to the certificate")
)

// Usage is what a certificate is used for.
type Usage int

// The usages.
const (
	ForServer Usage = iota // its owner is connected to
	ForClient              // its owner connects
)

func (u Usage) String() string {
	if u == ForClient {
		return "clients"
	}
	return "servers"
}

// Want is what Check is to find.
type Want struct {
	// CAs are the authorities that are trusted.
	CAs []*x509.Certificate
	// Usage is what the certificate is used for.
	Usage Usage
	// Names are DNS names and IP addresses, one of which the certificate must have. None
	// means that the name does not matter, which is right for clients at most: with a
	// server's, ErrName is returned.
	Names []string
	// Time is when the certificate must be valid. Zero means now.
	Time time.Time
}

// Check checks a certificate, the first of a chain, with the others as the way to its
// authority. The error says what is wrong and what to do, and wraps ErrMissing,
// ErrExpired, ErrNotYetValid, ErrUnknownCA, ErrName or ErrUsage where that is the reason.
// What it quotes of certificates is escaped and cut.
func Check(chain []*x509.Certificate, want Want) error {
	pool := x509.NewCertPool()
	for _, ca := range want.CAs {
		pool.AddCert(ca)
	}
	if err := check(chain, want, pool); err != nil {
		return fmt.Errorf("certs: %w", err)
	}
	return nil
}

// check is Check with a pool of want.CAs.
func check(chain []*x509.Certificate, want Want, pool *x509.CertPool) error {
	if len(chain) == 0 {
		return fmt.Errorf("%w; the other side must have one, and send it", ErrMissing)
	}
	leaf, now := chain[0], want.Time
	if now.IsZero() {
		now = time.Now()
	}
	if err := checkTime(leaf, now); err != nil {
		return err
	}
	usage := x509.ExtKeyUsageServerAuth
	if want.Usage == ForClient {
		usage = x509.ExtKeyUsageClientAuth
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return fmt.Errorf("%w: %s is for signing certificates, or the like, and not for %s", ErrUsage, called(leaf), want.Usage)
	}
	if !allows(leaf, usage) {
		return fmt.Errorf("%w: %s is not for %s; make one that is, or one for both roles", ErrUsage, called(leaf), want.Usage)
	}
	if err := checkName(leaf, want); err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	return explain(leaf, err, want.CAs, now)
}

// explain returns the error for one of Verify.
func explain(leaf *x509.Certificate, err error, cas []*x509.Certificate, now time.Time) error {
	if err == nil {
		return nil
	}
	if invalid := (x509.CertificateInvalidError{}); errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		if err := checkTime(invalid.Cert, now); err != nil { // x509 has the same rule
			return fmt.Errorf("%s is signed by an authority that is not valid: %w", called(leaf), err)
		}
	}
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
		return fmt.Errorf("%s is refused: %s", called(leaf), wire.Printable(err.Error(), maxText))
	}
	issuer := leaf.Issuer.String()
	for _, ca := range cas {
		if ca.Subject.String() == issuer {
			return fmt.Errorf("%w: %s names %s as its authority, but has not been signed by the key of the known one of that name; add the certificate of the new authority, or check who has sent this", ErrUnknownCA, called(leaf), wire.Quote(issuer))
		}
	}
	return fmt.Errorf("%w: %s is signed by %s; known are: %s", ErrUnknownCA, called(leaf), wire.Quote(issuer), list(len(cas), func(i int) string { return cas[i].Subject.String() }))
}

// checkTime returns an error if a certificate is not valid at a time.
func checkTime(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("%w: %s was valid until %s, and it is %s; replace it, or set the clock", ErrExpired, called(c), stamp(c.NotAfter), stamp(now))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%w: %s is valid from %s on, and it is %s; set the clock of this machine, or of the one that made it", ErrNotYetValid, called(c), stamp(c.NotBefore), stamp(now))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// allows reports whether a certificate may be used so. One that names no use may be used
// for everything (RFC 5280 §4.2.1.12).
func allows(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range c.ExtKeyUsage {
		if u == usage || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

// checkName returns an error unless a certificate has one of the names.
func checkName(leaf *x509.Certificate, want Want) error {
	if len(want.Names) == 0 && want.Usage == ForClient {
		return nil
	}
	for _, n := range want.Names {
		if n != "" && leaf.VerifyHostname(bracketed(n)) == nil {
			return nil
		}
	}
	var has []string
	has = append(has, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		has = append(has, ip.String())
	}
	if len(want.Names) == 0 {
		return fmt.Errorf("%w: there is no name to look for in a server's; it has %s", ErrName, list(len(has), func(i int) string { return has[i] }))
	}
	return fmt.Errorf("%w: it must be %s; %s has %s", ErrName, list(len(want.Names), func(i int) string { return want.Names[i] }),
		called(leaf), list(len(has), func(i int) string { return has[i] }))
}

// bracketed has VerifyHostname take an IP address for one, whatever its form.
func bracketed(name string) string {
	if net.ParseIP(name) != nil {
		return "[" + name + "]"
	}
	return name
}

// list shows the first of n texts.
func list(n int, text func(int) string) string {
	if n == 0 {
		return "none"
	}
	var b strings.Builder
	for i := range min(n, shownNames) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(wire.Quote(text(i)))
	}
	if n > shownNames {
		fmt.Fprintf(&b, " and %d more", n-shownNames)
	}
	return b.String()
}

// called returns a certificate's name as errors show it.
func called(c *x509.Certificate) string {
	name := c.Subject.String()
	if name == "" && len(c.DNSNames) > 0 {
		name = c.DNSNames[0]
	}
	return fmt.Sprintf("%s (number %s)", wire.Quote(name), shortSerial(c))
}
