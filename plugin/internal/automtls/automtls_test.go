package automtls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
)

func identity(t *testing.T, c automtls.Curve) *automtls.Identity {
	t.Helper()
	id, err := automtls.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestTemplate(t *testing.T) {
	for _, tt := range []struct {
		curve automtls.Curve
		name  string
		sig   x509.SignatureAlgorithm
	}{
		{0, "P-521", x509.ECDSAWithSHA512},
		{automtls.P384, "P-384", x509.ECDSAWithSHA384},
		{automtls.P256, "P-256", x509.ECDSAWithSHA256},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := time.Now().Truncate(time.Second)
			id := identity(t, tt.curve)
			cert, err := x509.ParseCertificate(id.DER())
			if err != nil {
				t.Fatal(err)
			}
			key, ok := cert.PublicKey.(*ecdsa.PublicKey)
			if !ok || key.Curve.Params().Name != tt.name || tt.curve.String() != tt.name {
				t.Errorf("key is %T on %v, want ECDSA on %s", cert.PublicKey, tt.curve, tt.name)
			}
			if cert.SignatureAlgorithm != tt.sig {
				t.Errorf("signed with %v, want %v", cert.SignatureAlgorithm, tt.sig)
			}
			if err := cert.CheckSignatureFrom(cert); err != nil {
				t.Errorf("not its own authority: %v", err)
			}
			const name = "CN=localhost,O=HashiCorp"
			if cert.Subject.String() != name || cert.Issuer.String() != name {
				t.Errorf("subject %q, issuer %q, want %q", cert.Subject, cert.Issuer, name)
			}
			if len(cert.DNSNames) != 1 || cert.DNSNames[0] != "localhost" || cert.IPAddresses != nil {
				t.Errorf("names %q %v, want localhost alone", cert.DNSNames, cert.IPAddresses)
			}
			if d := cert.NotBefore.Sub(before); d < -30*time.Second || d > 0 {
				t.Errorf("valid from %v after now, want 30 s before", d)
			}
			if d := cert.NotAfter.Sub(cert.NotBefore); d != 262980*time.Hour+30*time.Second {
				t.Errorf("valid for %v", d)
			}
			wantUsage := x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageKeyAgreement | x509.KeyUsageCertSign
			if cert.KeyUsage != wantUsage || !cert.IsCA || !cert.BasicConstraintsValid {
				t.Errorf("key usage %b, CA %v", cert.KeyUsage, cert.IsCA)
			}
			if len(cert.ExtKeyUsage) != 2 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || cert.ExtKeyUsage[1] != x509.ExtKeyUsageServerAuth {
				t.Errorf("extended usages %v", cert.ExtKeyUsage)
			}
			if cert.SerialNumber.Sign() < 0 || cert.SerialNumber.BitLen() > 128 || cert.SerialNumber.BitLen() < 64 {
				t.Errorf("serial number %v is not 128 random bits", cert.SerialNumber)
			}
			der, err := automtls.ParsePEM(id.PEM())
			if err != nil || !bytes.Equal(der, id.DER()) {
				t.Errorf("its own PEM does not read back: %v", err)
			}
			if got := automtls.CurveOf(der); got != tt.curve {
				t.Errorf("CurveOf = %v, want %v", got, tt.curve)
			}
		})
	}
	if _, err := automtls.New(99); err == nil || !strings.Contains(err.Error(), "Curve(99)") {
		t.Errorf("unknown curve: %v", err)
	}
}

// foreign returns a certificate that differs completely from the protocol's template.
func foreign(t *testing.T, key any, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7),
		Subject:      pkix.Name{CommonName: "elsewhere"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	if change != nil {
		change(template)
	}
	var der []byte
	var err error
	fips140.WithoutEnforcement(func() { der, err = x509.CreateCertificate(rand.Reader, template, template, public(t, key), key) })
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func public(t *testing.T, key any) any {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		return k.Public()
	case *rsa.PrivateKey:
		return k.Public()
	case ed25519.PrivateKey:
		return k.Public()
	}
	t.Fatalf("no public key of a %T", key)
	return nil
}

