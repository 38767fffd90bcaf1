package plugin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/wire"
)

// TestOutdatedHost has a host whose certificate has expired, or is not valid yet. It is
// the one that was announced: the plugin warns, and serves the host.
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
		wantEcho(t, s.dial(automtls.ClientConfig(host, s.hs.Certificate, nil)), "x", "x")
		until := span.to.UTC().Format(time.RFC3339)
		if warned := strings.Contains(s.stderr.String(), "the host's certificate is used despite its dates") && strings.Contains(s.stderr.String(), until); warned != span.warning {
			t.Errorf("valid from %v to %v: a warning: %v\n%s", span.from, span.to, warned, s.stderr)
		}
	}
}

// older returns a client's configuration for TLS up to 1.2.
func older(host *automtls.Identity, s *served) *tls.Config {
	cfg := automtls.ClientConfig(host, s.hs.Certificate, nil)
	cfg.MaxVersion = tls.VersionTLS12
	return cfg
}

// TestOlderTLS has hosts without TLS 1.3. A host with a lifeline is built with this
// module, and must have TLS 1.3.
func TestOlderTLS(t *testing.T) {
	host, err := automtls.New(automtls.P256)
	if err != nil {
		t.Fatal(err)
	}
	for lifeline, served := range map[string]bool{"": true, wire.LifelineNone: false, "3:1:2": false} {
		s := serve(t, &plugin.ServeConfig{Plugins: echoSet()}, wire.EnvClientCert+"="+host.PEM(), wire.EnvLifeline+"="+lifeline)
		if answer, err := echo(deadline(t), s.dial(older(host, s)), "x"); (err == nil) != served {
			t.Errorf("lifeline %q: a host with TLS 1.2 is answered %q, %v", lifeline, answer, err)
		}
		wantEcho(t, s.dial(automtls.ClientConfig(host, s.hs.Certificate, nil)), "x", "x")
	}
}

// TestBrokeredTLSIsNoOlder acts as a host with a choice of TLS versions. That of its main
// connection is the minimum for all that follow. A stranger with the host's certificate
// but without its key has no influence.
func TestBrokeredTLSIsNoOlder(t *testing.T) {
	host, err := automtls.New(automtls.P256)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := automtls.New(automtls.P256)
	if err != nil {
		t.Fatal(err)
	}
	lending := plugin.Set{"lending": plugin.ServeOnly(func(b *plugin.Broker, s *h2grpc.Server) error {
		s.RegisterService(&echoDesc, echoServer(func(ctx context.Context, in []byte) ([]byte, error) {
			if string(in) == "lend" {
				id, err := b.Serve(context.Background(), answers("lent"))
				return strconv.AppendUint(nil, uint64(id), 10), err
			}
			id, err := strconv.ParseUint(string(in), 10, 32)
			if err != nil {
				return nil, err
			}
			cc, err := b.Dial(ctx, uint32(id))
			if err != nil {
				return nil, err
			}
			defer cc.Close()
			word, err := echo(ctx, cc, "")
			return []byte(word), err
		}))
		return nil
	})}
	for _, main := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := serve(t, &plugin.ServeConfig{Plugins: lending}, wire.EnvClientCert+"="+host.PEM())
		posing := automtls.ClientConfig(stranger, s.hs.Certificate, nil)
		posing.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{host.DER()}, PrivateKey: stranger.Certificate().PrivateKey}, nil
		}
		if _, err := control.StartStream(deadline(t), s.dial(posing)); err == nil {
			t.Error("a stranger opened a stream")
		}

		client := automtls.ClientConfig(host, s.hs.Certificate, nil)
		client.MaxVersion = main
		cc := s.dial(client)
		ctx := deadline(t)
		stream, err := control.StartStream(ctx, cc)
		if err != nil {
			t.Fatal(err)
		}
		dir := socketDir(t)
		cfg := &broker.Config{
			Listen:    func() (net.Listener, error) { return socktest.Listen(dir) },
			ClientTLS: older(host, s), ServerTLS: automtls.ServerConfig(host, s.hs.Certificate, nil),
		}
		cfg.ServerTLS.MaxVersion = tls.VersionTLS12
		b := broker.New(cfg)
		ran := make(chan error, 1)
		go func() { ran <- b.Run(stream) }()

		fine := main == tls.VersionTLS12
		id, err := b.Serve(ctx, answers("please"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = echo(ctx, cc, strconv.Itoa(int(id)))
		if (err == nil) != fine || err != nil && !strings.Contains(err.Error(), automtls.ErrVersion.Error()) {
			t.Errorf("main connection of %s: the plugin dials TLS 1.2: %v", tls.VersionName(main), err)
		}
		lent, err := echo(ctx, cc, "lend")
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := strconv.Atoi(lent)
		if err != nil {
			t.Fatal(err)
		}
		back, err := b.Dial(ctx, uint32(theirs))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = echo(ctx, back, ""); (err == nil) != fine {
			t.Errorf("main connection of %s: the plugin accepts TLS 1.2: %v", tls.VersionName(main), err)
		}
		back.Close()
		b.Close()
		<-ran
	}
}
