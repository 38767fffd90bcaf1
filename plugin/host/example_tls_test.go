package host_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/testdata/examples/kvpb"
	"github.com/tenonrpc/tenon/testdata/examples/kvshared"
)

// An application that distributes certificates of its own gives both sides a
// tls.Config, and AutoMTLS is not used. Each must ask for the other's certificate.
func ExampleConfig_tls() {
	dir, err := os.MkdirTemp("", "kv")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove(dir)
	if err := issue(dir); err != nil {
		fmt.Println(err)
		return
	}
	roots, own, err := certificates(dir)
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	config := &host.Config{
		Handshake: kvshared.Handshake,
		Cmd:       kvPlugin("kv-own-tls"),
		Env:       []string{"KV_CERTIFICATES=" + dir},
		TLS: &tls.Config{
			MinVersion:   tls.VersionTLS13,
			ServerName:   "kv.example.org",
			RootCAs:      roots,
			Certificates: []tls.Certificate{own},
		},
		Logger: quiet,
	}
	client, err := host.Start(ctx, config)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	var p peer.Peer
	if _, err := kvpb.NewKVClient(client.Conn()).Put(ctx, &kvpb.Entry{Key: "hello"}, h2grpc.Peer(&p)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.TLS.PeerCertificates[0].Subject)

	config.TLS.Certificates = nil
	_, err = host.Start(ctx, config)
	fmt.Println("refused without a certificate:", err != nil)
	// Output:
	// CN=kv.example.org
	// refused without a certificate: true
}

// serverTLS is for the plugin's plugin.ServeConfig.TLS.
func serverTLS(dir string) (*tls.Config, error) {
	roots, own, err := certificates(dir)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    roots,
		Certificates: []tls.Certificate{own},
	}, err
}

// certificates reads what issue has written. Host and plugin have the same here;
// an application has one certificate for each of its programs, and an authority.
func certificates(dir string) (*x509.CertPool, tls.Certificate, error) {
	roots := x509.NewCertPool()
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err == nil {
		roots.AddCert(own.Leaf)
	}
	return roots, own, err
}

// issue writes a certificate and its key.
func issue(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "kv.example.org"},
		DNSNames:              []string{"kv.example.org"},
		NotBefore:             time.Now().Add(-time.Minute), // clocks differ
		NotAfter:              time.Now().Add(time.Hour),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
	)
}
