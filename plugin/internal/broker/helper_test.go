package broker_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/wire"
)

// end is one end of a control stream in memory.
type end struct {
	out  chan<- *wire.ConnInfo
	in   <-chan *wire.ConnInfo
	done <-chan struct{}
}

func (e *end) Send(m *wire.ConnInfo) error {
	select {
	case e.out <- m:
		return nil
	case <-e.done:
		return io.EOF
	}
}

func (e *end) Recv() (*wire.ConnInfo, error) {
	select {
	case m := <-e.in:
		return m, nil
	case <-e.done:
		return nil, io.EOF
	}
}

// stream returns both ends of a control stream, and a function that ends it.
func stream() (a, b *end, hangup func()) {
	ab, ba, done := make(chan *wire.ConnInfo), make(chan *wire.ConnInfo), make(chan struct{})
	return &end{ab, ba, done}, &end{ba, ab, done}, sync.OnceFunc(func() { close(done) })
}

// sockets listens on sockets in a directory of the test.
type sockets struct{ dir string }

func newSockets(t *testing.T) *sockets {
	t.Helper()
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 0 {
			t.Errorf("left behind: %v, %v", entries, err)
		}
		os.RemoveAll(dir)
	})
	return &sockets{dir: dir}
}

func (s *sockets) listen() (net.Listener, error) {
	return socktest.Listen(s.dir)
}

// pair returns two brokers that are connected, secured if asked.
func pair(t *testing.T, secure bool) (host, plug *broker.Broker) {
	t.Helper()
	return loggedPair(t, secure, nil)
}

// loggedPair is pair with a Logger for plug.
func loggedPair(t *testing.T, secure bool, log h2grpc.Logger) (host, plug *broker.Broker) {
	t.Helper()
	s := newSockets(t)
	hostCfg, plugCfg := broker.Config{Listen: s.listen}, broker.Config{Listen: s.listen, Logger: log}
	if secure {
		h, p := identity(t), identity(t)
		hostCfg.ServerTLS, hostCfg.ClientTLS = automtls.ServerConfig(h, p.DER(), nil), automtls.ClientConfig(h, p.DER(), nil)
		plugCfg.ServerTLS, plugCfg.ClientTLS = automtls.ServerConfig(p, h.DER(), nil), automtls.ClientConfig(p, h.DER(), nil)
	}
	host, plug = broker.New(&hostCfg), broker.New(&plugCfg)
	a, b, hangup := stream()
	run(t, host, a, hangup)
	run(t, plug, b, hangup)
	return host, plug
}

// modes are the ways in which brokers are connected.
var modes = []struct {
	name string
	pair func(*testing.T) (host, plug *broker.Broker)
}{
	{"plaintext", func(t *testing.T) (host, plug *broker.Broker) { return pair(t, false) }},
	{"AutoMTLS", func(t *testing.T) (host, plug *broker.Broker) { return pair(t, true) }},
	{"multiplexed", func(t *testing.T) (host, plug *broker.Broker) { return muxPair(t, false) }},
	{"multiplexed AutoMTLS", func(t *testing.T) (host, plug *broker.Broker) { return muxPair(t, true) }},
}

// muxPair is pair over one connection.
func muxPair(t *testing.T, secure bool) (host, plug *broker.Broker) {
	t.Helper()
	s := newSockets(t)
	l, err := s.listen()
	if err != nil {
		t.Fatal(err)
	}
	return muxPairOver(t, secure, l, func() (net.Conn, error) { return socktest.Dial(l.Addr()) })
}

