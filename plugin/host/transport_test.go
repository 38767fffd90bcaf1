package host_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

func listenLoopback6() (net.Listener, error) { return net.Listen("tcp", "[::1]:0") }

// connectedTo returns the address at which a plugin of package plugin serves.
func connectedTo(t *testing.T, c *host.Client) net.Addr {
	t.Helper()
	var p peer.Peer
	if err := c.Conn().Invoke(t.Context(), echoMethod, new(words), new(words), h2grpc.Peer(&p)); err != nil {
		t.Fatal(err)
	}
	return p.Addr
}

// withEcho returns the configuration of a plugin of package plugin.
func withEcho(t *testing.T, name string) *host.Config {
	t.Helper()
	cfg := fakeConfig(t, name)
	cfg.Plugins = plugin.Set{"echo": echo{}}
	return cfg
}

func TestOddHandshakes(t *testing.T) {
	noLeaks(t)
	for name, plaintext := range map[string]bool{"five-fields": true, "padded": false} {
		cfg := fakeConfig(t, name)
		cfg.InsecurePlaintext = plaintext
		c := start(t, cfg)
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		closes(t, c)
	}
}

// freePort returns a port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestTCP(t *testing.T) {
	noLeaks(t)
	cfg := withEcho(t, "real-tcp")
	c := start(t, cfg)
	_, text, err := net.SplitHostPort(connectedTo(t, c).String())
	if port, _ := strconv.Atoi(text); err != nil || port < 10000 || port > 25000 {
		t.Errorf("the plugin is at port %s, %v; want one from 10000 to 25000", text, err)
	}
	usesBroker(t, c)
	closes(t, c)

	cfg.Sockets.MinPort = freePort(t)
	cfg.Sockets.MaxPort = cfg.Sockets.MinPort
	c = start(t, cfg)
	if got, want := connectedTo(t, c).String(), "127.0.0.1:"+strconv.Itoa(cfg.Sockets.MinPort); got != want {
		t.Errorf("the plugin is at %s, want %s", got, want)
	}
	defer closes(t, c)
	// The port is taken now.
	if err := failing(t, cfg); !strings.Contains(string(err.Stderr), "no free TCP port from "+strconv.Itoa(cfg.Sockets.MinPort)) {
		t.Errorf("got %v", err)
	}
}

func TestIPv6(t *testing.T) {
	l, err := listenLoopback6()
	if err != nil {
		t.Skipf("this system has no IPv6: %v", err)
	}
	l.Close()
	noLeaks(t)
	cfg := withEcho(t, "real-tcp6")
	cfg.Sockets.Listen = listenLoopback6
	c := start(t, cfg)
	if got := connectedTo(t, c).String(); !strings.HasPrefix(got, "[::1]:") {
		t.Errorf("the plugin is at %s, want [::1]", got)
	}
	usesBroker(t, c)
	closes(t, c)
}

// journal records what was dialled and where somebody listened.
type journal struct {
	mu      sync.Mutex
	entries []string // guarded by mu
}

func (j *journal) add(entry string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entry)
}

// TestOwnTransport has an application that dials and listens itself.
func TestOwnTransport(t *testing.T) {
	noLeaks(t)
	var j journal
	own, where := filepath.Join(shortDir(t), "own"), "unix plugin"
	if runtime.GOOS == "windows" {
		where = "tcp 127.0."
	}
	cfg := withEcho(t, "real")
	cfg.Sockets.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		j.add("dial " + network + " " + filepath.Base(address)[:len("plugin")])
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	cfg.Sockets.Listen = func() (net.Listener, error) {
		j.add("listen")
		l, _, _ := listen(own)
		return l, nil
	}
	c := start(t, cfg)
	usesBroker(t, c)
	// The plugin's brokered servers are dialled in the same way.
	client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
	if err != nil {
		t.Fatal(err)
	}
	id, err := client.call(t.Context(), lendMethod, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := lent(t, client, id); got != "lent x" {
		t.Errorf("the plugin's brokered server says %q", got)
	}
	closes(t, c)
	if got, want := strings.Join(j.entries, ", "), "dial "+where+", listen, dial "+where; got != want {
		t.Errorf("the application was asked to %s; want %s", got, want)
	}
	if exists(own) {
		t.Error("the listener's socket is left")
	}
}

const lendMethod = "/test.Echo/Lend"

// lent calls the server that a plugin offers under an id.
func lent(t *testing.T, client *echoClient, id string) string {
	t.Helper()
	var n uint32
	if _, err := fmt.Sscan(id, &n); err != nil {
		t.Fatal(err)
	}
	cc, err := client.broker.Dial(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	var reply words
	if err := cc.Invoke(t.Context(), "/test.Lent/Say", &words{Service: "x"}, &reply); err != nil {
		t.Fatal(err)
	}
	return reply.Service
}

// TestOwnTLSCarriesTheBroker uses one configuration for everything on each side, as
// client and as server.
func TestOwnTLSCarriesTheBroker(t *testing.T) {
	noLeaks(t)
	for _, multiplex := range []bool{false, true} {
		cfg, pool, own := ownTLS(t, "real-mutual-tls")
		cfg.Plugins = plugin.Set{"echo": echo{}}
		cfg.Multiplex = multiplex
		cfg.TLS = mutual(pool, own.Certificate())
		c := start(t, cfg)
		usesBroker(t, c)
		client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		id, err := client.call(t.Context(), lendMethod, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := lent(t, client, id); got != "lent x" {
			t.Errorf("the plugin's brokered server says %q", got)
		}
		closes(t, c)
	}
}

// mutual is a configuration for both ends of a connection.
func mutual(pool *x509.CertPool, own tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{own},
		RootCAs:      pool,
		ServerName:   "localhost",
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}
}
