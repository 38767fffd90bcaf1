package host_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/host"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/wire"
)

// playImpostor announces the socket of another plugin, and the certificate that the
// other shows to whoever connects.
func playImpostor() {
	conn, err := tls.Dial(os.Getenv(networkEnv), os.Getenv(addressEnv), &tls.Config{InsecureSkipVerify: true})
	must(err)
	der := conn.ConnectionState().PeerCertificates[0].Raw
	conn.Close()
	fmt.Print(line(1, 1, os.Getenv(networkEnv), os.Getenv(addressEnv), "grpc", certField(der)), "\n")
	linger()
}

// A plugin announces another plugin's socket and certificate. The other plugin does not
// know the certificate that the host uses for the first one, so it refuses the host.
func TestPluginsThatPassForAnother(t *testing.T) {
	for name, curve := range map[string]host.Curve{"P-256": host.P256, "P-521": host.P521} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := fakeConfig(t, "good")
			cfg.Curve = curve
			other := start(t, cfg)
			r, err := other.Reattach()
			if err != nil {
				t.Fatal(err)
			}
			cfg = fakeConfig(t, "passes-for-another")
			cfg.Curve = curve
			cfg.Env = append(cfg.Env, networkEnv+"="+r.Network, addressEnv+"="+r.Address)
			failed := failing(t, cfg)
			if failed.Stage != host.StageConnect || !strings.Contains(failed.Hint, "another plugin's") {
				t.Errorf("got %v", failed)
			}
			if r.Network == "unix" && !exists(r.Address) {
				t.Error("the other plugin's socket is gone")
			}
			if got, err := do(t.Context(), other, "echo here"); err != nil || got != "here" {
				t.Errorf("the other plugin answers %q, %v", got, err)
			}
			closes(t, other)
		})
	}
}

// The same by the broker, of a plugin that has started well.
func TestPluginsThatLendAnother(t *testing.T) {
	noLeaks(t)
	other := start(t, fakeConfig(t, "good"))
	r, err := other.Reattach()
	if err != nil {
		t.Fatal(err)
	}
	cfg := withEcho(t, "lends-elsewhere")
	cfg.Env = append(cfg.Env, networkEnv+"="+r.Network, addressEnv+"="+r.Address)
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
	if err := cc.Invoke(ctx, doMethod, &words{Service: "echo here"}, new(words)); err == nil || !strings.Contains(err.Error(), "not the pinned one") {
		t.Errorf("calling: %v", err)
	}
	cc.Close()
	closes(t, c)
	if got, err := do(t.Context(), other, "echo here"); err != nil || got != "here" {
		t.Errorf("the other plugin answers %q, %v", got, err)
	}
	closes(t, other)
}

// Every start has a certificate of its own, also one that fails, and one that
// finds a spare.
func TestEachPluginKnowsAnotherCertificate(t *testing.T) {
	noLeaks(t)
	seen := make(map[string]bool)
	for range 3 {
		pem := environment(t, fakeConfig(t, "prints-environment"))[wire.EnvClientCert]
		if pem == "" || seen[pem] {
			t.Errorf("a second plugin is given the certificate %q", pem)
		}
		seen[pem] = true
		c := start(t, fakeConfig(t, "good"))
		r, err := c.ReattachWithKey()
		if err != nil {
			t.Fatal(err)
		}
		if der := string(r.HostCertificate); der == "" || seen[der] {
			t.Error("a second plugin knows its host by the same certificate")
		} else {
			seen[der] = true
		}
		closes(t, c)
	}
}

// However many ask for identities while spares are made, no two get the same.
func TestSpareIdentities(t *testing.T) {
	for _, curve := range []automtls.Curve{automtls.P256, automtls.P384, automtls.P521} {
		noLeaks(t)
		var mu sync.Mutex
		seen := make(map[string]bool)
		var askers sync.WaitGroup
		for range 8 {
			askers.Go(func() {
				for range 4 {
					id, err := host.NewIdentity(curve)
					if err != nil {
						t.Error(err)
						return
					}
					host.MakeSpare(curve)
					mu.Lock()
					if der := string(id.DER()); seen[der] || automtls.CurveOf(id.DER()) != curve {
						t.Errorf("%v: an identity on %v, there before: %v", curve, automtls.CurveOf(id.DER()), seen[der])
					} else {
						seen[der] = true
					}
					mu.Unlock()
				}
			})
		}
		askers.Wait()
	}
}

// A spare is used, however much later, but not outside its validity.
func TestSpareIsUsed(t *testing.T) {
	noLeaks(t)
	synctest.Test(t, func(t *testing.T) {
		age := func() time.Duration {
			id, err := host.NewIdentity(automtls.P256)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(id.DER())
			if err != nil {
				t.Fatal(err)
			}
			return time.Since(cert.NotBefore).Truncate(time.Hour)
		}
		age() // takes what other tests have left
		for _, later := range []struct{ wait, want time.Duration }{{0, 0}, {time.Hour, time.Hour}, {31 * 366 * 24 * time.Hour, 0}} {
			host.MakeSpare(automtls.P256)
			synctest.Wait()
			time.Sleep(later.wait)
			if got := age(); got != later.want {
				t.Errorf("after %v the identity is %v old, want %v", later.wait, got, later.want)
			}
			if got := age(); got != 0 {
				t.Errorf("the next one is %v old", got)
			}
		}
	})
}

