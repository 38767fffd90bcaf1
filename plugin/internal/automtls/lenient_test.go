package automtls_test

import (
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
)

// valid changes a certificate's period of validity to one around the present time.
func valid(from, to time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(from), time.Now().Add(to)
	}
}

// TestOutsideItsValidity has a peer whose certificate has expired, or is not valid yet.
// That is reported, and not refused.
func TestOutsideItsValidity(t *testing.T) {
	ours, key := identity(t, automtls.P256), ecKey(t, elliptic.P256())
	if err := automtls.CheckValidity(ours.DER()); err != nil {
		t.Errorf("our own: %v", err)
	}
	for name, change := range map[string]func(*x509.Certificate){
		"expired":       valid(-2*time.Hour, -time.Hour),
		"not yet valid": valid(time.Hour, 2*time.Hour),
	} {
		theirs := foreign(t, key, change)
		der := theirs.Certificate[0]
		until := mustParse(t, der).NotAfter.UTC().Format(time.RFC3339)
		if err := automtls.CheckValidity(der); !errors.Is(err, automtls.ErrValidity) ||
			!strings.Contains(err.Error(), "to "+until) || !strings.Contains(err.Error(), "check the clock") {
			t.Errorf("%s: %v", name, err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		old, err := automtls.Restore(der, pkcs8)
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			client, server := automtls.ClientConfig(ours, der, nil), automtls.ServerConfig(old, ours.DER(), nil)
			client.MaxVersion = version
			for range 2 { // the second connection may resume
				c, s := connect(t, client, server)
				wantBothFine(t, name+", server", c, s)
			}
			client, server = automtls.ClientConfig(old, ours.DER(), nil), automtls.ServerConfig(ours, der, nil)
			client.MaxVersion = version
			for range 2 {
				c, s := connect(t, client, server)
				wantBothFine(t, name+", client", c, s)
			}
		}
	}
}

// TestCertificatesBehindThePinnedOne has peers that send other certificates after it,
// such as their issuer's, and resumes a session with them.
func TestCertificatesBehindThePinnedOne(t *testing.T) {
	host, plug := identity(t, automtls.P256), identity(t, automtls.P256)
	other := foreign(t, rsaKey(t, 2048), valid(-2*time.Hour, -time.Hour)).Certificate[0]
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := automtls.ClientConfig(host, plug.DER(), nil), automtls.ServerConfig(plug, host.DER(), nil)
		client.MaxVersion = version
		client.GetClientCertificate = nil
		client.Certificates[0].Certificate = append(client.Certificates[0].Certificate, other)
		server.Certificates[0].Certificate = append(server.Certificates[0].Certificate, other, plug.DER())
		for range 2 {
			c, s := connect(t, client, server)
			wantBothFine(t, tls.VersionName(version), c, s)
			if len(c.state.PeerCertificates) != 3 || len(s.state.PeerCertificates) != 2 {
				t.Errorf("%d and %d certificates came", len(c.state.PeerCertificates), len(s.state.PeerCertificates))
			}
		}
	}
}
