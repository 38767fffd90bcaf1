package peer_test

import (
	"net"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc/peer"
)

func TestContext(t *testing.T) {
	if _, ok := peer.FromContext(t.Context()); ok {
		t.Error("a context without a peer has one")
	}
	p := &peer.Peer{Addr: &net.UnixAddr{Name: "a", Net: "unix"}}
	if got, ok := peer.FromContext(peer.NewContext(t.Context(), p)); !ok || got != p {
		t.Errorf("got %v", got)
	}
}
