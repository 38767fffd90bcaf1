package certs_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/certs"
)

// TestCertificates looks at what certificates say, and has crypto/x509 judge them, for
// each kind of key of the authority and of the certificate.
func TestCertificates(t *testing.T) {
	for key, kind := range map[certs.KeyType]string{certs.P256: "P-256", certs.P384: "P-384", certs.P521: "P-521", certs.Ed25519: "Ed25519"} {
		t.Run(kind, func(t *testing.T) {
			ca := must(certs.NewCA(certs.Options{Name: "an authority", Key: key}))(t)
			root := ca.Leaf
			if !root.IsCA || !root.BasicConstraintsValid || !root.MaxPathLenZero || root.MaxPathLen != 0 {
				t.Errorf("the authority's constraints: IsCA %v, MaxPathLen %d (%v)", root.IsCA, root.MaxPathLen, root.MaxPathLenZero)
			}
			if root.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(root.ExtKeyUsage) != 0 {
				t.Errorf("the authority's usages: %b, %v", root.KeyUsage, root.ExtKeyUsage)
			}
			pool := x509.NewCertPool()
			pool.AddCert(root)
			o := certs.Options{Names: []string{"kv.example.org", "*.kv.example.org", "192.0.2.1", "2001:db8::1"}, Key: key}
			client, server := x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
			for _, made := range []struct {
				what string
				make func(certs.Options) (*certs.Pair, error)
				want []x509.ExtKeyUsage
			}{
				{"server", ca.Server, []x509.ExtKeyUsage{server}},
				{"client", ca.Client, []x509.ExtKeyUsage{client}},
				{"peer", ca.Peer, []x509.ExtKeyUsage{server, client}},
			} {
				leaf := must(made.make(o))(t).Leaf
				if fmt.Sprint(leaf.ExtKeyUsage) != fmt.Sprint(made.want) || leaf.KeyUsage != x509.KeyUsageDigitalSignature || leaf.IsCA || !leaf.BasicConstraintsValid {
					t.Errorf("%s: usages %v, %b; IsCA %v", made.what, leaf.ExtKeyUsage, leaf.KeyUsage, leaf.IsCA)
				}
				if got := kindOf(leaf.PublicKey); got != kind {
					t.Errorf("%s: the key is %s", made.what, got)
				}
				for _, name := range []string{"kv.example.org", "a.kv.example.org", "192.0.2.1", "2001:db8::1"} {
					if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name, KeyUsages: made.want}); err != nil {
						t.Errorf("%s: %s: %v", made.what, name, err)
					}
				}
				if err := leaf.VerifyHostname("other.example.org"); err == nil {
					t.Errorf("%s: it is for any name", made.what)
				}
				if leaf.Subject.CommonName != "kv.example.org" {
					t.Errorf("%s: it is called %q", made.what, leaf.Subject)
				}
			}
		})
	}
}

