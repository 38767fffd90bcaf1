package cases

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Setup is how a host and its plugin are set up, besides the mode. The zero
// value is what most cases use.
type Setup struct {
	// HostVersions and PluginVersions are the versions that each side has a set
	// for. Nil means ProtocolVersion, given as the one version of the handshake.
	HostVersions, PluginVersions []int
	// TCP has the plugin listen on TCP, if its library can be told to.
	TCP bool
	// TLS names a directory with a certificate and its key, as WriteCertificate
	// makes them, for each side to show and to trust. It takes AutoMTLS's place.
	TLS string
	// PluginTLS is TLS for the plugin, if that is to be another.
	PluginTLS string
	// Group is whom the sockets are to belong to, by name or number.
	Group string
	// BeforeConnect, if there is any, is called when the plugin has printed where
	// it listens and the host has not connected yet.
	BeforeConnect func()
}

// Args returns the arguments that tell a rich plugin how it is set up.
func (s Setup) Args() []string {
	var args []string
	if len(s.PluginVersions) > 0 {
		var list []string
		for _, v := range s.PluginVersions {
			list = append(list, strconv.Itoa(v))
		}
		args = append(args, "-versions="+strings.Join(list, ","))
	}
	if s.TCP {
		args = append(args, "-tcp")
	}
	if dir := cmp.Or(s.PluginTLS, s.TLS); dir != "" {
		args = append(args, "-tls="+dir)
	}
	return args
}

// ParseSetup reads what Args returns. The rest is the host's.
func ParseSetup(args []string) (s Setup, err error) {
	flags := flag.NewFlagSet("plugin", flag.ContinueOnError)
	versions := flags.String("versions", "", "the versions to serve")
	flags.BoolVar(&s.TCP, "tcp", false, "listen on TCP")
	flags.StringVar(&s.TLS, "tls", "", "the directory with the certificate")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if *versions == "" {
		return s, nil
	}
	for text := range strings.SplitSeq(*versions, ",") {
		v, err := strconv.Atoi(text)
		if err != nil {
			return s, err
		}
		s.PluginVersions = append(s.PluginVersions, v)
	}
	return s, nil
}

// The files of a directory with a certificate.
const (
	certificateFile = "certificate.pem"
	keyFile         = "key.pem"
)

// certificateLife is how long a certificate of WriteCertificate is valid.
const certificateLife = 24 * time.Hour

// WriteCertificate makes a certificate that is its own root, for both sides.
func WriteCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "the application's own"},
		DNSNames:              []string{"localhost"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(certificateLife),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		certificateFile: {Type: "CERTIFICATE", Bytes: certificate},
		keyFile:         {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// TLSConfig returns the configuration of either side. It is nil if the setup
// has no TLS of its own.
func (s Setup) TLSConfig() (*tls.Config, error) {
	if s.TLS == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(filepath.Join(s.TLS, certificateFile), filepath.Join(s.TLS, keyFile))
	if err != nil {
		return nil, fmt.Errorf("the application's own certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		RootCAs:      roots,
		ClientCAs:    roots,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ServerName:   "localhost",
		MinVersion:   tls.VersionTLS12,
	}, nil
}
