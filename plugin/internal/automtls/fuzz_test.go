package automtls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/wire"
)

// seeds returns certificates of each kind, and data that is not a certificate.
func seeds(f *testing.F) (ders [][]byte) {
	f.Helper()
	for _, c := range []automtls.Curve{automtls.P256, automtls.P521} {
		id, err := automtls.New(c)
		if err != nil {
			f.Fatal(err)
		}
		ders = append(ders, id.DER(), id.DER()[:100], append(bytes.Clone(id.DER()), id.DER()...))
	}
	return append(ders, nil, []byte("0\x80"), bytes.Repeat([]byte{0x30}, wire.MaxCertificate+1))
}

// kinds are the errors of ParseDER and ParsePEM.
var kinds = []error{automtls.ErrTooLarge, automtls.ErrParse, automtls.ErrKey, automtls.ErrPEM}

func wantKind(t *testing.T, err error) {
	t.Helper()
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			if len(err.Error()) > 2000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
	}
	t.Errorf("an error of no kind: %v", err)
}

// FuzzParseDER parses any data as a peer's certificate. An accepted certificate has a key
// that is not weak, and can be used in configurations.
func FuzzParseDER(f *testing.F) {
	for _, der := range seeds(f) {
		f.Add(der)
	}
	own, err := automtls.New(automtls.P256)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		if err := automtls.ParseDER(der); err != nil {
			wantKind(t, err)
			return
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatalf("accepted what is no certificate: %v", err)
		}
		if len(der) > wire.MaxCertificate {
			t.Errorf("accepted %d bytes", len(der))
		}
		now := time.Now()
		if err := automtls.CheckValidity(der); (err != nil) != (now.Before(cert.NotBefore) || now.After(cert.NotAfter)) || err != nil && len(err.Error()) > 500 {
			t.Errorf("valid from %v to %v: %v", cert.NotBefore, cert.NotAfter, err)
		}
		switch key := cert.PublicKey.(type) {
		case *ecdsa.PublicKey, ed25519.PublicKey:
		case *rsa.PublicKey:
			if key.N.BitLen() < 2048 {
				t.Errorf("accepted RSA with %d bits", key.N.BitLen())
			}
		default:
			t.Errorf("accepted a key of type %T", key)
		}
		automtls.CurveOf(der)
		automtls.ServerConfig(own, der, nil)
		automtls.ClientConfig(own, der, nil)
	})
}

// FuzzParsePEM parses any text as the value of a host's variable. An accepted text holds
// one certificate, and nothing else.
func FuzzParsePEM(f *testing.F) {
	for _, der := range seeds(f) {
		block := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		f.Add(block)
		f.Add("text\n" + block)
		f.Add(block + block)
		f.Add(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"a": "b"}, Bytes: der})))
	}
	f.Fuzz(func(t *testing.T, text string) {
		der, err := automtls.ParsePEM(text)
		if err != nil {
			wantKind(t, err)
			return
		}
		if err := automtls.ParseDER(der); err != nil {
			t.Errorf("accepted what ParseDER refuses: %v", err)
		}
		again, err := automtls.ParsePEM(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		if err != nil || !bytes.Equal(again, der) {
			t.Errorf("what was accepted, written anew, is %x, %v", again, err)
		}
	})
}
