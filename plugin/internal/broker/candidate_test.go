package broker_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/plugin/internal/yamux"
)

// TestCandidates has others connect to a plugin in all ways, before its host and without
// closing by themselves, and more of them than are kept.
func TestCandidates(t *testing.T) {
	hostID, plugID := identity(t), identity(t)
	s := newSockets(t)
	l, err := s.listen()
	if err != nil {
		t.Fatal(err)
	}
	m := broker.NewPluginMux(nil)
	server := h2grpc.NewServer(&h2grpc.ServerConfig{TLS: automtls.ServerConfig(plugID, hostID.DER(), nil)})
	named("main")(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(m.Listen(l)) }()
	defer func() {
		m.Close()
		server.Close()
		<-served
	}()
	dial := func() net.Conn {
		t.Helper()
		conn, err := socktest.Dial(l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	var strangers []net.Conn
	for range 100 {
		strangers = append(strangers, dial())
	}
	for _, words := range []string{
		"\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00", // a stream, and no more
		"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x05hello",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00", // a ping
	} {
		conn := dial()
		if _, err := io.WriteString(conn, words); err != nil {
			t.Fatal(err)
		}
		strangers = append(strangers, conn)
	}
	// One that announces more data without end.
	endless := dial()
	strangers = append(strangers, endless)
	pings := make(chan error, 1)
	go func() {
		for {
			if _, err := endless.Write(make([]byte, 4096)); err != nil {
				pings <- err
				return
			}
		}
	}()
	if err := <-pings; err == nil {
		t.Error("there is no end to what a stranger may send")
	}

	raw := dial()
	host := broker.NewHostMux(raw, nil)
	defer host.Close()
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: host.Dial, TLS: automtls.ClientConfig(hostID, plugID.DER(), nil)})
	defer cc.Close()
	if got, err := ask(deadline(t), cc); err != nil || got != "main" {
		t.Errorf("the host gets %q, %v", got, err)
	}
	if _, err := os.Stat(l.Addr().String()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is there still: %v", err)
	}
	until, _ := deadline(t).Deadline()
	for i, conn := range strangers {
		conn.SetReadDeadline(until)
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("stranger %d is not hung up on", i)
		}
	}
	select {
	case <-m.Ended():
		t.Error("the one connection has ended")
	default:
	}
}

// TestCandidateWhoSendsTooMuch opens a stream and keeps sending before it has proved
// anything.
func TestCandidateWhoSendsTooMuch(t *testing.T) {
	ours, theirs := net.Pipe()
	m := broker.NewPluginMux(nil)
	main := m.Listen(&oneListener{conn: ours, done: make(chan struct{})})
	defer m.Close()
	session := yamux.Client(theirs)
	defer session.Close()
	go main.Accept()
	for range 2 { // each has a window of 256 KiB
		st, err := session.Open(t.Context())
		if err != nil {
			break // it is over already
		}
		go st.Write(make([]byte, 256<<10))
	}
	<-session.Done()
}

// TestCandidatesWhenThePluginEnds ends a plugin before any candidate has proved to be its
// host.
func TestCandidatesWhenThePluginEnds(t *testing.T) {
	s := newSockets(t)
	l, err := s.listen()
	if err != nil {
		t.Fatal(err)
	}
	m := broker.NewPluginMux(nil)
	main := m.Listen(l)
	for i := range 10 {
		conn, err := socktest.Dial(l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		session := yamux.Client(conn)
		defer session.Close()
		if i%2 == 0 {
			continue
		}
		if _, err := session.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		first, err := main.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 { // its handshake fails
			first.Close()
		}
	}
	m.Close()
	<-m.Ended()
}
