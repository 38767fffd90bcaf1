package host_test

import (
	"context"
	"errors"
	"net"
	"net/http/httptrace"
	"os"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
)

// watchingNames returns a context that notes whether a name is looked up, even one that
// needs no server.
func watchingNames(t *testing.T) (ctx context.Context, asked *bool) {
	asked = new(bool)
	return httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { *asked = true },
	}), asked
}

// nameServer calls asked instead of querying a name server.
func nameServer(t *testing.T, asked func(network, address string)) {
	t.Helper()
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, address string) (net.Conn, error) {
		asked(network, address)
		return nil, errors.New("there is no name server")
	}}
}

// noNameServer fails the test if a name server is queried.
func noNameServer(t *testing.T) {
	t.Helper()
	nameServer(t, func(network, address string) { t.Errorf("the name server at %s %s is asked", network, address) })
}

// listenOn returns the port of a listener that ends with the test, and skips
// what this system does not have.
func listenOn(t *testing.T, network, address string) (port string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skipf("this system cannot listen on %s: %v", address, err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestAddressesThatAreDialled(t *testing.T) {
	noNameServer(t)
	for listening, tc := range map[string]struct {
		network string
		to      map[string]string // announced hosts, and where each leads
	}{
		"127.0.0.1:0": {"tcp4", map[string]string{
			"127.0.0.1": "127.0.0.1", "[::ffff:127.0.0.1]": "127.0.0.1", "localhost": "127.0.0.1",
			"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "127.0.0.1", "[::ffff:0.0.0.0]": "127.0.0.1",
		}},
		"[::1]:0": {"tcp6", map[string]string{"[::1]": "::1", "localhost": "::1", "": "::1", "[::]": "::1"}},
		"[::]:0":  {"tcp", map[string]string{"[::]": "127.0.0.1", "": "127.0.0.1", "[::1]": "::1"}},
	} {
		t.Run(listening, func(t *testing.T) {
			port := listenOn(t, tc.network, listening)
			for name, want := range tc.to {
				for _, remote := range []bool{false, true} {
					ctx, asked := watchingNames(t)
					conn, err := host.DialPlugin(ctx, remote, "tcp", name+":"+port)
					if err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					if got := conn.RemoteAddr().(*net.TCPAddr).IP.String(); got != want || *asked {
						t.Errorf("%s is dialled at %s, want %s; names looked up: %v", name, got, want, *asked)
					}
					conn.Close()
				}
			}
		})
	}
}

// An address that is refused is refused before anything is sent, to a name server or to
// anyone, whatever the name may mean.
func TestAddressesThatAreRefused(t *testing.T) {
	noNameServer(t)
	port := listenOn(t, "tcp", "127.0.0.1:0")
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("secret.", 300) + "example"
	for _, name := range []string{
		own, long, "localhost.localdomain", "ip6-localhost", "LOCALHOST", "localhost.", "127.1", "0177.0.0.1", "2130706433",
		"192.0.2.1", "[2001:db8::1]", "[fe80::1%lo]", "[::ffff:192.0.2.1]", "255.255.255.255", "[::2]", " 127.0.0.1", "\x1b31m",
	} {
		ctx, asked := watchingNames(t)
		conn, err := host.DialPlugin(ctx, false, "tcp", name+":"+port)
		if err == nil {
			conn.Close()
		}
		switch {
		case !errors.Is(err, host.ErrRemote) || *asked:
			t.Errorf("%.80q: %v; names looked up: %v", name, err, *asked)
		case len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\x1b"):
			t.Errorf("%.80q: the error is %q", name, err)
		}
	}
	for _, address := range []string{
		"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+80", "127.0.0.1:http",
		"::1:" + port, "[::1]" + port, "127.0.0.1:" + port + ":" + port, "\x1b[31m",
	} {
		for _, remote := range []bool{false, true} {
			conn, err := host.DialPlugin(t.Context(), remote, "tcp", address)
			if err == nil {
				conn.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "not HOST:PORT") || strings.ContainsAny(err.Error(), "\x1b") {
				t.Errorf("%q: %v", address, err)
			}
		}
	}
}

// With Sockets.RemoteTCP names mean what they mean elsewhere.
func TestNamesWithRemoteTCP(t *testing.T) {
	nameServer(t, func(string, string) {})
	ctx, asked := watchingNames(t)
	conn, err := host.DialPlugin(ctx, true, "tcp", "plugin.example:443")
	if err == nil {
		conn.Close()
	}
	if !*asked {
		t.Errorf("the name is not looked up: %v", err)
	}
}

// A plugin announces a name. Its host does not look it up, and does not connect to it
// even if it means this machine.
func TestPluginsThatAnnounceNames(t *testing.T) {
	noNameServer(t)
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{own, "localhost.localdomain", "c2VjcmV0.plugin.example"} {
		noLeaks(t)
		l, sent := bystander(t, "tcp", ":0")
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		cfg := fakeConfig(t, "points-elsewhere")
		cfg.Env = append(cfg.Env, networkEnv+"=tcp", addressEnv+"="+name+":"+port)
		if failed := failing(t, cfg); failed.Stage != host.StageConnect || !errors.Is(failed, host.ErrRemote) || !strings.Contains(failed.Hint, "Sockets.RemoteTCP") {
			t.Errorf("%s: got %v", name, failed)
		}
		// The same by the broker.
		cfg = withEcho(t, "lends-elsewhere")
		cfg.Env = append(cfg.Env, networkEnv+"=tcp", addressEnv+"="+name+":"+port)
		c := start(t, cfg)
		var lent words
		if err := c.Conn().Invoke(t.Context(), lenderMethod, new(words), &lent); err != nil {
			t.Fatal(err)
		}
		cc, err := c.Broker().Dial(t.Context(), idIn(t, lent.Service))
		if err != nil {
			t.Fatal(err)
		}
		if err := cc.Invoke(t.Context(), echoMethod, new(words), new(words)); err == nil || !strings.Contains(err.Error(), host.ErrRemote.Error()) {
			t.Errorf("%s: calling what was lent there: %v", name, err)
		}
		cc.Close()
		closes(t, c)
		l.Close()
		for text := range sent {
			t.Errorf("%s: the host sent %q", name, text)
		}
	}
}

// everywhere returns a listener on all interfaces, whose address has the host that the
// test chose.
func everywhere() (net.Listener, error) {
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return saying{l, said(os.Getenv(addressEnv) + ":" + port)}, err
}

// saying is a listener that reports any address as its own.
type saying struct {
	net.Listener
	said said
}

func (s saying) Addr() net.Addr { return s.said }

func playEverywhere() {
	plugin.Serve(&plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": lender{echo{"1 "}}}, Sockets: plugin.Sockets{Listen: everywhere}})
}

// A plugin listens on all interfaces and announces its listeners' addresses, also by
// the broker. It is reached on this machine's own interface.
func TestPluginsThatListenEverywhere(t *testing.T) {
	listenOn(t, "tcp", "[::]:0")
	noNameServer(t)
	for _, name := range []string{"[::]", "", "0.0.0.0", "localhost", "127.0.0.1", "[::1]"} {
		noLeaks(t)
		cfg := withEcho(t, "listens-everywhere")
		cfg.Env = append(cfg.Env, addressEnv+"="+name)
		c := start(t, cfg)
		if to := connectedTo(t, c).(*net.TCPAddr); !to.IP.IsLoopback() {
			t.Errorf("%q is reached at %v", name, to)
		}
		var lent, answer words
		if err := c.Conn().Invoke(t.Context(), lenderMethod, new(words), &lent); err != nil {
			t.Fatal(err)
		}
		cc, err := c.Broker().Dial(t.Context(), idIn(t, lent.Service))
		if err != nil {
			t.Fatal(err)
		}
		if err := cc.Invoke(t.Context(), echoMethod, &words{Service: "x"}, &answer); err != nil || answer.Service != "1 x" {
			t.Errorf("%q: what is lent answers %q, %v", name, answer.Service, err)
		}
		cc.Close()
		closes(t, c)
	}
}