func ecKey(t *testing.T, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	var key *ecdsa.PrivateKey
	var err error
	fips140.WithoutEnforcement(func() { key, err = ecdsa.GenerateKey(c, rand.Reader) })
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	var key *rsa.PrivateKey
	var err error
	fips140.WithoutEnforcement(func() { key, err = rsa.GenerateKey(rand.Reader, bits) }) // peers may have what we would not make
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestParseDER(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0") // lets the test make weak keys
	good := identity(t, automtls.P256).DER()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := ecKey(t, elliptic.P256())
	for _, tt := range []struct {
		name string
		der  []byte
		want error
		text string
	}{
		{"the template's", good, nil, ""},
		{"Ed25519", foreign(t, ed, nil).Certificate[0], nil, ""},
		{"P-384", foreign(t, ecKey(t, elliptic.P384()), nil).Certificate[0], nil, ""},
		{"RSA with 2048 bits", foreign(t, rsaKey(t, 2048), nil).Certificate[0], nil, ""},
		{"RSA with 1024 bits", foreign(t, rsaKey(t, 1024), nil).Certificate[0], automtls.ErrKey, "RSA with 1024 bits; use 2048 to 8192"},
		{"RSA with 512 bits", foreign(t, rsaKey(t, 512), nil).Certificate[0], automtls.ErrKey, "RSA with 512 bits"},
		{"P-224", foreign(t, ecKey(t, elliptic.P224()), nil).Certificate[0], automtls.ErrKey, "ECDSA on P-224"},
		{"expired", foreign(t, ec, valid(-2*time.Hour, -time.Hour)).Certificate[0], nil, ""},
		{"not yet valid", foreign(t, ec, valid(time.Hour, 2*time.Hour)).Certificate[0], nil, ""},
		{"empty", nil, automtls.ErrParse, ""},
		{"cut short", good[:len(good)-1], automtls.ErrParse, ""},
		{"a chain", append(bytes.Clone(good), good...), automtls.ErrParse, ""},
		{"a trailing byte", append(bytes.Clone(good), 0), automtls.ErrParse, ""},
		{"too large", make([]byte, 16<<10+1), automtls.ErrTooLarge, "16385 bytes, at most 16384"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := automtls.ParseDER(tt.der)
			if tt.want == nil && err != nil {
				t.Fatalf("refused: %v", err)
			}
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("error %v, want %v with %q", err, tt.want, tt.text)
			}
		})
	}
}

func TestParsePEM(t *testing.T) {
	good := identity(t, automtls.P256).PEM()
	block, _ := pem.Decode([]byte(good))
	encode := func(b pem.Block) string { return string(pem.EncodeToMemory(&b)) }
	damaged := strings.Replace(good, "\n", "\n*", 1)
	for _, tt := range []struct {
		name, text string
		want       error
		wantText   string
	}{
		{"one certificate", good, nil, ""},
		{"white space around it", "\r\n  " + good + "\n\t", nil, ""},
		{"empty", "", automtls.ErrPEM, "does not begin with a PEM block"},
		{"text before it", "certificate:\n" + good, automtls.ErrPEM, "does not begin"},
		{"text after it", good + "x", automtls.ErrPEM, "something follows"},
		{"a chain", good + good, automtls.ErrPEM, "a chain is not accepted"},
		{"a private key", encode(pem.Block{Type: "EC PRIVATE KEY", Bytes: block.Bytes}), automtls.ErrPEM, `is a "EC PRIVATE KEY"`},
		{"headers", encode(pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"A": "b"}, Bytes: block.Bytes}), automtls.ErrPEM, "has headers"},
		{"damaged", damaged, automtls.ErrPEM, "damaged"},
		{"a damaged block before it", damaged + good, automtls.ErrPEM, ""},
		{"no certificate inside", encode(pem.Block{Type: "CERTIFICATE", Bytes: []byte("hello")}), automtls.ErrParse, ""},
		{"too large", good + strings.Repeat(" ", 32<<10), automtls.ErrTooLarge, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			der, err := automtls.ParsePEM(tt.text)
			if tt.want == nil {
				if err != nil || !bytes.Equal(der, block.Bytes) {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if der != nil || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.wantText) {
				t.Fatalf("error %v, want %v with %q", err, tt.want, tt.wantText)
			}
		})
	}
}

// result is what one side saw of a connection.
type result struct {
	state tls.ConnectionState
	err   error
}

