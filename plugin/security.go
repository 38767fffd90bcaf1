package plugin

import (
	"crypto/tls"
	"fmt"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/wire"
)

// security is how a plugin's connections are secured, the main one and the brokered ones
// alike.
type security struct {
	server, client *tls.Config // nil: plaintext
	certificate    []byte      // DER of our certificate for the handshake, under AutoMTLS

	floor automtls.Floor // the minimum for brokered connections: the main connection's TLS version
}

// newSecurity chooses the application's own TLS, AutoMTLS if the host has sent its
// certificate, or else plaintext, which only a host can choose.
func newSecurity(c *ServeConfig, env wire.Env) (*security, error) {
	if c.TLS != nil {
		return &security{server: c.TLS, client: c.TLS}, nil
	}
	if env.ClientCert == "" {
		return &security{}, nil
	}
	// A certificate that cannot be pinned ends the plugin here. Otherwise it would show
	// much later, as a failed TLS handshake.
	host, err := automtls.ParsePEM(env.ClientCert)
	if err != nil {
		return nil, fmt.Errorf("plugin: the host's certificate in %s: %w", wire.EnvClientCert, err)
	}
	if err := automtls.CheckValidity(host); err != nil {
		c.Logger.Warn("the host's certificate is used despite its dates", "err", err)
	}
	id, err := automtls.New(automtls.CurveOf(host))
	if err != nil {
		return nil, fmt.Errorf("plugin: making a certificate: %w", err)
	}
	s := &security{certificate: id.DER()}
	s.server, s.client = automtls.ServerConfig(id, host, &s.floor), automtls.ClientConfig(id, host, &s.floor)
	if env.Lifeline != "" { // the host is built with this module, and so supports TLS 1.3
		s.server.MinVersion, s.client.MinVersion = tls.VersionTLS13, tls.VersionTLS13
	}
	return s, nil
}
