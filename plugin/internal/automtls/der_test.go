package automtls_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
)

// TestAgainstX509 compares the certificates with those of crypto/x509 for the same
// template, byte for byte except the signature, which is random and is verified instead.
func TestAgainstX509(t *testing.T) {
	for _, curve := range []automtls.Curve{automtls.P521, automtls.P384, automtls.P256} {
		// Serial numbers differ in length and in their first bit.
		for range 20 {
			id, err := automtls.New(curve)
			if err != nil {
				t.Fatal(err)
			}
			own := id.Certificate()
			leaf := own.Leaf
			if err := leaf.CheckSignatureFrom(leaf); err != nil {
				t.Fatalf("%v: the certificate does not verify itself: %v", curve, err)
			}
			template := &x509.Certificate{
				SerialNumber:          leaf.SerialNumber,
				SignatureAlgorithm:    leaf.SignatureAlgorithm,
				Subject:               pkix.Name{CommonName: "localhost", Organization: []string{"HashiCorp"}},
				DNSNames:              []string{"localhost"},
				NotBefore:             leaf.NotBefore,
				NotAfter:              leaf.NotAfter,
				BasicConstraintsValid: true,
				IsCA:                  true,
				KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment |
					x509.KeyUsageKeyAgreement | x509.KeyUsageCertSign,
				ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
			}
			der, err := x509.CreateCertificate(rand.Reader, template, template, leaf.PublicKey, own.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			want, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(leaf.RawTBSCertificate, want.RawTBSCertificate) {
				t.Fatalf("%v: got\n%x\nwant\n%x", curve, leaf.RawTBSCertificate, want.RawTBSCertificate)
			}
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for _, curve := range []automtls.Curve{automtls.P521, automtls.P384, automtls.P256} {
		b.Run(curve.String(), func(b *testing.B) {
			for b.Loop() {
				if _, err := automtls.New(curve); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
