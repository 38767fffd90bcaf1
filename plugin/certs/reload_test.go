package certs_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/certs"
)

// shake makes a TLS connection, and returns what the client and the server say about it.
// A byte goes each way, since a client of TLS 1.3 is done before its certificate is
// looked at.
func shake(client, server *tls.Config) (seen *tls.ConnectionState, clientErr, serverErr error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err, err
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		s := tls.Server(conn, server)
		if _, err = io.ReadFull(s, make([]byte, 1)); err == nil {
			_, err = s.Write([]byte("!"))
		}
		done <- err
		io.Copy(io.Discard, conn) // what is not read would reset the connection, and lose the alert
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err, err
	}
	c := tls.Client(conn, client)
	if _, clientErr = c.Write([]byte("?")); clientErr == nil {
		_, clientErr = io.ReadFull(c, make([]byte, 1))
	}
	conn.Close()
	state := c.ConnectionState()
	return &state, clientErr, <-done
}

// accepted returns the name and number of the server's certificate.
func accepted(t *testing.T, client, server *tls.Config) string {
	t.Helper()
	seen, clientErr, serverErr := shake(client, server)
	if clientErr != nil || serverErr != nil {
		t.Fatalf("the client: %v; the server: %v", clientErr, serverErr)
	}
	return number(seen.PeerCertificates[0])
}

// TestConfigs has who is let in by which configuration, and who is not.
func TestConfigs(t *testing.T) {
	ca, other := newCA(t, "ours"), newCA(t, "theirs")
	config := func(own *certs.Pair, cas ...*certs.CA) *certs.Reloader { return newPlace(t, own, cas...).watch(t, nil) }
	kv, host := config(newPeer(t, ca, "kv", "127.0.0.1"), ca), config(newPeer(t, ca, "host"), ca)
	stranger := config(newPeer(t, other, "host", "kv"), ca)
	trusting := config(newPeer(t, ca, "host"), other)
	serverOnly := config(must(ca.Server(certs.Options{Names: []string{"host", "kv"}}))(t), ca)
	clientOnly := config(must(ca.Client(certs.Options{Names: []string{"host", "kv"}}))(t), ca)
	bare := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	renamed := host.ClientConfig("other")
	renamed.ServerName = "kv"
	old := host.ClientConfig("kv")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for _, c := range []struct {
		what           string
		client, server *tls.Config
		byClient       error // what the client finds
		byServer       error // what the server finds
		fails          bool
	}{
		{"both roles", host.PeerConfig("kv"), kv.PeerConfig("host"), nil, nil, false},
		{"the roles reversed", kv.PeerConfig("host"), host.PeerConfig("kv"), nil, nil, false},
		{"one role each", host.ClientConfig("kv"), kv.ServerConfig("host"), nil, nil, false},
		{"any client", host.ClientConfig("kv"), kv.ServerConfig(), nil, nil, false},
		{"one of several clients", host.ClientConfig("kv"), kv.ServerConfig("a", "host"), nil, nil, false},
		{"an address", host.ClientConfig("127.0.0.1"), kv.ServerConfig(), nil, nil, false},
		{"for one role each", clientOnly.ClientConfig("kv"), serverOnly.ServerConfig("host"), nil, nil, false},
		{"another server", host.PeerConfig("other"), kv.PeerConfig("host"), certs.ErrName, nil, true},
		{"another address", host.ClientConfig("127.0.0.2"), kv.ServerConfig(), certs.ErrName, nil, true},
		{"another ServerName", renamed, kv.ServerConfig(), certs.ErrName, nil, true},
		{"no server", host.ClientConfig(""), kv.ServerConfig(), certs.ErrName, nil, true},
		{"another client", host.PeerConfig("kv"), kv.PeerConfig("other"), nil, certs.ErrName, true},
		{"no name of a peer", host.PeerConfig("kv"), kv.PeerConfig(""), nil, certs.ErrName, true},
		{"a server as a client", serverOnly.ClientConfig("kv"), kv.ServerConfig(), nil, certs.ErrUsage, true},
		{"a client as a server", host.ClientConfig("kv"), clientOnly.ServerConfig(), certs.ErrUsage, nil, true},
		{"a server as a peer", serverOnly.ClientConfig("kv"), kv.PeerConfig("host"), nil, certs.ErrUsage, true},
		{"a client as a peer", clientOnly.ClientConfig("kv"), kv.PeerConfig("host"), nil, nil, false},
		{"a client of another authority", stranger.ClientConfig("kv"), kv.ServerConfig(), nil, certs.ErrUnknownCA, true},
		{"a peer of another authority", stranger.PeerConfig("kv"), kv.PeerConfig("host"), nil, certs.ErrUnknownCA, true},
		{"a server of another authority", host.ClientConfig("kv"), stranger.ServerConfig(), certs.ErrUnknownCA, nil, true},
		{"a server not trusted", trusting.PeerConfig("kv"), kv.PeerConfig("host"), certs.ErrUnknownCA, nil, true},
		{"no client's certificate", bare, kv.ServerConfig(), nil, nil, true},
		{"no peer's certificate", bare, kv.PeerConfig("host"), nil, nil, true},
		{"TLS 1.2", old, kv.ServerConfig(), nil, nil, true},
	} {
		_, clientErr, serverErr := shake(c.client, c.server)
		if failed := clientErr != nil && serverErr != nil; failed != c.fails || (clientErr != nil) != failed {
			t.Errorf("%s: the client: %v; the server: %v", c.what, clientErr, serverErr)
		}
		if c.byClient != nil && !errors.Is(clientErr, c.byClient) {
			t.Errorf("%s: the client: %v, want %v", c.what, clientErr, c.byClient)
		}
		if c.byServer != nil && !errors.Is(serverErr, c.byServer) {
			t.Errorf("%s: the server: %v, want %v", c.what, serverErr, c.byServer)
		}
	}
}