// connect performs a handshake and sends a byte in each direction, so that session
// tickets arrive and late refusals are seen. It uses a real socket: with net.Pipe both
// sides would wait for each other if one refuses while the other already writes.
func connect(t *testing.T, client, server *tls.Config) (c, s result) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cConn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	sConn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan result, 1)
	go func() {
		conn := tls.Server(sConn, server)
		done <- exchange(conn, func() error {
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				return err
			}
			_, err := conn.Write([]byte{'s'})
			return err
		})
		sConn.Close()
	}()
	conn := tls.Client(cConn, client)
	c = exchange(conn, func() error {
		if _, err := conn.Write([]byte{'c'}); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 1))
		return err
	})
	cConn.Close()
	return c, <-done
}

func exchange(conn *tls.Conn, data func() error) result {
	if err := conn.Handshake(); err != nil {
		return result{err: err}
	}
	return result{conn.ConnectionState(), data()}
}

func wantBothFine(t *testing.T, what string, c, s result) {
	t.Helper()
	if c.err != nil || s.err != nil {
		t.Fatalf("%s: client %v, server %v", what, c.err, s.err)
	}
}

func TestHandshake(t *testing.T) {
	for _, curve := range []automtls.Curve{automtls.P521, automtls.P384, automtls.P256} {
		t.Run(curve.String(), func(t *testing.T) {
			host, plug := identity(t, curve), identity(t, curve)
			c, s := connect(t, automtls.ClientConfig(host, plug.DER(), nil), automtls.ServerConfig(plug, host.DER(), nil))
			wantBothFine(t, "handshake", c, s)
			if c.state.Version != tls.VersionTLS13 {
				t.Errorf("version %x between our own ends, want TLS 1.3", c.state.Version)
			}
			if c.state.NegotiatedProtocol != "h2" || s.state.NegotiatedProtocol != "h2" {
				t.Errorf("protocols %q and %q, want h2", c.state.NegotiatedProtocol, s.state.NegotiatedProtocol)
			}
			if !bytes.Equal(c.state.PeerCertificates[0].Raw, plug.DER()) || !bytes.Equal(s.state.PeerCertificates[0].Raw, host.DER()) {
				t.Error("the certificates are not the pinned ones")
			}
		})
	}
}

func TestWrongPeer(t *testing.T) {
	host, plug, other := identity(t, automtls.P256), identity(t, automtls.P256), identity(t, automtls.P256)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := automtls.ClientConfig(host, plug.DER(), nil), automtls.ServerConfig(plug, host.DER(), nil)
		client.MaxVersion = version

		c, _ := connect(t, client, automtls.ServerConfig(other, host.DER(), nil))
		if !errors.Is(c.err, automtls.ErrPin) {
			t.Errorf("%s: a client took another server: %v", tls.VersionName(version), c.err)
		}

		wrong := automtls.ClientConfig(other, plug.DER(), nil)
		wrong.MaxVersion = version
		c, s := connect(t, wrong, server)
		if !errors.Is(s.err, automtls.ErrPin) || c.err == nil {
			t.Errorf("%s: a server took another client: %v, %v", tls.VersionName(version), s.err, c.err)
		}

		wrong = automtls.ClientConfig(host, plug.DER(), nil)
		wrong.MaxVersion = version
		wrong.GetClientCertificate = nil
		wrong.Certificates = nil
		c, s = connect(t, wrong, server)
		if s.err == nil || c.err == nil {
			t.Errorf("%s: a server took a client without a certificate", tls.VersionName(version))
		}

		// The pinned certificate after another, whose key the peer has.
		wrong = automtls.ClientConfig(other, plug.DER(), nil)
		wrong.MaxVersion = version
		wrong.GetClientCertificate = nil
		wrong.Certificates[0].Certificate = append(wrong.Certificates[0].Certificate, host.DER())
		if _, s = connect(t, wrong, server); !errors.Is(s.err, automtls.ErrPin) {
			t.Errorf("%s: a server took a client by its second certificate: %v", tls.VersionName(version), s.err)
		}
		behind := automtls.ServerConfig(other, host.DER(), nil)
		behind.Certificates[0].Certificate = append(behind.Certificates[0].Certificate, plug.DER())
		if c, _ = connect(t, client, behind); !errors.Is(c.err, automtls.ErrPin) {
			t.Errorf("%s: a client took a server by its second certificate: %v", tls.VersionName(version), c.err)
		}

		// The pinned certificate without its key.
		wrong = automtls.ClientConfig(other, plug.DER(), nil)
		wrong.MaxVersion = version
		wrong.GetClientCertificate = nil
		wrong.Certificates[0].Certificate = [][]byte{host.DER()}
		wrong.Certificates[0].Leaf = nil
		c, s = connect(t, wrong, server)
		if s.err == nil || c.err == nil {
			t.Errorf("%s: a server took the pinned certificate without its key", tls.VersionName(version))
		}
	}
}

