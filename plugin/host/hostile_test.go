package host_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/wire"
)

// hostiles are malicious plugins and other programs, and their victims.
var hostiles = map[string]func(){
	"attacker":             playAttacker,
	"lender":               playLender,
	"floods-handshake":     func() { pour(os.Stdout); linger() },
	"floods-stderr":        floodStderr,
	"floods-stdout":        floodStdout,
	"floods-stdio":         floodStdio,
	"floods-announcements": floodAnnouncements,
	"log-bombs":            logBombs,
	"listens-as-another":   listensAsAnother,
	"host-without-memfd":   hostWithoutMemfd,
	"names-its-program":    namesItsProgram,
	// A plugin that makes its host connect to somebody else.
	"points-elsewhere": printing(func() string {
		cert := ""
		if os.Getenv(wire.EnvClientCert) != "" {
			cert = ownCert()
		}
		return line(1, 1, os.Getenv(networkEnv), os.Getenv(addressEnv), "grpc", cert) + "\n"
	}),
	"passes-for-another": playImpostor,
	"nasty-words":        playNastyWords,
	"nasty-certificate":  playNastyCertificate,
	"nasty-stdout": printing(func() string {
		return line(1, 1, "unix", "/none\u009b2J\u202e", "grpc", ownCert()) + "\n" + nasty + "\n"
	}),
	"older-tls":          playOlder,
	"listens-everywhere": playEverywhere,
	"lends-elsewhere": func() {
		main, socket := true, socketPath() // plugin.Serve takes the directory out of the environment
		plugin.Serve(&plugin.ServeConfig{
			Handshake: shake,
			Plugins:   plugin.Set{"echo": lender{echo{"1 "}}},
			Sockets: plugin.Sockets{Listen: func() (net.Listener, error) {
				path := socket
				if !main {
					path += "b"
				}
				l, _, _ := listen(path)
				if main {
					main = false
					return l, nil
				}
				return elsewhere{l, filepath.Dir(socket)}, nil
			}},
		})
	},
}

// addressEnv is the address that some hostile plugins announce, and networkEnv
// its network.
const (
	networkEnv = "TN_NETWORK"
	addressEnv = "TN_ADDRESS"
)

// elsewhere is a listener that lies about its address.
type elsewhere struct {
	net.Listener
	dir string
}

func (e elsewhere) Addr() net.Addr {
	switch {
	case os.Getenv(addressEnv) == "host": // where the host listens first
		return &net.UnixAddr{Net: "unix", Name: filepath.Join(filepath.Dir(e.dir), "h", "host1")}
	case os.Getenv(networkEnv) == "unix":
		return &net.UnixAddr{Net: "unix", Name: os.Getenv(addressEnv)}
	}
	return said(os.Getenv(addressEnv))
}

// said is a TCP address as it was announced.
type said string

func (said) Network() string  { return "tcp" }
func (s said) String() string { return string(s) }

// bystander listens for connections and is no plugin. It returns what each has sent,
// until it is closed.
func bystander(t *testing.T, network, address string) (l net.Listener, sent <-chan string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	texts := make(chan string, 16)
	go func() {
		defer close(texts)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "220 mail.example\r\n")
			first := make([]byte, 1<<10)
			n, _ := conn.Read(first)
			conn.Close()
			texts <- string(first[:n])
		}
	}()
	return l, texts
}

// outwardAddr returns an address of this machine that is not on its loopback interface.
func outwardAddr(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() && ip.IP.To4() != nil {
			return ip.IP.String()
		}
	}
	t.Skip("this machine has no other network than the loopback interface")
	return ""
}

// skipWithoutCreds skips tests of what only the peer's credentials can refuse, and
// tests that need unix sockets where there are none.
func skipWithoutCreds(t *testing.T, network string, plaintext bool) {
	t.Helper()
	if network == "unix" && !socktest.HasUnix() {
		t.Skip(socktest.NoUnix)
	}
	if network == "unix" && plaintext && runtime.GOOS != "linux" {
		t.Skip("this system does not say who is at the other end of a socket")
	}
}