// TestResumedSessions: an authority that is gone is gone for sessions, too.
func TestResumedSessions(t *testing.T) {
	ca, next := newCA(t, "old"), newCA(t, "new")
	at := newPlace(t, newPeer(t, ca, "kv"), ca)
	r := at.watch(t, nil)
	server, client := r.PeerConfig("host"), newPlace(t, newPeer(t, ca, "host"), ca, next).watch(t, nil).PeerConfig("kv")
	client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	accepted(t, client, server)
	if seen, _, _ := shake(client, server); !seen.DidResume {
		t.Fatal("the session was not resumed: this test shows nothing")
	}
	at.put(t, newPeer(t, next, "kv"), next)
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := shake(client, server); !errors.Is(err, certs.ErrUnknownCA) {
		t.Errorf("resumed after its authority was removed: %v", err)
	}
}

// TestInterval: files are looked at by handshakes, but not by each.
func TestInterval(t *testing.T) {
	ca := newCA(t, "long")
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t, "ours") // valid in fake time
		one, two := newPeer(t, ca, "kv"), newPeer(t, ca, "kv")
		at, log := newPlace(t, one, ca), &journal{}
		server, client := at.watch(t, log).ServerConfig(), newPlace(t, newPeer(t, ca, "host"), ca).watch(t, nil).ClientConfig("kv")
		at.put(t, two, ca)
		time.Sleep(9 * time.Second)
		if got := accepted(t, client, server); got != number(one.Leaf) {
			t.Errorf("looked at before the interval had passed")
		}
		time.Sleep(2 * time.Second)
		if got := accepted(t, client, server); got != number(two.Leaf) {
			t.Errorf("not looked at after the interval")
		}
		if lines := log.take("loaded anew"); len(lines) != 1 {
			t.Errorf("logged %q", lines)
		}
		time.Sleep(time.Minute)
		accepted(t, client, server)
		if lines := log.take(""); len(lines) != 0 {
			t.Errorf("nothing has changed, and logged was %q", lines)
		}
	})
	// A negative interval leaves it to Reload.
	one, two := newPeer(t, ca, "kv"), newPeer(t, ca, "kv")
	at := newPlace(t, one, ca)
	r := must(certs.Watch(certs.WatchConfig{Certificate: at.own, CAs: at.cas, Interval: -1}))(t)
	server, client := r.ServerConfig(), newPlace(t, newPeer(t, ca, "host"), ca).watch(t, nil).ClientConfig("kv")
	at.put(t, two, ca)
	if got := accepted(t, client, server); got != number(one.Leaf) {
		t.Error("looked at without Reload")
	}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := accepted(t, client, server); got != number(two.Leaf) {
		t.Error("not loaded by Reload")
	}
}

