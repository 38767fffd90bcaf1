package certs

import (
	"crypto/tls"
	"fmt"
)

// # Why these configurations are safe
//
// crypto/tls takes the authorities from fields that are fixed once a configuration is in
// use. So that they can be replaced, its own check of the peer's certificate is turned
// off (InsecureSkipVerify on the client, RequireAnyClientCert instead of
// RequireAndVerifyClientCert on the server), and VerifyConnection makes the same check
// with the authorities of the moment: validity, usage, name, and a chain to one of them,
// by crypto/x509. A client without a certificate is refused by crypto/tls itself, and
// that the peer has the certificate's key is verified by it in any case.
//
// VerifyConnection also runs when a session is resumed, with the certificate that the
// session was made with. An authority that is no longer in the file is no longer
// accepted there, either.

// ServerConfig returns a configuration for servers. Clients must have a certificate for
// clients, from one of the authorities, with one of these names if there are any.
//
// It is for h2grpc.ServerConfig.TLS. A plugin that uses the broker needs PeerConfig.
func (r *Reloader) ServerConfig(clients ...string) *tls.Config {
	cfg := r.base()
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &r.current().own, nil
	}
	cfg.ClientAuth = tls.RequireAnyClientCert // and VerifyConnection: see above
	cfg.VerifyConnection = r.verify(ForClient, clients)
	return cfg
}

// ClientConfig returns a configuration for clients of a server with that name, a DNS name
// or an IP address, which the server's certificate must have. It need not be the name
// that is dialled. A copy with another ServerName still looks for this name.
//
// It is for h2grpc.ClientConfig.TLS. A host that uses the broker needs PeerConfig.
func (r *Reloader) ClientConfig(server string) *tls.Config {
	cfg := r.base()
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &r.current().own, nil
	}
	cfg.ServerName = server
	cfg.InsecureSkipVerify = true // but VerifyConnection: see above
	cfg.VerifyConnection = r.verify(ForServer, []string{server})
	return cfg
}

// PeerConfig returns a configuration for both roles, in which the other side must have a
// certificate with that name: for host.Config.TLS with the plugin's name, and for
// plugin.ServeConfig.TLS with the host's. Their broker connects in both directions, so
// both certificates must be for both roles: see CA.Peer. Changes to the configuration
// apply to the role of the client alone.
func (r *Reloader) PeerConfig(peer string) *tls.Config {
	cfg, server := r.ClientConfig(peer), r.ServerConfig(peer)
	// Only servers use these. The check of clients' certificates is in server, which
	// takes the place of cfg in each handshake.
	cfg.GetCertificate, cfg.ClientAuth = server.GetCertificate, server.ClientAuth
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return server, nil }
	return cfg
}

// base returns what all configurations have in common.
func (r *Reloader) base() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2"},
		// Records that grow slowly help browsers render early. Here they would only split
		// messages.
		DynamicRecordSizingDisabled: true,
	}
}

// verify returns the check of the peer's certificate.
func (r *Reloader) verify(usage Usage, names []string) func(tls.ConnectionState) error {
	want := Want{Usage: usage, Names: append([]string(nil), names...)}
	return func(cs tls.ConnectionState) error {
		s := r.current()
		want := want
		want.CAs = s.cas
		if err := check(cs.PeerCertificates, want, s.pool); err != nil {
			return fmt.Errorf("certs: the other side's certificate: %w", err)
		}
		return nil
	}
}
