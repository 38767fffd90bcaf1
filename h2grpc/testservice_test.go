package h2grpc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
)

// raw is a message of plain bytes.
type raw []byte

func (m *raw) AppendTo(b []byte) ([]byte, error) { return append(b, *m...), nil }

func (m *raw) Size() int { return len(*m) }

func (m *raw) UnmarshalFrom(b []byte) error {
	*m = append((*m)[:0], b...)
	return nil
}

func msg(s string) *raw {
	m := raw(s)
	return &m
}

// testService is a service whose methods are functions that a test sets.
type testService struct {
	unary  func(context.Context, *raw) (*raw, error)
	stream func(h2grpc.ServerStream) error
}

const (
	unaryMethod  = "/test.Service/Unary"
	clientMethod = "/test.Service/ClientStream"
	serverMethod = "/test.Service/ServerStream"
	bidiMethod   = "/test.Service/Bidi"
)

var (
	clientDesc = h2grpc.StreamDesc{StreamName: "ClientStream", ClientStreams: true}
	serverDesc = h2grpc.StreamDesc{StreamName: "ServerStream", ServerStreams: true}
	bidiDesc   = h2grpc.StreamDesc{StreamName: "Bidi", ClientStreams: true, ServerStreams: true}
)

func serviceDesc() *h2grpc.ServiceDesc {
	d := &h2grpc.ServiceDesc{
		ServiceName: "test.Service",
		Methods: []h2grpc.MethodDesc{{MethodName: "Unary", Handler: func(srv any, ctx context.Context, dec func(any) error, ic h2grpc.UnaryServerInterceptor) (any, error) {
			in := new(raw)
			if err := dec(in); err != nil {
				return nil, err
			}
			handler := func(ctx context.Context, req any) (any, error) {
				return srv.(*testService).unary(ctx, req.(*raw))
			}
			if ic == nil {
				return handler(ctx, in)
			}
			return ic(ctx, in, &h2grpc.UnaryServerInfo{Server: srv, FullMethod: unaryMethod}, handler)
		}}},
	}
	for _, s := range []h2grpc.StreamDesc{clientDesc, serverDesc, bidiDesc} {
		s.Handler = func(srv any, stream h2grpc.ServerStream) error { return srv.(*testService).stream(stream) }
		d.Streams = append(d.Streams, s)
	}
	return d
}

func echo(_ context.Context, in *raw) (*raw, error) { return in, nil }

// echoStream answers every message with itself.
func echoStream(s h2grpc.ServerStream) error {
	for {
		m := new(raw)
		if err := s.RecvMsg(m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.SendMsg(m); err != nil {
			return err
		}
	}
}

// network is a way from a client to a server.
type network struct {
	name   string
	listen func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error))
}

var networks = []network{{"memory", listenMemory}, {"unix", listenUnix}, {"tcp", listenTCP}}

// hasUnix reports whether this system has unix sockets: Wine has none, and Windows
// has them since version 10.
var hasUnix = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	lis, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err == nil {
		lis.Close()
	}
	return err == nil || runtime.GOOS != "windows"
})

func listenUnix(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
	if !hasUnix() {
		t.Skip("this system has no unix sockets")
	}
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return listenOn(t, "unix", filepath.Join(dir, "s"))
}

// listenSocket is for tests that need a real socket, of any kind: the kind that
// plugins and hosts use on this system.
func listenSocket(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
	if !hasUnix() {
		return listenTCP(t)
	}
	return listenUnix(t)
}

func listenTCP(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
	return listenOn(t, "tcp", "127.0.0.1:0")
}

func listenOn(t testing.TB, network, addr string) (net.Listener, func(context.Context) (net.Conn, error)) {
	lis, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return lis, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, lis.Addr().String())
	}
}

// memoryListener returns ends of net.Pipe.
type memoryListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func listenMemory(testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
	l := &memoryListener{make(chan net.Conn), make(chan struct{})}
	return l, func(ctx context.Context) (net.Conn, error) {
		a, b := net.Pipe()
		select {
		case l.conns <- b:
			return a, nil
		case <-l.done:
		case <-ctx.Done():
		}
		a.Close()
		b.Close()
		return nil, errors.New("nobody listens")
	}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

func (l *memoryListener) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }

// setup is what a test may configure of a client and a server.
type setup struct {
	service *testService
	server  h2grpc.ServerConfig
	client  h2grpc.ClientConfig
	tls     bool
	listen  func(testing.TB) (net.Listener, func(context.Context) (net.Conn, error))
}

// start serves and returns a client. Both end with the test, and must then have left
// nothing behind.
func start(t testing.TB, s setup) (*h2grpc.ClientConn, *h2grpc.Server) {
	t.Helper()
	if s.listen == nil {
		s.listen = listenMemory
	}
	lis, dial := s.listen(t)
	if s.client.Dial == nil {
		s.client.Dial = dial
	}
	if s.tls {
		s.server.TLS, s.client.TLS = testTLS(t)
	}
	srv := h2grpc.NewServer(&s.server)
	srv.RegisterService(serviceDesc(), s.service)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(lis) }()
	cc := h2grpc.NewClient(&s.client)
	t.Cleanup(func() {
		cc.Close()
		srv.Close()
		if err := <-served; err != h2grpc.ErrServerClosed {
			t.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
	})
	return cc, srv
}

// skipInFIPSBubble skips a test that needs random numbers in a synctest bubble
// while Go's FIPS 140 module is on: it seeds itself by measuring a clock, which
// stands still there. Programs' tests, which are in no bubble, cover the module.
func skipInFIPSBubble(t testing.TB) {
	if fips140.Enabled() && time.Now().Year() == 2000 { // where a bubble's time begins
		t.Skip("the FIPS 140 module cannot seed itself in a synctest bubble")
	}
}

// testTLS returns configs of two ends that trust one throw-away certificate.
func testTLS(t testing.TB) (server, client *tls.Config) {
	skipInFIPSBubble(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool}
}