// TestUnchangedFilesAreNotRead: what has the same name, time and size is the same, once
// it is old; and a change that keeps two of them is seen.
func TestUnchangedFilesAreNotRead(t *testing.T) {
	ca := newCA(t, "ours")
	one, two := newPeer(t, ca, "kv"), newPeer(t, ca, "kv")
	for len(one.CertificatePEM()) != len(two.CertificatePEM()) { // their signatures differ in length
		two = newPeer(t, ca, "kv")
	}
	at := newPlace(t, one, ca)
	age := func(when time.Time) {
		t.Helper()
		for _, path := range []string{at.own, at.cas} {
			if err := os.Chtimes(path, when, when); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := func(p *certs.Pair) []byte { return append(p.CertificatePEM(), must(p.KeyPEM())(t)...) }
	then, later := time.Now().Add(-time.Hour).Truncate(time.Second), time.Now().Add(-time.Minute).Truncate(time.Second)
	age(then)
	r := must(certs.Watch(certs.WatchConfig{Certificate: at.own, CAs: at.cas, Interval: 1}))(t)
	server, client := r.ServerConfig(), newPlace(t, newPeer(t, ca, "host"), ca).watch(t, nil).ClientConfig("kv")
	inUse := func(what string, want *certs.Pair) {
		t.Helper()
		if got := accepted(t, client, server); got != number(want.Leaf) {
			t.Errorf("%s: another certificate is in use", what)
		}
	}
	overwrite(t, at.own, text(two))
	age(then)
	inUse("the same name, time and size", one)
	age(later)
	inUse("another time", two)
	overwrite(t, at.own, append(text(one), "more text"...))
	age(later)
	inUse("another size", one)
	overwrite(t, at.own+".new", append(text(two), "more text"...))
	if err := os.Rename(at.own+".new", at.own); err != nil {
		t.Fatal(err)
	}
	age(later)
	inUse("another file", two)
	// Twice in the same tick of the file system's clock.
	now := time.Now().Add(time.Minute)
	age(now)
	inUse("a new time", two)
	overwrite(t, at.own, append(text(one), "more text"...))
	age(now)
	inUse("the same time, which is new", one)
}

// TestBadFiles: they change nothing, and are reported once.
func TestBadFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newCA(t, "ours")
		own := newPeer(t, ca, "kv")
		brief := must(ca.Peer(certs.Options{Names: []string{"kv"}, Validity: time.Second}))(t)
		leaf := newPeer(t, ca, "leaf")
		at, log := newPlace(t, own, ca), &journal{}
		r := at.watch(t, log)
		server, client := r.ServerConfig(), newPlace(t, newPeer(t, ca, "host"), ca).watch(t, nil).ClientConfig("kv")
		time.Sleep(time.Minute) // brief ends
		whole, err := os.ReadFile(at.own)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			what, want string
			spoil      func() error
		}{
			{"half-written", "not whole", func() error { return os.WriteFile(at.own, whole[:len(whole)-40], 0o600) }},
			{"empty", "no PEM block", func() error { return os.WriteFile(at.own, nil, 0o600) }},
			{"gone", "own.pem", func() error { return os.Remove(at.own) }},
			{"expired", "has expired", func() error { return brief.Write(at.own, "") }},
			{"no authority", "is no authority", func() error { return certs.WriteCertificates(at.cas, leaf.Leaf) }},
			{"authorities gone", "cas.pem", func() error { return os.Remove(at.cas) }},
		} {
			log.take("")
			if err := c.spoil(); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				time.Sleep(time.Minute)
				if got := accepted(t, client, server); got != number(own.Leaf) {
					t.Errorf("%s: another certificate is in use", c.what)
				}
			}
			if lines := log.take(""); len(lines) != 1 || !strings.HasPrefix(lines[0], "warn") || !strings.Contains(lines[0], c.want) {
				t.Errorf("%s: logged %q, want one line with %q", c.what, lines, c.want)
			}
			if err := r.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: Err is %v", c.what, err)
			}
			if err := r.Reload(); err == nil || len(log.take("")) != 0 {
				t.Errorf("%s: Reload returned %v, or logged it again", c.what, err)
			}
			at.put(t, own, ca)
			if err := r.Reload(); err != nil || r.Err() != nil {
				t.Errorf("%s: after that: %v", c.what, err)
			}
		}
		if _, err := certs.Watch(certs.WatchConfig{Certificate: at.own, CAs: filepath.Join(t.TempDir(), "none.pem")}); err == nil || !strings.Contains(err.Error(), "none.pem") {
			t.Errorf("without authorities: %v", err)
		}
		if err := brief.Write(at.own, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := certs.Watch(certs.WatchConfig{Certificate: at.own, CAs: at.cas}); !errors.Is(err, certs.ErrExpired) {
			t.Errorf("beginning with one that has expired: %v", err)
		}
		if _, err := certs.Watch(certs.WatchConfig{Certificate: at.own}); err == nil || !strings.Contains(err.Error(), "must both be set") {
			t.Errorf("no CAs: %v", err)
		}
	})
}

