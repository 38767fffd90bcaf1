package broker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/wire"
)

// street is a listener of a broker to which strangers connect who send nothing.
type street struct {
	t      *testing.T
	dial   func() net.Conn
	server *tls.Config
	client *tls.Config
	listen func() (net.Listener, error)
}

func newStreet(t *testing.T) *street {
	h, p := identity(t), identity(t)
	listen, dial, _ := memoryListen()
	server := automtls.ServerConfig(h, p.DER(), nil)
	server.SessionTicketsDisabled = true // a ticket does not fit into a pipe
	return &street{t, dial, server, automtls.ClientConfig(p, h.DER(), nil), listen}
}

func (s *street) strangers(n int) {
	for range n {
		conn := s.dial()
		s.t.Cleanup(func() { conn.Close() })
		go io.Copy(io.Discard, conn)
	}
	synctest.Wait()
}

// friend connects and performs the handshake.
func (s *street) friend() *tls.Conn {
	conn := tls.Client(s.dial(), s.client)
	s.t.Cleanup(func() { conn.NetConn().Close() })
	go func() {
		if err := conn.HandshakeContext(s.t.Context()); err == nil {
			go conn.Write([]byte("hello"))
			io.Copy(io.Discard, conn)
		}
	}()
	return conn
}

func wantAtOnce(t *testing.T, began time.Time) {
	t.Helper()
	if d := time.Since(began); d > 0 {
		t.Errorf("it took %v, want no time beside strangers", d)
	}
}

// TestAcceptConnBesideStrangers: silent connections do not keep AcceptConn from the one
// that performs the handshake.
func TestAcceptConnBesideStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t)
		b := lonely(t, &broker.Config{Listen: s.listen, ServerTLS: s.server})
		there := acceptConn(deadline(t), b, 1)
		synctest.Wait()
		began := time.Now()
		s.strangers(50)
		s.friend()
		a := <-there
		if a.err != nil {
			t.Fatal(a.err)
		}
		wantAtOnce(t, began)
		a.conn.Close()
	})
}

// TestAcceptBesideStrangers: nor do they count as connections of the application.
func TestAcceptBesideStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t)
		b := lonely(t, &broker.Config{Listen: s.listen, ServerTLS: s.server, MaxOpen: 2})
		l, err := b.Accept(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan string)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					var p [5]byte
					if _, err := io.ReadFull(conn, p[:]); err == nil {
						heard <- string(p[:])
					}
					io.Copy(io.Discard, conn)
					conn.Close()
				}()
			}
		}()
		synctest.Wait()
		began := time.Now()
		s.strangers(50)
		var friends [3]*tls.Conn
		for i := range 2 {
			friends[i] = s.friend()
			<-heard
		}
		wantAtOnce(t, began)
		// They do.
		friends[2] = s.friend()
		synctest.Wait()
		select {
		case <-heard:
			t.Error("there are more connections than MaxBrokered allows")
		default:
		}
		friends[0].Close()
		<-heard
	})
}

// TestRelayBesideStrangers: nor do they delay what is relayed.
func TestRelayBesideStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t)
		_, dialled := net.Pipe()
		asPlugin := broker.New(&broker.Config{
			Listen: memListen,
			Dial:   func(context.Context, string, string) (net.Conn, error) { return dialled, nil },
		})
		a, host, hangup := stream()
		run(t, asPlugin, a, hangup)
		asHost := lonely(t, &broker.Config{Listen: s.listen, ServerTLS: s.server})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		joined := make(chan struct{})
		go func() {
			ended <- broker.Relay(ctx, asPlugin, asHost, func(uint32, net.Conn, net.Conn) { close(joined) })
		}()
		defer func() { stop(); <-ended }()
		if err := host.Send(&wire.ConnInfo{ServiceID: 1, Network: "unix", Address: "/the/host's"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		s.strangers(50)
		s.friend()
		<-joined
		wantAtOnce(t, began)
	})
}

// TestRelayOfManyKnocks: a side that knocks for ids that the other does not accept does
// not keep the relay itself from dialling it.
func TestRelayOfManyKnocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, plug := newMuxPeer(t, true), newMuxPeer(t, false)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- broker.Relay(ctx, host.b, plug.b, nil) }()
		defer func() { stop(); <-ended }()
		const id = 5000
		go func() { // the plugin accepts that one alone
			for {
				m, err := plug.control.Recv()
				if err != nil {
					return
				}
				if m.ServiceID == id {
					plug.ack(id, "")
				}
			}
		}()
		for id := range uint32(1000) {
			host.knock(id)
		}
		synctest.Wait()
		began := time.Now()
		conn, err := plug.b.DialConn(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("dialling took %v", d)
		}
	})
}