func kindOf(key any) string {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

// TestNoFurtherAuthorities: the key of a certificate signs nothing that anyone accepts.
func TestNoFurtherAuthorities(t *testing.T) {
	ca := newCA(t, "an authority")
	pretender := &certs.CA{Pair: *newPeer(t, ca, "kv.example.org")}
	if _, err := pretender.Peer(certs.Options{Names: []string{"other.example.org"}}); err == nil || !strings.Contains(err.Error(), "is no authority") {
		t.Errorf("signed by a certificate: %v", err)
	}
}

func TestSerialNumbers(t *testing.T) {
	ca := newCA(t, "an authority")
	seen, bits := make(map[string]bool), 0
	for range 20 {
		serial := newPeer(t, ca, "a").Leaf.SerialNumber
		if seen[serial.String()] || serial.Sign() <= 0 {
			t.Fatalf("the number %s", serial)
		}
		seen[serial.String()] = true
		bits = max(bits, serial.BitLen())
	}
	if bits < 120 || bits > 128 { // 20 numbers below 2^120 do not happen
		t.Errorf("the longest number has %d bits, want 128", bits)
	}
	if a, b := must(certs.NewCA(certs.Options{}))(t), must(certs.NewCA(certs.Options{}))(t); a.Leaf.Subject.String() == b.Leaf.Subject.String() {
		t.Errorf("two authorities are called %s", a.Leaf.Subject)
	}
}

func TestValidity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		ca := newCA(t, "an authority")
		ends := func(c *x509.Certificate, want time.Duration) {
			t.Helper()
			if got := time.Until(c.NotAfter); got != want {
				t.Errorf("%s ends in %v, want %v", c.Subject, got, want)
			}
		}
		ends(ca.Leaf, 5*365*day)
		time.Sleep(time.Hour)
		p := newPeer(t, ca, "default")
		ends(p.Leaf, 365*day)
		if ahead := time.Since(p.Leaf.NotBefore); ahead != 5*time.Minute {
			t.Errorf("it began %v ago, want 5m", ahead)
		}
		ends(must(ca.Peer(certs.Options{Names: []string{"short"}, Validity: day}))(t).Leaf, day)
		ends(must(ca.Peer(certs.Options{Names: []string{"long"}, Validity: 50 * 365 * day}))(t).Leaf, 5*365*day-time.Hour)
		// Not before its authority, either.
		young := must(certs.NewCA(certs.Options{Validity: day}))(t)
		if c := newPeer(t, young, "early").Leaf; c.NotBefore.Before(young.Leaf.NotBefore) {
			t.Errorf("it begins %v before its authority", young.Leaf.NotBefore.Sub(c.NotBefore))
		}
		time.Sleep(2 * day)
		if _, err := young.Peer(certs.Options{Names: []string{"late"}}); !errors.Is(err, certs.ErrExpired) || !strings.Contains(err.Error(), "the authority ") {
			t.Errorf("by an authority that has expired: %v", err)
		}
	})
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	ca := newCA(t, "an authority")
	for _, c := range []struct {
		make func(certs.Options) (*certs.Pair, error)
		o    certs.Options
		want string
	}{
		{ca.Peer, certs.Options{}, "Options.Names is empty"},
		{ca.Server, certs.Options{Name: "kv"}, "Options.Names is empty"},
		{ca.Client, certs.Options{}, "neither Options.Names nor Options.Name is set"},
		{ca.Peer, certs.Options{Names: []string{"a b"}}, `the name "a b" is neither`},
		{ca.Peer, certs.Options{Names: []string{"a..b"}}, "is neither"},
		{ca.Peer, certs.Options{Names: []string{"kv.example.org:80"}}, "is neither"},
		{ca.Peer, certs.Options{Names: []string{"*"}}, "is neither"},
		{ca.Peer, certs.Options{Names: []string{"a.*.b"}}, "is neither"},
		{ca.Peer, certs.Options{Names: []string{"bücher.example"}}, "is neither"},
		{ca.Peer, certs.Options{Names: []string{strings.Repeat("a", 254)}}, "is neither"},
		{ca.Peer, certs.Options{Names: make([]string, 101)}, "101 names"},
		{ca.Peer, certs.Options{Names: []string{"a"}, Name: "a\nb"}, "Options.Name"},
		{ca.Peer, certs.Options{Names: []string{"a"}, Name: strings.Repeat("a", 65)}, "Options.Name"},
		{ca.Peer, certs.Options{Names: []string{"a"}, Validity: -1}, "Options.Validity is negative"},
		{ca.Peer, certs.Options{Names: []string{"a"}, Key: 9}, "no kind of key"},
		{authority, certs.Options{Names: []string{"a"}}, "Options.Names is set"},
		{authority, certs.Options{Key: -1}, "no kind of key"},
	} {
		if _, err := c.make(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80v: %v, want %q", c.o, err, c.want)
		}
	}
	// A client that nobody connects to needs no name to be found by.
	if c := must(ca.Client(certs.Options{Name: "a host"}))(t).Leaf; c.Subject.CommonName != "a host" || len(c.DNSNames) != 0 {
		t.Errorf("the client is called %s, %v", c.Subject, c.DNSNames)
	}
	// A name may be longer than a subject.
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60)
	if c := newPeer(t, ca, long).Leaf; c.VerifyHostname(long) != nil {
		t.Errorf("the long name is not in %v", c.DNSNames)
	}
	if c := newPeer(t, ca, "127.0.0.1").Leaf; len(c.DNSNames) != 0 || !c.IPAddresses[0].Equal(net.IPv4(127, 0, 0, 1)) {
		t.Errorf("the address is in %v, %v", c.DNSNames, c.IPAddresses)
	}
}

func authority(o certs.Options) (*certs.Pair, error) {
	ca, err := certs.NewCA(o)
	if err != nil {
		return nil, err
	}
	return &ca.Pair, nil
}