// olderEnv names the connections on which playOlder uses older TLS.
const olderEnv = "TN_OLDER"

// playOlder is a plugin with TLS 1.2 on its main connection, its brokered ones,
// or all.
func playOlder() {
	host, err := automtls.ParsePEM(os.Getenv(wire.EnvClientCert))
	must(err)
	own, err := automtls.New(automtls.P256)
	must(err)
	main, accepted, dialled := automtls.ServerConfig(own, host, nil), automtls.ServerConfig(own, host, nil), automtls.ClientConfig(own, host, nil)
	if os.Getenv(olderEnv) != "brokered" {
		main.MaxVersion = tls.VersionTLS12
	}
	accepted.MaxVersion, dialled.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	path := socketPath()
	l, network, address := listen(path)
	b := broker.New(&broker.Config{
		Listen:    func() (net.Listener, error) { l, _, _ := listen(path + "b"); return l, nil },
		ServerTLS: accepted,
		ClientTLS: dialled,
	})
	g := h2grpc.NewServer(&h2grpc.ServerConfig{TLS: main})
	control.RegisterBroker(g, brokerOnly{b})
	must(echo{"1 "}.GRPCServer((*plugin.Broker)(b), g))
	fmt.Println(line(1, 1, network, address, "grpc", certField(own.DER())))
	go func() {
		linger()
		os.Exit(0)
	}()
	must(g.Serve(l))
}

type brokerOnly struct{ *broker.Broker }

func (b brokerOnly) StartStream(stream h2grpc.BidiStreamingServer[wire.ConnInfo, wire.ConnInfo]) error {
	return b.Run(stream)
}

// A plugin's brokered connections have the TLS version of its main one, or a newer one,
// whoever dials. A plugin that has nothing newer at all is used as it is.
func TestBrokeredTLSIsNoOlder(t *testing.T) {
	for which, fine := range map[string]bool{"brokered": false, "all": true} {
		noLeaks(t)
		cfg := withEcho(t, "older-tls")
		cfg.Env = append(cfg.Env, olderEnv+"="+which)
		c := start(t, cfg)
		client, err := host.Dispense[*echoClient](t.Context(), c, "echo")
		if err != nil {
			t.Fatal(err)
		}
		id, err := client.broker.Serve(t.Context(), func(s *h2grpc.Server) error {
			s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Host", Methods: []h2grpc.MethodDesc{
				method("Name", func(context.Context, string) (string, error) { return "the host", nil }),
			}}, nil)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := client.call(t.Context(), callMethod, fmt.Sprint(id)); (err == nil) != fine {
			t.Errorf("TLS 1.2 on %s connections: the host is called back: %q, %v", which, got, err)
		}
		lent, err := client.call(t.Context(), lendMethod, "")
		if err != nil {
			t.Fatal(err)
		}
		cc, err := client.broker.Dial(t.Context(), idIn(t, lent))
		if err != nil {
			t.Fatal(err)
		}
		err = cc.Invoke(t.Context(), "/test.Lent/Say", &words{Service: "x"}, new(words))
		if (err == nil) != fine || err != nil && !strings.Contains(err.Error(), automtls.ErrVersion.Error()) {
			t.Errorf("TLS 1.2 on %s connections: the plugin is called: %v", which, err)
		}
		cc.Close()
		c.Kill()
	}
}

// outdated returns the PEM of a certificate that has expired, with another behind
// it, and of its key.
func outdated(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	other, err := automtls.New(automtls.P256)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + other.PEM(),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// A plugin has an expired certificate, and sends another one after it. The expired one
// is the one that was announced: the host uses it, with a warning, from the start and
// when it reconnects.
func TestOutdatedCertificate(t *testing.T) {
	noLeaks(t)
	cert, key := outdated(t)
	warned := make(chan string, 8)
	log := slog.New(&onMessage{text: "the plugin's certificate is used despite its dates", do: func() { warned <- "yes" }})
	cfg := detachable(t, "announces-its-own")
	cfg.Env = append(cfg.Env, "TN_CERT="+cert, "TN_KEY="+key)
	cfg.Logger = log
	r := letGo(t, cfg)
	if len(warned) != 1 {
		t.Errorf("%d warnings at the start", len(warned))
	}
	cfg = attaching(t, r)
	cfg.Logger = log
	c := start(t, cfg)
	if got, err := do(t.Context(), c, "echo here"); err != nil || got != "here" {
		t.Errorf("the plugin answers %q, %v", got, err)
	}
	closes(t, c)
	if len(warned) != 2 {
		t.Errorf("%d warnings after attaching", len(warned))
	}
}