// A plugin announces an address that is not its own. Its host sends nothing there
// except the beginning of TLS, and without TLS nothing at all; it does not even connect
// to other machines.
func TestPluginsThatPointElsewhere(t *testing.T) {
	for name, tc := range map[string]struct {
		network   string
		address   func(t *testing.T) string
		plaintext bool
		calls     int
		hint      string
	}{
		"another's socket":            {"unix", func(t *testing.T) string { return filepath.Join(t.TempDir(), "s") }, false, 1, "TLS"},
		"another's socket, plaintext": {"unix", func(t *testing.T) string { return filepath.Join(t.TempDir(), "s") }, true, 1, "this host did not start needs AutoMTLS"},
		"TCP on loopback":             {"tcp", func(t *testing.T) string { return "127.0.0.1:0" }, false, 1, "TLS"},
		"TCP":                         {"tcp", func(t *testing.T) string { return outwardAddr(t) + ":0" }, false, 0, "Sockets.RemoteTCP"},
		"TCP, plaintext":              {"tcp", func(t *testing.T) string { return outwardAddr(t) + ":0" }, true, 0, "Sockets.RemoteTCP"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			skipWithoutCreds(t, tc.network, tc.plaintext)
			l, sent := bystander(t, tc.network, tc.address(t))
			cfg := fakeConfig(t, "points-elsewhere")
			cfg.InsecurePlaintext = tc.plaintext
			cfg.Env = append(cfg.Env, networkEnv+"="+tc.network, addressEnv+"="+l.Addr().String())
			failed := failing(t, cfg)
			if failed.Stage != host.StageConnect || !strings.Contains(failed.Hint, tc.hint) {
				t.Errorf("got %v", failed)
			}
			if tc.network == "unix" && !exists(l.Addr().String()) {
				t.Error("the other's socket is gone")
			}
			l.Close()
			calls := 0
			for text := range sent {
				calls++
				// A record of TLS, with a ClientHello: RFC 8446, section 5.1.
				if tc.plaintext && text != "" || !tc.plaintext && !strings.HasPrefix(text, "\x16\x03") {
					t.Errorf("the host sent %q", text)
				}
			}
			if calls != tc.calls {
				t.Errorf("the host called %d times, not %d", calls, tc.calls)
			}
		})
	}
}

// The same by the broker.
func TestPluginsThatLendElsewhere(t *testing.T) {
	for name, tc := range map[string]struct {
		network, address string
		plaintext        bool
	}{
		"another's socket":            {"unix", "", false},
		"another's socket, plaintext": {"unix", "", true},
		"TCP":                         {"tcp", "192.0.2.1:80", false}, // of nobody: RFC 5737
		"TCP, plaintext":              {"tcp", "192.0.2.1:80", true},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			skipWithoutCreds(t, tc.network, tc.plaintext)
			if tc.network == "unix" {
				tc.address = filepath.Join(t.TempDir(), "s")
			}
			sent := make(<-chan string)
			if tc.network == "unix" {
				var l net.Listener
				l, sent = bystander(t, tc.network, tc.address)
				defer func() {
					l.Close()
					for text := range sent {
						if tc.plaintext && text != "" || !tc.plaintext && !strings.HasPrefix(text, "\x16\x03") {
							t.Errorf("the host sent %q", text)
						}
					}
				}()
			}
			cfg := withEcho(t, "lends-elsewhere")
			cfg.InsecurePlaintext = tc.plaintext
			cfg.Env = append(cfg.Env, networkEnv+"="+tc.network, addressEnv+"="+tc.address)
			c := start(t, cfg)
			var lent words
			if err := c.Conn().Invoke(t.Context(), lenderMethod, new(words), &lent); err != nil {
				t.Fatal(err)
			}
			cc, err := c.Broker().Dial(t.Context(), idIn(t, lent.Service))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), ample)
			defer cancel()
			if err := cc.Invoke(ctx, echoMethod, new(words), new(words)); err == nil || ctx.Err() != nil {
				t.Errorf("calling: %v", err)
			}
			cc.Close()
			usesBroker(t, c)
			closes(t, c)
		})
	}
}

// lender is an echo that also offers itself on a brokered socket of the plugin.
type lender struct{ echo }

const lenderMethod = "/test.Lender/Lend"

func (l lender) GRPCServer(b *plugin.Broker, s *h2grpc.Server) error {
	s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Lender", Methods: []h2grpc.MethodDesc{
		method("Lend", func(context.Context, string) (string, error) {
			id, err := b.Serve(context.Background(), func(s *h2grpc.Server) error {
				return l.echo.GRPCServer(b, s)
			})
			return fmt.Sprint(id), err
		}),
	}}, l)
	return l.echo.GRPCServer(b, s)
}

func playLender() {
	plugin.Serve(&plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": lender{echo{"1 "}}}})
}

func idIn(t *testing.T, text string) (n uint32) {
	t.Helper()
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}