// TestNoPin is about the worst mistake that a caller can make.
func TestNoPin(t *testing.T) {
	host, plug := identity(t, automtls.P256), identity(t, automtls.P256)
	c, _ := connect(t, automtls.ClientConfig(host, nil, nil), automtls.ServerConfig(plug, host.DER(), nil))
	if !errors.Is(c.err, automtls.ErrPin) {
		t.Errorf("a client without a pin connected: %v", c.err)
	}
	_, s := connect(t, automtls.ClientConfig(host, plug.DER(), nil), automtls.ServerConfig(plug, nil, nil))
	if !errors.Is(s.err, automtls.ErrPin) {
		t.Errorf("a server without a pin accepted: %v", s.err)
	}
}

func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			host, plug := identity(t, automtls.P256), identity(t, automtls.P256)
			client, server := automtls.ClientConfig(host, plug.DER(), nil), automtls.ServerConfig(plug, host.DER(), nil)
			client.MaxVersion = version
			// Another server of the same plugin, configured before the first connection,
			// as brokered servers are.
			clone := server.Clone()
			c, s := connect(t, client, server)
			wantBothFine(t, "first connection", c, s)
			if c.state.DidResume {
				t.Error("the first connection is a resumed one")
			}
			for _, srv := range []*tls.Config{server, clone} {
				c, s = connect(t, client, srv)
				wantBothFine(t, "second connection", c, s)
				if !c.state.DidResume || !s.state.DidResume {
					t.Error("a later connection does not resume")
				}
			}

			// The same sessions and the same ticket keys, but other pins: a session that
			// was good must not let anyone past the pin.
			other := identity(t, automtls.P256)
			repinned := automtls.ClientConfig(host, other.DER(), nil)
			repinned.MaxVersion = version
			repinned.ClientSessionCache = client.ClientSessionCache
			c, _ = connect(t, repinned, server)
			if !errors.Is(c.err, automtls.ErrPin) {
				t.Errorf("a client resumed a session with a peer that is not its pin: %v", c.err)
			}
			strict := server.Clone()
			strict.VerifyConnection = automtls.ServerConfig(plug, other.DER(), nil).VerifyConnection
			_, s = connect(t, client, strict)
			if !errors.Is(s.err, automtls.ErrPin) {
				t.Errorf("a server resumed a session with a peer that is not its pin: %v", s.err)
			}
		})
	}
}

// TestCurveUnknownToPeer asks a client for its certificate as a server does whose TLS
// library does not support P-521. Without a certificate the only symptom would be a
// closed connection.
func TestCurveUnknownToPeer(t *testing.T) {
	peer := identity(t, automtls.P256).DER()
	for _, tt := range []struct {
		curve automtls.Curve
		want  error
	}{{automtls.P256, nil}, {automtls.P384, nil}, {automtls.P521, automtls.ErrCurve}} {
		own := identity(t, tt.curve)
		got, err := automtls.ClientConfig(own, peer, nil).GetClientCertificate(&tls.CertificateRequestInfo{
			Version:          tls.VersionTLS13,
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.PSSWithSHA256},
			AcceptableCAs:    [][]byte{[]byte("somebody else")},
		})
		if !errors.Is(err, tt.want) || (err == nil) != (got != nil) {
			t.Errorf("%v: %v, want %v", tt.curve, err, tt.want)
		}
		if err == nil && !bytes.Equal(got.Certificate[0], own.DER()) {
			t.Errorf("%v: it is another certificate", tt.curve)
		}
	}
}

