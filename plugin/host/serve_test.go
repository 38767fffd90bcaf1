package host_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/sloghclog"
)

// echo is the application of these tests, shared by host and plugin.
type echo struct{ version string }

// The echo's service, the same in both roles.
const (
	echoMethod = "/test.Echo/Echo"
	callMethod = "/test.Echo/CallBack"
)

func (e echo) GRPCServer(b *plugin.Broker, s *h2grpc.Server) error {
	s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Echo", Methods: []h2grpc.MethodDesc{
		method("Echo", func(_ context.Context, in string) (string, error) {
			fmt.Println("stdout:", in)
			fmt.Fprintln(os.Stderr, "stderr:", in)
			return e.version + in, nil
		}),
		// The answer is the id of a service of the plugin's.
		method("Lend", func(context.Context, string) (string, error) {
			id, err := b.Serve(context.Background(), func(s *h2grpc.Server) error {
				s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Lent", Methods: []h2grpc.MethodDesc{
					method("Say", func(_ context.Context, in string) (string, error) { return "lent " + in, nil }),
				}}, nil)
				return nil
			})
			return fmt.Sprint(id), err
		}),
		// The request is the id of a service of the host's.
		method("CallBack", func(ctx context.Context, in string) (string, error) {
			var id uint32
			if _, err := fmt.Sscan(in, &id); err != nil {
				return "", err
			}
			cc, err := b.Dial(ctx, id)
			if err != nil {
				return "", err
			}
			defer cc.Close()
			var reply words
			err = cc.Invoke(ctx, "/test.Host/Name", &words{Service: "who"}, &reply)
			return reply.Service, err
		}),
	}}, e)
	return nil
}

func (e echo) GRPCClient(_ context.Context, b *plugin.Broker, cc *h2grpc.ClientConn) (any, error) {
	return &echoClient{b, cc}, nil
}

// method describes a method whose messages are strings.
func method(name string, f func(context.Context, string) (string, error)) h2grpc.MethodDesc {
	return h2grpc.MethodDesc{
		MethodName: name,
		Handler: func(_ any, ctx context.Context, dec func(any) error, through h2grpc.UnaryServerInterceptor) (any, error) {
			var in words
			if err := dec(&in); err != nil {
				return nil, err
			}
			handler := func(ctx context.Context, _ any) (any, error) {
				out, err := f(ctx, in.Service)
				return &words{Service: out}, err
			}
			if through == nil {
				return handler(ctx, &in)
			}
			return through(ctx, &in, &h2grpc.UnaryServerInfo{}, handler)
		},
	}
}

type echoClient struct {
	broker *plugin.Broker
	cc     *h2grpc.ClientConn
}

func (c *echoClient) call(ctx context.Context, method, text string) (string, error) {
	var reply words
	err := c.cc.Invoke(ctx, method, &words{Service: text}, &reply)
	return reply.Service, err
}

