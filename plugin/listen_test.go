package plugin_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/wire"
)

// named is a listener with another address.
type named struct {
	net.Listener
	addr net.Addr
}

func (n named) Addr() net.Addr { return n.addr }

func TestListen(t *testing.T) {
	own, err := socktest.Listen(socketDir(t))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, &plugin.ServeConfig{Plugins: echoSet(), Sockets: plugin.Sockets{Listen: func() (net.Listener, error) { return own, nil }}})
	if s.hs.Network != socktest.Network() || s.hs.Address != own.Addr().String() {
		t.Errorf("handshake %q, want the listener's address %s", s.line, own.Addr())
	}
	wantEcho(t, s.dial(nil), "x", "x")
}

func TestListenMistakes(t *testing.T) {
	at := func(addr net.Addr) func() (net.Listener, error) {
		return func() (net.Listener, error) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			return named{l, addr}, err
		}
	}
	refuse := errors.New("no more descriptors")
	for _, tt := range []struct {
		name   string
		listen func() (net.Listener, error)
		want   string
	}{
		{"it fails", func() (net.Listener, error) { return nil, refuse }, "ServeConfig.Sockets.Listen: no more descriptors"},
		{"it returns nothing", func() (net.Listener, error) { return nil, nil }, "neither a listener nor an error"},
		{"another network", at(&net.UnixAddr{Net: "unixpacket", Name: "/s"}), `network "unixpacket"`},
		{"a bar in the path", at(&net.UnixAddr{Net: "unix", Name: "/a|grpc||b"}), "the handshake cannot describe"},
		{"another line", at(&net.UnixAddr{Net: "unix", Name: "/a\n1|1|unix|/b|grpc|"}), "the handshake cannot describe"},
		{"no address", at(&net.UnixAddr{Net: "unix"}), "the handshake cannot describe"},
	} {
		err := plugin.ServeContext(t.Context(), &plugin.ServeConfig{
			Handshake: shake, Plugins: echoSet(), Sockets: plugin.Sockets{Listen: tt.listen},
			Process: &plugin.Process{Env: []string{cookie}},
		})
		t.Log(tt.name)
		wantText(t, err, tt.want)
	}
	err := plugin.ServeContext(t.Context(), &plugin.ServeConfig{
		Handshake: shake, Plugins: echoSet(), Sockets: plugin.Sockets{Network: "tcp", Listen: at(nil)}, Process: &plugin.Process{Env: []string{cookie}},
	})
	wantText(t, err, "Sockets.Network and Listen exclude each other")
}

// TestHostCannotRerootItsPlugin has a plugin whose own configuration lists the
// certificates that it trusts. The certificate that a host sends adds none.
func TestHostCannotRerootItsPlugin(t *testing.T) {
	identity := func() (*automtls.Identity, *x509.CertPool) {
		id, err := automtls.New(automtls.P256)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(id.PEM()))
		return id, pool
	}
	server, serverPool := identity()
	trusted, clientPool := identity()
	sent, _ := identity()
	s := serve(t, &plugin.ServeConfig{Plugins: echoSet(), TLS: &tls.Config{
		Certificates: []tls.Certificate{server.Certificate()},
		ClientCAs:    clientPool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}}, wire.EnvClientCert+"="+sent.PEM())
	as := func(id *automtls.Identity) *tls.Config {
		return &tls.Config{RootCAs: serverPool, ServerName: "localhost", Certificates: []tls.Certificate{id.Certificate()}}
	}
	wantEcho(t, s.dial(as(trusted)), "x", "x")
	if _, err := echo(deadline(t), s.dial(as(sent)), "x"); err == nil {
		t.Error("the plugin trusts the certificate that its host has sent, against its own configuration")
	}
}
