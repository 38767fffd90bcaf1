package plugin

import (
	"crypto/tls"
	"fmt"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/wire"
)

// security is how a plugin's connections are secured, the main one and the
// brokered ones alike.
type security struct {
	server, client *tls.Config // nil: plaintext
	certificate    []byte      // DER of our certificate for the handshake, under AutoMTLS
}

// newSecurity chooses: the application's own TLS, AutoMTLS if the host sent its
// certificate, or else plaintext, which only a host can choose.
func newSecurity(own *tls.Config, clientCert string, log Logger) (*security, error) {
	if own != nil {
		return &security{server: own, client: own}, nil
	}
	if clientCert == "" {
		return &security{}, nil
	}
	// A certificate that cannot be pinned ends the plugin here. It would
	// otherwise come to light much later, as a failed TLS handshake.
	host, err := automtls.ParsePEM(clientCert)
	if err != nil {
		return nil, fmt.Errorf("plugin: the host's certificate in %s: %w", wire.EnvClientCert, err)
	}
	if err := automtls.CheckValidity(host); err != nil {
		log.Warn("the host's certificate is used all the same", "err", err)
	}
	id, err := automtls.New(automtls.CurveOf(host))
	if err != nil {
		return nil, fmt.Errorf("plugin: making a certificate: %w", err)
	}
	return &security{
		server:      automtls.ServerConfig(id, host),
		client:      automtls.ClientConfig(id, host),
		certificate: id.DER(),
	}, nil
}
