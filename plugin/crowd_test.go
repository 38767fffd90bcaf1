package plugin_test

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/wire"
)

// Somebody opens more connections to a plugin's socket than it allows, before its host
// connects, and keeps them. The host can connect all the same, and the plugin logs only a
// few lines about them. All of them share this process, so that its descriptors are no
// measure.
func TestCrowdBeforeTheHost(t *testing.T) {
	for _, network := range slices.Compact([]string{socktest.Network(), "tcp"}) {
		t.Run(network, func(t *testing.T) {
			host, err := automtls.New(automtls.P256)
			if err != nil {
				t.Fatal(err)
			}
			s := serve(t, &plugin.ServeConfig{Plugins: echoSet(), Sockets: plugin.Sockets{Network: network}}, wire.EnvClientCert+"="+host.PEM(), wire.EnvMinPort+"=20000", wire.EnvMaxPort+"=24000")
			const size = 800
			for i := range size {
				conn, err := net.Dial(network, s.hs.Address)
				if err != nil {
					t.Fatalf("connection %d: %v", i, err)
				}
				defer conn.Close()
			}
			cc := s.dial(automtls.ClientConfig(host, s.hs.Certificate, nil))
			wantEcho(t, cc, "x", "x")
			conn, err := net.Dial(network, s.hs.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n")
			io.Copy(io.Discard, conn) // until it is closed
			wantEcho(t, cc, "y", "y")
			s.stop()
			if n := strings.Count(s.stderr.String(), "a connection was closed during its handshake"); n == 0 || n > 11 {
				t.Errorf("%d lines: %s", n, s.stderr)
			}
		})
	}
}