// reals are plugins made with package plugin.
var reals = map[string]func() *plugin.ServeConfig{
	"real": func() *plugin.ServeConfig {
		return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": echo{"1 "}}}
	},
	"real-guarded": func() *plugin.ServeConfig {
		return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": echo{"1 "}}, Server: h2grpc.ServerConfig{
			UnaryInterceptors: []h2grpc.UnaryServerInterceptor{func(context.Context, any, *h2grpc.UnaryServerInfo, h2grpc.UnaryHandler) (any, error) {
				return nil, errGuarded
			}},
			StreamInterceptors: []h2grpc.StreamServerInterceptor{func(any, h2grpc.ServerStream, *h2grpc.StreamServerInfo, h2grpc.StreamHandler) error {
				return errGuarded
			}},
		}}
	},
	"real-versions": func() *plugin.ServeConfig {
		return &plugin.ServeConfig{Handshake: shake, Versions: map[int]plugin.Set{
			2: {"echo": echo{"2 "}}, 3: {"echo": echo{"3 "}}, 4: {"echo": echo{"4 "}},
		}}
	},
	"real-other-cookie": func() *plugin.ServeConfig {
		other := shake
		other.MagicCookieValue = "other"
		return &plugin.ServeConfig{Handshake: other, Plugins: plugin.Set{"echo": echo{}}}
	},
	"real-debugged": func() *plugin.ServeConfig {
		return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": echo{"1 "}}, Test: &plugin.TestMode{Name: "acme/echo"}}
	},
	"real-chatty": func() *plugin.ServeConfig {
		cfg := chattyPlugin()
		go cfg.Plugins["echo"].(chatty).print()
		return cfg
	},
	"real-stages": stagesConfig,
	"real-mute": func() *plugin.ServeConfig {
		stderr := os.Stderr
		return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": echo{}}, TLS: &tls.Config{
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				fmt.Fprintln(stderr, "accepted")
				linger()
				return nil, nil
			},
		}}
	},
	"real-stuck": func() *plugin.ServeConfig {
		stderr := os.Stderr
		return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"stuck": plugin.ServeOnly(func(*plugin.Broker, *h2grpc.Server) error {
			fmt.Fprintln(stderr, "registering")
			linger()
			return nil
		})}}
	},
	"real-tcp": func() *plugin.ServeConfig {
		return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": echo{"1 "}}, Sockets: plugin.Sockets{Network: "tcp"}}
	},
	"real-tcp6": func() *plugin.ServeConfig {
		return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": echo{"1 "}}, Sockets: plugin.Sockets{Listen: listenLoopback6}}
	},
	"real-mutual-tls": func() *plugin.ServeConfig {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(os.Getenv("TN_CERT")))
		return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": echo{"1 "}}, TLS: mutual(pool, givenCert())}
	},
	"real-slog": func() *plugin.ServeConfig {
		log := slog.New(sloghclog.NewHandler(os.Stderr, &sloghclog.Options{Module: "kv"}))
		log.With("id", 7).WithGroup("req").Warn("slow", "took", time.Second, "err", io.EOF)
		log.Log(context.Background(), sloghclog.LevelTrace, "small")
		return &plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": echo{"1 "}}, Logger: log}
	},
	"real-own-tls": func() *plugin.ServeConfig {
		return &plugin.ServeConfig{
			Handshake: shake,
			Plugins:   plugin.Set{"echo": echo{}},
			TLS:       &tls.Config{Certificates: []tls.Certificate{givenCert()}},
		}
	},
}

func TestRealPlugin(t *testing.T) {
	for name, change := range map[string]func(*host.Config){
		"AutoMTLS":  func(*host.Config) {},
		"P-521":     func(c *host.Config) { c.Curve = host.P521 },
		"plaintext": func(c *host.Config) { c.InsecurePlaintext = true },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			stdout, stderr := newSink(), newSink()
			cfg := fakeConfig(t, "real")
			cfg.Plugins = plugin.Set{"echo": echo{}}
			cfg.Output.Stdout, cfg.Output.Stderr = stdout, stderr
			change(cfg)
			c := start(t, cfg)
			if err := c.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := client.call(t.Context(), echoMethod, "hello"); err != nil || got != "1 hello" {
				t.Errorf("got %q, %v", got, err)
			}
			if got := <-stdout.writes; got != "stdout: hello\n" {
				t.Errorf("%q arrived on stdout", got)
			}
			if got := <-stderr.writes; got != "stderr: hello\n" {
				t.Errorf("%q arrived on stderr", got)
			}
			closes(t, c)
			if want := (host.ExitStatus{Ended: true}); c.ExitStatus() != want {
				t.Errorf("exit status %v, want %v", c.ExitStatus(), want)
			}
		})
	}
}

func TestConnectionIsAuthenticatedBothWays(t *testing.T) {
	noLeaks(t)
	c := start(t, fakeConfig(t, "real"))
	defer closes(t, c)
	var p peer.Peer
	if err := c.Conn().Invoke(t.Context(), echoMethod, new(words), new(words), h2grpc.Peer(&p)); err != nil {
		t.Fatal(err)
	}
	if p.TLS == nil || p.TLS.Version != tls.VersionTLS13 || len(p.TLS.PeerCertificates) != 1 {
		t.Errorf("the connection is secured with %+v", p.TLS)
	}
}