// TestWarnings: the last third of a certificate's time, or its last 30 days, once a day.
func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		ca := newCA(t, "ours")
		own := must(ca.Peer(certs.Options{Names: []string{"kv"}, Validity: 60 * day}))(t)
		at, log := newPlace(t, own, ca), &journal{}
		r := at.watch(t, log)
		if c, when := r.Expires(); number(c) != number(own.Leaf) || !when.Equal(own.Leaf.NotAfter) {
			t.Errorf("the first to end is %s, %v", c.Subject, when)
		}
		warnings := func(wait time.Duration, want int) {
			t.Helper()
			time.Sleep(wait)
			for range 3 {
				if err := r.Reload(); err != nil && !errors.Is(err, certs.ErrExpired) {
					t.Error(err)
				}
			}
			if lines := log.take("ends soon"); len(lines) != want || want > 0 && !strings.Contains(lines[0], "CN=kv") {
				t.Errorf("after %v: %q, want %d", wait, lines, want)
			}
		}
		warnings(39*day, 0)
		warnings(2*day, 1)
		warnings(time.Hour, 0)
		warnings(day, 1)
		warnings(20*day, 1) // it has ended, and is used as long as there is no other
		at.put(t, newPeer(t, ca, "kv"), ca)
		warnings(day, 0)
		// An authority counts, too.
		at.put(t, newPeer(t, ca, "kv"), must(certs.NewCA(certs.Options{Validity: 10 * day}))(t), ca)
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
		if _, when := r.Expires(); !when.Equal(time.Now().Add(10 * day)) {
			t.Errorf("the authority ends at %v", when)
		}
		log.take("")
		quiet := must(certs.Watch(certs.WatchConfig{Certificate: at.own, CAs: at.cas, Warning: -1, Logger: log}))(t)
		early := must(certs.Watch(certs.WatchConfig{Certificate: at.own, CAs: at.cas, Warning: 400 * day, Logger: log}))(t)
		if lines := log.take("CN=kv"); len(lines) != 1 {
			t.Errorf("400 days ahead, and never: %q, want one", lines)
		}
		_, _ = quiet, early
	})
}
