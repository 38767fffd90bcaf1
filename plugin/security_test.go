package plugin_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/wire"
)

// TestOutdatedHost has a host whose certificate has expired, or will be valid
// once. It is the one that was announced: the plugin warns, and serves it.
func TestOutdatedHost(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, span := range []struct {
		from, to time.Time
		warning  bool
	}{{now.Add(-2 * time.Hour), now.Add(-time.Hour), true}, {now.Add(time.Hour), now.Add(2 * time.Hour), true}, {now.Add(-time.Hour), now.Add(time.Hour), false}} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: span.from, NotAfter: span.to}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		host, err := automtls.Restore(der, pkcs8)
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, &plugin.ServeConfig{Plugins: echoSet()}, wire.EnvClientCert+"="+host.PEM())
		wantEcho(t, s.dial(automtls.ClientConfig(host, s.hs.Certificate)), "x", "x")
		until := span.to.UTC().Format(time.RFC3339)
		if warned := strings.Contains(s.stderr.String(), "the host's certificate is used all the same") && strings.Contains(s.stderr.String(), until); warned != span.warning {
			t.Errorf("valid from %v to %v: a warning: %v\n%s", span.from, span.to, warned, s.stderr)
		}
	}
}