func TestBrokerOfARealPlugin(t *testing.T) {
	for _, plain := range []bool{false, true} {
		noLeaks(t)
		cfg := fakeConfig(t, "real")
		cfg.Plugins = plugin.Set{"echo": echo{}}
		cfg.InsecurePlaintext = plain
		c := start(t, cfg)
		client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		id, err := client.broker.Serve(t.Context(), func(s *h2grpc.Server) error {
			s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Host", Methods: []h2grpc.MethodDesc{
				method("Name", func(_ context.Context, in string) (string, error) { return "the host, " + in, nil }),
			}}, nil)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := client.call(t.Context(), callMethod, fmt.Sprint(id)); err != nil || got != "the host, who" {
			t.Errorf("plaintext %v: got %q, %v", plain, got, err)
		}
		closes(t, c)
		if _, err := client.broker.Serve(t.Context(), func(*h2grpc.Server) error { return nil }); !errors.Is(err, plugin.ErrBrokerClosed) {
			t.Errorf("the broker after the end: %v", err)
		}
	}
}

func TestHighestCommonVersionIsUsed(t *testing.T) {
	noLeaks(t)
	cfg := fakeConfig(t, "real-versions")
	cfg.Versions = map[int]plugin.Set{1: {"echo": echo{}}, 2: {"echo": echo{}}, 3: {"echo": echo{}}}
	c := start(t, cfg)
	defer closes(t, c)
	client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := client.call(t.Context(), echoMethod, "x"); err != nil || got != "3 x" || c.Version() != 3 {
		t.Errorf("got %q, %v and version %d", got, err, c.Version())
	}
}

func TestRealPluginRefusesItsCookie(t *testing.T) {
	noLeaks(t)
	start := failing(t, fakeConfig(t, "real-other-cookie"))
	if want := (host.ExitStatus{Ended: true, Code: 1}); start.ExitStatus != want || !strings.Contains(start.Hint, "magic cookie") {
		t.Errorf("got %v", start)
	}
}

// givenCert is the certificate that a test has given its plugin.
func givenCert() tls.Certificate {
	cert, err := tls.X509KeyPair([]byte(os.Getenv("TN_CERT")), []byte(os.Getenv("TN_KEY")))
	must(err)
	return cert
}

// ownTLS returns a configuration for a plugin that has a certificate of its own, and
// the pool of certificates to trust.
func ownTLS(t *testing.T, name string) (*host.Config, *x509.CertPool, *automtls.Identity) {
	t.Helper()
	id, err := automtls.New(automtls.P256)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(id.Certificate().PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cfg := fakeConfig(t, name)
	cfg.Env = append(cfg.Env, "TN_CERT="+id.PEM(),
		"TN_KEY="+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(id.PEM()))
	return cfg, pool, id
}

func TestOwnTLSOfBothSides(t *testing.T) {
	noLeaks(t)
	cfg, pool, _ := ownTLS(t, "real-own-tls")
	cfg.TLS = &tls.Config{RootCAs: pool}
	c := start(t, cfg)
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	closes(t, c)
	if cfg.TLS.ServerName != "" || cfg.TLS.NextProtos != nil {
		t.Errorf("the caller's tls.Config has changed: %+v", cfg.TLS)
	}
}

// A host trusts what its own configuration says: a certificate that the plugin
// announces adds nobody.
func TestPluginCannotRerootItsHost(t *testing.T) {
	noLeaks(t)
	cfg, _, id := ownTLS(t, "announces-its-own")
	other, err := automtls.New(automtls.P256)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(other.PEM()))
	cfg.TLS = &tls.Config{RootCAs: pool}
	start := failing(t, cfg)
	if unknown := (x509.UnknownAuthorityError{}); start.Stage != host.StageConnect || !errors.As(start, &unknown) {
		t.Errorf("got %v", start)
	}
	// The same plugin is fine for a host that trusts its certificate anyway.
	pool.AppendCertsFromPEM([]byte(id.PEM()))
	cfg.TLS = &tls.Config{RootCAs: pool}
	c, err := host.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	closes(t, c)
}

func TestSocketsAreInThePrivateDirectory(t *testing.T) {
	notOnWindows(t, "plugins listen on TCP")
	noLeaks(t)
	c := start(t, fakeConfig(t, "real"))
	var p peer.Peer
	if err := c.Conn().Invoke(t.Context(), echoMethod, new(words), new(words), h2grpc.Peer(&p)); err != nil {
		t.Fatal(err)
	}
	socket := p.Addr.String()
	if !strings.HasPrefix(socket, os.TempDir()+"/tenon-") || !exists(socket) {
		t.Errorf("the plugin's socket is %q", socket)
	}
	closes(t, c)
	if exists(socket) {
		t.Error("it is still there")
	}
}
