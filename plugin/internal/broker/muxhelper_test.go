package broker_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/yamux"
	"github.com/tenonrpc/tenon/wire"
)

// muxPeer is the peer of a multiplexed broker in a bubble.
type muxPeer struct {
	t       *testing.T
	b       *broker.Broker
	session *yamux.Session
	control *end
	log     *syncBuffer
	main    net.Listener // on a plugin
}

// newMuxPeer returns the peer of a new broker, a plugin's or a host's.
func newMuxPeer(t *testing.T, plugin bool) *muxPeer {
	t.Helper()
	p := &muxPeer{t: t, log: new(syncBuffer)}
	ours, theirs := net.Pipe()
	cfg := &broker.Config{Logger: testLogger{p.log}}
	if plugin {
		cfg.Mux = broker.NewPluginMux(cfg.Logger)
		p.main = cfg.Mux.Listen(&oneListener{conn: ours, done: make(chan struct{})})
		p.session = yamux.Client(theirs)
		st := p.open()
		main := acceptMain(t, p.main)
		t.Cleanup(func() { st.Close(); main.Close() })
	} else {
		cfg.Mux = broker.NewHostMux(ours, cfg.Logger)
		p.session = yamux.Server(theirs)
	}
	p.b = broker.New(cfg)
	mine, control, hangup := stream()
	p.control = control
	t.Cleanup(func() {
		p.session.Close()
		cfg.Mux.Close()
	})
	run(t, p.b, mine, hangup)
	return p
}

// acceptMain accepts a plugin's main connection, as a server does whose TLS
// handshake succeeds.
func acceptMain(t *testing.T, main net.Listener) net.Conn {
	t.Helper()
	conn, err := main.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.(interface{ Established() }).Established()
	return conn
}

func (p *muxPeer) open() *yamux.Stream {
	p.t.Helper()
	st, err := p.session.Open(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return st
}

func (p *muxPeer) knock(id uint32) {
	p.control.Send(&wire.ConnInfo{ServiceID: id, Knock: &wire.Knock{Knock: true}})
}

func (p *muxPeer) ack(id uint32, words string) {
	p.control.Send(&wire.ConnInfo{ServiceID: id, Network: wire.NetworkReady, Knock: &wire.Knock{Knock: true, Ack: true, Error: words}})
}

// want requires a knock, or its acknowledgement, as the next message.
func (p *muxPeer) want(what string, id uint32, ack bool) {
	p.t.Helper()
	synctest.Wait()
	select {
	case m := <-p.control.in:
		if m.ServiceID != id || m.Knock == nil || !m.Knock.Knock || m.Knock.Ack != ack || m.Knock.Error != "" || m.Address != "" {
			p.t.Fatalf("%s: the peer receives %+v, %+v, want id %d, ack %v", what, m, m.Knock, id, ack)
		}
	default:
		p.t.Fatalf("%s: the peer receives nothing, want id %d, ack %v", what, id, ack)
	}
}

func (p *muxPeer) wantNothing(what string) {
	p.t.Helper()
	synctest.Wait()
	select {
	case m := <-p.control.in:
		p.t.Fatalf("%s: the peer receives %+v, %+v, want nothing", what, m, m.Knock)
	default:
	}
}

// accepts returns the stream that the broker has opened.
func (p *muxPeer) accepts() *yamux.Stream {
	p.t.Helper()
	synctest.Wait()
	if p.session.NumStreams() == 0 {
		p.t.Fatal("the broker has opened no stream")
	}
	st, err := p.session.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	return st
}

// dial dials an id in the background.
func (p *muxPeer) dial(ctx context.Context, id uint32) <-chan error {
	result := make(chan error, 1)
	go func() {
		cc, err := p.b.Dial(ctx, id)
		if err == nil {
			cc.Close()
		}
		result <- err
	}()
	synctest.Wait()
	return result
}

// serve answers gRPC on a stream until it ends.
func (p *muxPeer) serve(st net.Conn) {
	s := h2grpc.NewServer(nil)
	go s.ServeConn(context.Background(), st)
	p.t.Cleanup(func() { s.Close() })
}

// testLogger is a Logger that writes messages.
type testLogger struct{ w io.Writer }

func (l testLogger) Debug(msg string, args ...any) { fmt.Fprintln(l.w, append([]any{msg}, args...)...) }
func (l testLogger) Info(msg string, args ...any)  { l.Debug(msg, args...) }
func (l testLogger) Warn(msg string, args ...any)  { l.Debug(msg, args...) }
func (l testLogger) Error(msg string, args ...any) { l.Debug(msg, args...) }

// oneListener accepts one connection.
type oneListener struct {
	memListener
	conn net.Conn
	done chan struct{}
	once sync.Once
}

func (l *oneListener) Accept() (net.Conn, error) {
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}
