package automtls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
)

func TestRestore(t *testing.T) {
	for _, curve := range []automtls.Curve{automtls.P521, automtls.P384, automtls.P256} {
		host, err := automtls.New(curve)
		if err != nil {
			t.Fatal(err)
		}
		plugin, err := automtls.New(curve)
		if err != nil {
			t.Fatal(err)
		}
		key, err := host.Key()
		if err != nil {
			t.Fatal(err)
		}
		again, err := automtls.Restore(host.DER(), key)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.DER(), host.DER()) || again.PEM() != host.PEM() {
			t.Errorf("%v: the certificate is another", curve)
		}
		// The plugin pins the first host's certificate and takes the second.
		a, b := net.Pipe()
		server := tls.Server(a, automtls.ServerConfig(plugin, host.DER(), nil))
		client := tls.Client(b, automtls.ClientConfig(again, plugin.DER(), nil))
		done := make(chan error)
		go func() { done <- server.Handshake() }()
		if err := client.Handshake(); err != nil {
			t.Errorf("%v: %v", curve, err)
		}
		go client.Read(make([]byte, 1)) // for the session's tickets
		if err := <-done; err != nil {
			t.Errorf("%v: %v", curve, err)
		}
		a.Close()
		b.Close()
	}
}

func TestRestoreRefuses(t *testing.T) {
	one, err := automtls.New(automtls.P256)
	if err != nil {
		t.Fatal(err)
	}
	other, err := automtls.New(automtls.P256)
	if err != nil {
		t.Fatal(err)
	}
	key, err := one.Key()
	if err != nil {
		t.Fatal(err)
	}
	otherKey, err := other.Key()
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string]struct{ der, key []byte }{
		"nothing":              {},
		"no key":               {one.DER(), nil},
		"no certificate":       {nil, key},
		"the key of another":   {one.DER(), otherKey},
		"a key cut short":      {one.DER(), key[:len(key)-1]},
		"a certificate as key": {one.DER(), one.DER()},
	} {
		if _, err := automtls.Restore(pair.der, pair.key); !errors.Is(err, automtls.ErrRestore) || strings.Contains(err.Error(), "0x") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