// TestRelayOfEndlessKnocks: a relay handles no more knocks at once, from a peer that
// knocks for new ids without end, than may be stored.
func TestRelayOfEndlessKnocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host, plug := newMuxPeer(t, true), newMuxPeer(t, false)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- broker.Relay(ctx, host.b, plug.b, nil) }()
		defer func() { stop(); <-ended }()
		go func() { // the plugin accepts nothing
			for {
				if _, err := plug.control.Recv(); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		before := runtime.NumGoroutine()
		for id := range uint32(10_000) { // in no time
			host.knock(id)
			if id%100 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 3000 {
			t.Errorf("%d goroutines more, for at most 1024 knocks", n)
		}
	})
}

// accepting has b accept connections for an application, which passes each to use and
// otherwise leaves it alone.
func accepting(t *testing.T, b *broker.Broker, use func(net.Conn)) {
	l, err := b.Accept(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			use(conn)
		}
	}()
	synctest.Wait()
}

// TestAcceptWithConfigForClient: a connection that is secured by the configuration of
// GetConfigForClient is proved, too.
func TestAcceptWithConfigForClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t)
		other := s.server
		outer := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return other, nil }, Certificates: other.Certificates}
		b := lonely(t, &broker.Config{Listen: s.listen, ServerTLS: outer, Server: h2grpc.ServerConfig{MaxHandshakes: 1}})
		accepting(t, b, func(c net.Conn) { go c.Write([]byte("hello")) })
		conns := make([]*tls.Conn, 4)
		for i := range conns {
			conns[i] = tls.Client(s.dial(), s.client)
			t.Cleanup(func() { conns[i].NetConn().Close() })
			var p [5]byte
			if _, err := io.ReadFull(conns[i], p[:]); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		ended := make(chan error, 1)
		go func() { _, err := conns[0].Read(make([]byte, 1)); ended <- err }()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Errorf("a connection in use was closed to make room: %v", err)
		default:
			conns[0].NetConn().Close()
			<-ended
		}
	})
}

// TestAcceptedConnectionsStay: strangers do not drive out connections that an application
// has accepted and not used yet.
func TestAcceptedConnectionsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t)
		b := lonely(t, &broker.Config{Listen: s.listen, ServerTLS: s.server, Server: h2grpc.ServerConfig{MaxHandshakes: 1}})
		parked := make(chan net.Conn, 100)
		accepting(t, b, func(c net.Conn) { parked <- c })
		friend := s.friend() // does its part of the handshake at once
		synctest.Wait()
		s.strangers(3)
		conn := <-parked
		if err := conn.(*tls.Conn).HandshakeContext(t.Context()); err != nil {
			t.Errorf("the application uses it: %v", err)
		}
		friend.NetConn().Close()
	})
}

// TestAcceptWantsTheKey: someone with the certificate of the peer but without its key is
// not proved.
func TestAcceptWantsTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStreet(t)
		b := lonely(t, &broker.Config{Listen: s.listen, ServerTLS: s.server, MaxOpen: 2})
		accepting(t, b, func(c net.Conn) { go io.Copy(io.Discard, c) })
		cert, err := s.client.GetClientCertificate(&tls.CertificateRequestInfo{
			SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}, Version: tls.VersionTLS12})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // as many as MaxBrokered
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // not the peer's
			if err != nil {
				t.Fatal(err)
			}
			half := s.client.Clone()
			half.ClientSessionCache, half.MinVersion = nil, tls.VersionTLS13
			half.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: cert.Certificate, PrivateKey: key}, nil
			}
			conn := tls.Client(&halfway{Conn: s.dial()}, half)
			t.Cleanup(func() { conn.NetConn().Close() })
			go conn.Handshake()
			synctest.Wait()
		}
		friend := tls.Client(s.dial(), s.client)
		done := make(chan error, 1)
		go func() { done <- friend.Handshake() }()
		synctest.Wait()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("two strangers without the key have taken all places of MaxBrokered")
		}
		friend.NetConn().Close()
	})
}

// halfway sends a client's records up to its certificate, and nothing more.
type halfway struct {
	net.Conn
	over bool
}

func (c *halfway) Write(p []byte) (int, error) {
	for b := p; len(b) > 0 && !c.over; {
		n := 5 + int(b[3])<<8 + int(b[4])
		if _, err := c.Conn.Write(b[:n]); err != nil {
			return 0, err
		}
		c.over = b[0] == 23 // the first that is encrypted
		b = b[n:]
	}
	return len(p), nil
}
