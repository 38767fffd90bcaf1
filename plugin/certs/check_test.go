package certs_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/plugin/certs"
)

// TestCheck has what can be wrong, and the words that say so.
func TestCheck(t *testing.T) {
	ca, other, namesake := newCA(t, "ours"), newCA(t, "theirs"), newCA(t, "ours")
	both := newPeer(t, ca, "kv.example.org", "192.0.2.1")
	server := must(ca.Server(certs.Options{Names: []string{"kv.example.org"}}))(t)
	client := must(ca.Client(certs.Options{Names: []string{"kv.example.org"}}))(t)
	brief := must(certs.NewCA(certs.Options{Name: "brief", Validity: time.Hour}))(t)
	odd := newPeer(t, must(certs.NewCA(certs.Options{Name: "\u202egro"}))(t), "kv.example.org")
	trusted := []*x509.Certificate{ca.Leaf}
	names := []string{"kv.example.org"}
	now := time.Now()
	for _, c := range []struct {
		what string
		leaf *x509.Certificate
		want certs.Want
		err  error
		says string
	}{
		{"a server", both.Leaf, certs.Want{CAs: trusted, Names: names}, nil, ""},
		{"an address", both.Leaf, certs.Want{CAs: trusted, Names: []string{"192.0.2.1"}}, nil, ""},
		{"one of two names", both.Leaf, certs.Want{CAs: trusted, Names: []string{"a", "kv.example.org"}}, nil, ""},
		{"a client", both.Leaf, certs.Want{CAs: trusted, Names: names, Usage: certs.ForClient}, nil, ""},
		{"any client", client.Leaf, certs.Want{CAs: trusted, Usage: certs.ForClient}, nil, ""},
		{"of two authorities", both.Leaf, certs.Want{CAs: []*x509.Certificate{other.Leaf, ca.Leaf}, Names: names}, nil, ""},
		{"expired", both.Leaf, certs.Want{CAs: trusted, Names: names, Time: now.AddDate(2, 0, 0)}, certs.ErrExpired, "was valid until " + both.Leaf.NotAfter.Format(time.RFC3339)},
		{"not yet valid", both.Leaf, certs.Want{CAs: trusted, Names: names, Time: now.Add(-time.Hour)}, certs.ErrNotYetValid, "is valid from " + both.Leaf.NotBefore.Format(time.RFC3339)},
		{"another authority", both.Leaf, certs.Want{CAs: []*x509.Certificate{other.Leaf}, Names: names}, certs.ErrUnknownCA, `is signed by "CN=ours"; known are: "CN=theirs"`},
		{"no authority", both.Leaf, certs.Want{Names: names}, certs.ErrUnknownCA, "known are: none"},
		{"an authority of that name", both.Leaf, certs.Want{CAs: []*x509.Certificate{namesake.Leaf}, Names: names}, certs.ErrUnknownCA, "not been signed by the key of the known one of that name"},
		{"another name", both.Leaf, certs.Want{CAs: trusted, Names: []string{"host"}}, certs.ErrName, `it must be "host"; "CN=kv.example.org" (number ` + number(both.Leaf) + `) has "kv.example.org", "192.0.2.1"`},
		{"another address", both.Leaf, certs.Want{CAs: trusted, Names: []string{"192.0.2.2"}}, certs.ErrName, `it must be "192.0.2.2"`},
		{"no name of a server", both.Leaf, certs.Want{CAs: trusted}, certs.ErrName, "there is no name to look for"},
		{"an empty name", both.Leaf, certs.Want{CAs: trusted, Names: []string{""}}, certs.ErrName, `it must be ""`},
		{"an empty name of a client", both.Leaf, certs.Want{CAs: trusted, Names: []string{""}, Usage: certs.ForClient}, certs.ErrName, `it must be ""`},
		{"a client as a server", client.Leaf, certs.Want{CAs: trusted, Names: names}, certs.ErrUsage, "is not for servers"},
		{"a server as a client", server.Leaf, certs.Want{CAs: trusted, Usage: certs.ForClient}, certs.ErrUsage, "is not for clients"},
		{"an authority as a client", ca.Leaf, certs.Want{CAs: trusted, Usage: certs.ForClient}, certs.ErrUsage, "is for signing certificates"},
		{"an authority that has expired", lasting(t, brief, "kv.example.org"), certs.Want{CAs: []*x509.Certificate{brief.Leaf}, Names: names, Time: now.Add(2 * time.Hour)}, certs.ErrExpired, `is signed by an authority that is not valid: the certificate has expired: "CN=brief"`},
		{"an odd name", odd.Leaf, certs.Want{CAs: trusted, Names: names}, certs.ErrUnknownCA, `is signed by "CN=\u202egro"`},
	} {
		err := certs.Check([]*x509.Certificate{c.leaf}, c.want)
		switch {
		case c.err == nil && err != nil, c.err != nil && !errors.Is(err, c.err):
			t.Errorf("%s: %v, want %v", c.what, err, c.err)
		case err != nil && !strings.Contains(err.Error(), c.says):
			t.Errorf("%s: %v\ndoes not say %q", c.what, err, c.says)
		}
	}
	if err := certs.Check(nil, certs.Want{CAs: trusted, Names: names}); !errors.Is(err, certs.ErrMissing) {
		t.Errorf("no certificate: %v", err)
	}
	var many []string
	for i := range 99 {
		many = append(many, fmt.Sprintf("%060d.example.org", i))
	}
	if err := certs.Check([]*x509.Certificate{newPeer(t, ca, many...).Leaf}, certs.Want{CAs: trusted, Names: names}); err == nil || len(err.Error()) > 1000 || !strings.Contains(err.Error(), "and 94 more") {
		t.Errorf("99 names: %v", err)
	}
}

func number(c *x509.Certificate) string { return fmt.Sprintf("%032x", c.SerialNumber)[:8] }

// lasting returns a certificate that lasts longer than its authority, as careless tools
// make them.
func lasting(t *testing.T, ca *certs.CA, name string) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, ca.Key.Public(), ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return must(x509.ParseCertificate(der))(t)
}