// TestOneGroup has a peer that exchanges keys only on P-256, whatever its certificate's
// curve, as gRPC's C core does (1.51).
func TestOneGroup(t *testing.T) {
	host, plug := identity(t, automtls.P521), identity(t, automtls.P521)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		peer := automtls.ServerConfig(plug, host.DER(), nil)
		peer.CurvePreferences, peer.MaxVersion = []tls.CurveID{tls.CurveP256}, version
		c, s := connect(t, automtls.ClientConfig(host, plug.DER(), nil), peer)
		wantBothFine(t, tls.VersionName(version)+", server with one group", c, s)
		peer = automtls.ClientConfig(plug, host.DER(), nil)
		peer.CurvePreferences, peer.MaxVersion = []tls.CurveID{tls.CurveP256}, version
		c, s = connect(t, peer, automtls.ServerConfig(host, plug.DER(), nil))
		wantBothFine(t, tls.VersionName(version)+", client with one group", c, s)
	}
}

func TestOldVersionsRefused(t *testing.T) {
	host, plug := identity(t, automtls.P256), identity(t, automtls.P256)
	old := automtls.ClientConfig(host, plug.DER(), nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	c, s := connect(t, old, automtls.ServerConfig(plug, host.DER(), nil))
	// Under FIPS 140 the client has no such version to offer.
	if c.err == nil || s.err == nil || !strings.Contains(s.err.Error()+c.err.Error(), "version") {
		t.Errorf("TLS 1.1 client: %v, %v", c.err, s.err)
	}
	oldServer := automtls.ServerConfig(plug, host.DER(), nil)
	oldServer.MinVersion, oldServer.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	c, s = connect(t, automtls.ClientConfig(host, plug.DER(), nil), oldServer)
	if c.err == nil || s.err == nil {
		t.Errorf("TLS 1.1 server: %v, %v", c.err, s.err)
	}
}

func TestProtocols(t *testing.T) {
	host, plug := identity(t, automtls.P256), identity(t, automtls.P256)
	silent := automtls.ClientConfig(host, plug.DER(), nil)
	silent.NextProtos = nil
	c, s := connect(t, silent, automtls.ServerConfig(plug, host.DER(), nil))
	wantBothFine(t, "a client that offers no protocol", c, s)
	silent = automtls.ServerConfig(plug, host.DER(), nil)
	silent.NextProtos = nil
	c, s = connect(t, automtls.ClientConfig(host, plug.DER(), nil), silent)
	wantBothFine(t, "a server that selects no protocol", c, s)

	other := automtls.ClientConfig(host, plug.DER(), nil)
	other.NextProtos = []string{"spdy/3"}
	if c, _ = connect(t, other, automtls.ServerConfig(plug, host.DER(), nil)); c.err == nil {
		t.Error("a client that insists on another protocol was accepted")
	}
}

// TestForeignTemplates has a peer whose library fills in its certificate differently: no
// names, no usages, not an authority, other keys.
func TestForeignTemplates(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]any{"P-256": ecKey(t, elliptic.P256()), "RSA": rsaKey(t, 2048), "Ed25519": ed} {
		t.Run(name, func(t *testing.T) {
			ours := identity(t, automtls.P521)
			theirs := foreign(t, key, nil)
			der := theirs.Certificate[0]
			if err := automtls.ParseDER(der); err != nil {
				t.Fatal(err)
			}
			if name != "P-256" && automtls.CurveOf(der) != automtls.P521 {
				t.Error("a key that is not elliptic does not mean the default curve")
			}
			pool := x509.NewCertPool()
			pool.AddCert(mustParse(t, ours.DER()))
			// The peer trusts our certificate as its only root, as go-plugin does: our
			// template must pass a full verification.
			c, s := connect(t,
				&tls.Config{Certificates: []tls.Certificate{theirs}, RootCAs: pool, ServerName: "localhost"},
				automtls.ServerConfig(ours, der, nil))
			wantBothFine(t, "their client, our server", c, s)
			c, s = connect(t,
				automtls.ClientConfig(ours, der, nil),
				&tls.Config{Certificates: []tls.Certificate{theirs}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
			wantBothFine(t, "our client, their server", c, s)
		})
	}
}

func mustParse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestPinIsCopied changes the slice that was passed for the pin.
func TestPinIsCopied(t *testing.T) {
	host, plug := identity(t, automtls.P256), identity(t, automtls.P256)
	der := plug.DER()
	client := automtls.ClientConfig(host, der, nil)
	clear(der)
	c, s := connect(t, client, automtls.ServerConfig(plug, host.DER(), nil))
	wantBothFine(t, "handshake", c, s)
}
