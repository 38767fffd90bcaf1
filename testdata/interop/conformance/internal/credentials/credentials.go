// Package credentials reads the certificates that the programs under test are
// given as files.
package credentials

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Server is the TLS configuration of a server with the certificate and key in
// two PEM files; nil, for plaintext, if cert is "".
func Server(cert, key string) (*tls.Config, error) {
	if cert == "" {
		return nil, nil
	}
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{own}}, nil
}

// Client is the TLS configuration of a client that trusts the certificates in a
// PEM file and wants the server to be called name; nil, for plaintext, if ca is
// "".
func Client(ca, name string) (*tls.Config, error) {
	if ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: name}
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", ca)
	}
	return cfg, nil
}