// muxPairOver is muxPair over the connection that dial makes to l.
func muxPairOver(t *testing.T, secure bool, l net.Listener, dial func() (net.Conn, error)) (host, plug *broker.Broker) {
	t.Helper()
	var hostCfg, plugCfg broker.Config
	if secure {
		h, p := identity(t), identity(t)
		hostCfg.ServerTLS, hostCfg.ClientTLS = automtls.ServerConfig(h, p.DER(), nil), automtls.ClientConfig(h, p.DER(), nil)
		plugCfg.ServerTLS, plugCfg.ClientTLS = automtls.ServerConfig(p, h.DER(), nil), automtls.ClientConfig(p, h.DER(), nil)
	}
	plugMux := broker.NewPluginMux(nil)
	t.Cleanup(func() { plugMux.Close() })
	main := plugMux.Listen(l)
	raw, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	hostMux := broker.NewHostMux(raw, nil)
	t.Cleanup(func() { hostMux.Close() })
	// The main connection, which would carry the control stream.
	conn, err := hostMux.Dial(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	first := acceptMain(t, main)
	t.Cleanup(func() { first.Close() })
	hostCfg.Mux, plugCfg.Mux = hostMux, plugMux
	host, plug = broker.New(&hostCfg), broker.New(&plugCfg)
	a, b, hangup := stream()
	run(t, host, a, hangup)
	run(t, plug, b, hangup)
	return host, plug
}

// run serves a control stream until the test ends.
func run(t *testing.T, b *broker.Broker, e *end, hangup func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- b.Run(e) }()
	t.Cleanup(func() {
		b.Close()
		hangup()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// skipInFIPSBubble skips a test that needs random numbers in a synctest bubble while Go's
// FIPS 140 module is on: the module seeds itself by measuring a clock, which stands still
// there. Tests of whole programs, which are in no bubble, cover the module.
func skipInFIPSBubble(t testing.TB) {
	if fips140.Enabled() && time.Now().Year() == 2000 { // where a bubble's time begins
		t.Skip("the FIPS 140 module cannot seed itself in a synctest bubble")
	}
}

func identity(t *testing.T) *automtls.Identity {
	t.Helper()
	skipInFIPSBubble(t)
	id, err := automtls.New(automtls.P256)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// nameServer answers every call with a name.
type nameServer func(context.Context) (string, error)

var nameDesc = h2grpc.ServiceDesc{
	ServiceName: "test.Name",
	Methods: []h2grpc.MethodDesc{{
		MethodName: "Name",
		Handler: func(srv any, ctx context.Context, dec func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
			if err := dec(new(wire.Empty)); err != nil {
				return nil, err
			}
			name, err := srv.(nameServer)(ctx)
			return &wire.StdioData{Data: []byte(name)}, err
		},
	}},
}

func named(name string) func(*h2grpc.Server) error {
	return func(s *h2grpc.Server) error {
		s.RegisterService(&nameDesc, nameServer(func(context.Context) (string, error) { return name, nil }))
		return nil
	}
}

func ask(ctx context.Context, cc *h2grpc.ClientConn) (string, error) {
	out := new(wire.StdioData)
	err := cc.Invoke(ctx, "/test.Name/Name", &wire.Empty{}, out)
	return string(out.Data), err
}

func wantName(t *testing.T, b *broker.Broker, id uint32, want string) {
	t.Helper()
	ctx := deadline(t)
	cc, err := b.Dial(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if got, err := ask(ctx, cc); err != nil || got != want {
		t.Errorf("behind id %d answers %q, %v, want %q", id, got, err, want)
	}
}

// memListener is a listener that nobody can dial.
type memListener struct {
	done  chan struct{}
	close func() // closes done, once
}

func memListen() (net.Listener, error) {
	done := make(chan struct{})
	return &memListener{done, sync.OnceFunc(func() { close(done) })}, nil
}

func (l *memListener) Accept() (net.Conn, error) { <-l.done; return nil, net.ErrClosed }
func (l *memListener) Close() error              { l.close(); return nil }
func (l *memListener) Addr() net.Addr            { return memAddr{} }

type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "nowhere" }

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// failing is a control stream whose Send fails.
type failing struct {
	send, recv error
	ended      chan struct{} // closed when Send has failed
	once       sync.Once
}

func (f *failing) Send(*wire.ConnInfo) error {
	f.once.Do(func() { close(f.ended) })
	return f.send
}

func (f *failing) Recv() (*wire.ConnInfo, error) {
	<-f.ended
	return nil, f.recv
}

// second drops the first result of a call.
func second[T any](_ T, err error) error { return err }
