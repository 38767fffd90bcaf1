package automtls_test

import (
	"crypto/tls"
	"errors"
	"sync"
	"testing"

	"github.com/tenonrpc/tenon/plugin/internal/automtls"
)

// TestFloor checks both configurations of one side while its floor is raised.
func TestFloor(t *testing.T) {
	own, peer := identity(t, automtls.P256), identity(t, automtls.P256)
	var floor automtls.Floor
	client, server := automtls.ClientConfig(own, peer.DER(), &floor), automtls.ServerConfig(own, peer.DER(), &floor)
	peerServer, peerClient := automtls.ServerConfig(peer, own.DER(), nil), automtls.ClientConfig(peer, own.DER(), nil)

	// both makes the peer accept a connection of that version, and dial one.
	both := func(version uint16) (accepts, dials error) {
		peerServer.MaxVersion, peerClient.MaxVersion = version, version
		c, s := connect(t, client, peerServer)
		if (c.err == nil) != (s.err == nil) {
			t.Errorf("accepted by one side: %v, %v", c.err, s.err)
		}
		accepts = c.err
		if _, s = connect(t, peerClient, server); s.err == nil && s.state.Version != version {
			t.Errorf("version %x, want %x", s.state.Version, version)
		}
		return accepts, s.err
	}
	wants := func(when string, version uint16, want error) {
		t.Helper()
		for _, err := range []error{first(both(version)), second(both(version))} {
			if !errors.Is(err, want) {
				t.Errorf("%s: TLS %x: %v, want %v", when, version, err, want)
			}
		}
	}
	// The sessions of these connections are resumed by the later ones.
	wants("at first", tls.VersionTLS12, nil)
	floor.Raise(tls.VersionTLS12)
	wants("after TLS 1.2", tls.VersionTLS12, nil)
	floor.Raise(tls.VersionTLS13)
	wants("after TLS 1.3", tls.VersionTLS12, automtls.ErrVersion)
	wants("after TLS 1.3", tls.VersionTLS13, nil)
	floor.Raise(tls.VersionTLS12)
	wants("after a later TLS 1.2", tls.VersionTLS12, automtls.ErrVersion)
}

func first(err, _ error) error  { return err }
func second(_, err error) error { return err }

// TestFloorStillPins raises a floor, and then others connect.
func TestFloorStillPins(t *testing.T) {
	own, peer, other := identity(t, automtls.P256), identity(t, automtls.P256), identity(t, automtls.P256)
	var floor automtls.Floor
	server := automtls.ServerConfig(own, peer.DER(), &floor)
	for range 2 {
		if _, s := connect(t, automtls.ClientConfig(other, own.DER(), nil), server); !errors.Is(s.err, automtls.ErrPin) {
			t.Errorf("a server took another client: %v", s.err)
		}
		floor.Raise(tls.VersionTLS13)
	}
}

// The highest version counts, in any order.
func TestFloorRises(t *testing.T) {
	var floor automtls.Floor
	var raisers sync.WaitGroup
	for version := uint16(tls.VersionTLS13); version >= tls.VersionTLS10; version-- {
		raisers.Go(func() { floor.Raise(version) })
	}
	raisers.Wait()
	own, peer := identity(t, automtls.P256), identity(t, automtls.P256)
	server := automtls.ServerConfig(own, peer.DER(), &floor)
	client := automtls.ClientConfig(peer, own.DER(), nil)
	client.MaxVersion = tls.VersionTLS12
	if _, s := connect(t, client, server); !errors.Is(s.err, automtls.ErrVersion) {
		t.Errorf("TLS 1.2 is taken: %v", s.err)
	}
}
