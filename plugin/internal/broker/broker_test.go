package broker_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
	"github.com/tenonrpc/tenon/wire"
)

func TestBothDirections(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			host, plug := m.pair(t)
			for range 2 {
				id, err := host.Serve(t.Context(), named("host"))
				if err != nil {
					t.Fatal(err)
				}
				wantName(t, plug, id, "host")
				if id, err = plug.Serve(t.Context(), named("plugin")); err != nil {
					t.Fatal(err)
				}
				wantName(t, host, id, "plugin")
			}
		})
	}
}

func TestAcceptAndServe(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			host, plug := m.pair(t)
			testAcceptAndServe(t, host, plug)
		})
	}
}

func testAcceptAndServe(t *testing.T, host, plug *broker.Broker) {
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- plug.AcceptAndServe(ctx, 77, named("77")) }()
	wantName(t, host, 77, "77")
	cancel()
	if err := <-served; err != nil {
		t.Errorf("AcceptAndServe ends with %v", err)
	}
	// A registration that is wrong.
	err := plug.AcceptAndServe(t.Context(), 78, func(s *h2grpc.Server) error {
		named("a")(s)
		named("b")(s)
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "registering the services of id 78") || !strings.Contains(err.Error(), "already registered") {
		t.Errorf("a wrong registration: %v", err)
	}
}

func TestAcceptIsSecured(t *testing.T) {
	host, plug := pair(t, true)
	ctx := deadline(t)
	l, err := plug.Accept(ctx, 5)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := h2grpc.NewServer(nil) // without TLS of its own
	named("accepted")(s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	defer func() { s.Close(); <-served }()

	raw, err := socktest.Dial(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	id := identity(t)
	stranger := tls.Client(raw, &tls.Config{Certificates: []tls.Certificate{id.Certificate()}, InsecureSkipVerify: true})
	// Under TLS 1.3 a client learns only by reading that it was refused.
	if n, err := stranger.Read(make([]byte, 1)); err == nil {
		t.Errorf("a stranger receives %d bytes", n)
	}
	wantName(t, host, 5, "accepted")
}

func TestResumption(t *testing.T) {
	host, plug := pair(t, true)
	testResumption(t, host, plug)
	host, plug = muxPair(t, true)
	testResumption(t, host, plug)
}

func testResumption(t *testing.T, host, plug *broker.Broker) {
	for i := range 2 {
		var resumed atomic.Bool
		id, err := plug.Serve(t.Context(), func(s *h2grpc.Server) error {
			s.RegisterService(&nameDesc, nameServer(func(ctx context.Context) (string, error) {
				p, ok := peer.FromContext(ctx)
				if !ok || p.TLS == nil {
					return "", errors.New("no TLS")
				}
				resumed.Store(p.TLS.DidResume)
				return "x", nil
			}))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		wantName(t, host, id, "x")
		if got, want := resumed.Load(), i > 0; got != want {
			t.Errorf("connection %d resumes a session: %v, want %v", i+1, got, want)
		}
	}
}

func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker.New(&broker.Config{Listen: memListen})
		defer b.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := b.Dial(ctx, 4); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "dialling id 4: the other side has not announced it") {
			t.Errorf("Dial without an announcement: %v", err)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("Dial waited %v, want as long as its context", waited)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Accept(ctx, 4); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "accepting id 4: the other side could not be told") {
			t.Errorf("Accept without a control stream: %v", err)
		}

		// Both finish when they can.
		type result struct {
			cc  *h2grpc.ClientConn
			err error
		}
		accepted, dialled := make(chan error, 1), make(chan result, 1)
		go func() { _, err := b.Accept(t.Context(), 5); accepted <- err }()
		go func() { cc, err := b.Dial(t.Context(), 6); dialled <- result{cc, err} }()
		synctest.Wait()
		ours, theirs, hangup := stream()
		ran := make(chan error, 1)
		go func() { ran <- b.Run(ours) }()
		if info, err := theirs.Recv(); err != nil || info.ServiceID != 5 || info.Network != "mem" {
			t.Errorf("announced: %v, %v", info, err)
		}
		if err := <-accepted; err != nil {
			t.Error(err)
		}
		theirs.Send(&wire.ConnInfo{ServiceID: 6, Network: "unix", Address: "/s"})
		r := <-dialled
		if r.err != nil {
			t.Fatal(r.err)
		}
		r.cc.Close()

		// An announcement is good for one Dial.
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Dial(ctx, 6); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second Dial: %v", err)
		}
		hangup()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestBadAnnouncements(t *testing.T) {
	var log syncBuffer
	b := broker.New(&broker.Config{Listen: memListen, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	ours, theirs, hangup := stream()
	run(t, b, ours, hangup)
	theirs.Send(&wire.ConnInfo{ServiceID: 1, Knock: &wire.Knock{Knock: true}})
	theirs.Send(&wire.ConnInfo{ServiceID: 2, Network: "udp", Address: "1.2.3.4:5\x00"})
	theirs.Send(&wire.ConnInfo{ServiceID: 3, Network: "unix"})
	ctx := deadline(t)
	for id, want := range map[uint32]string{
		2: `dialling id 2: the other side announced an unusable address: network "udp", address "1.2.3.4:5\x00"`,
		3: `network "unix", address ""`,
	} {
		if _, err := b.Dial(ctx, id); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("id %d: %v, want %s", id, err, want)
		}
	}
	if !strings.Contains(log.String(), "ignores a knock") {
		t.Errorf("the knock is not logged: %s", &log)
	}
	// An announcement that replaces an earlier one.
	theirs.Send(&wire.ConnInfo{ServiceID: 9, Network: "old", Address: "x"})
	theirs.Send(&wire.ConnInfo{ServiceID: 9, Network: "new", Address: "x"})
	theirs.Send(&wire.ConnInfo{ServiceID: 1, Knock: &wire.Knock{Knock: true}}) // the two before it have been handled
	if _, err := b.Dial(ctx, 9); err == nil || !strings.Contains(err.Error(), `network "new"`) {
		t.Errorf("announced twice: %v", err)
	}

	// More than the limit allows.
	const limit = 1024
	for id := range uint32(limit + 1) {
		theirs.Send(&wire.ConnInfo{ServiceID: 100 + id, Network: "udp", Address: "x"})
	}
	// Once this one has been received, the ones before it have been handled.
	theirs.Send(&wire.ConnInfo{ServiceID: 1, Knock: &wire.Knock{Knock: true}})
	if n := strings.Count(log.String(), "forgets a connection"); n != 1 {
		t.Errorf("%d announcements were forgotten, want 1", n)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := b.Dial(gone, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("the oldest: %v", err)
	}
	for _, id := range []uint32{101, 100 + limit} {
		if _, err := b.Dial(ctx, id); err == nil || !strings.Contains(err.Error(), "unusable") {
			t.Errorf("id %d, which should be kept: %v", id, err)
		}
	}
}

func TestClose(t *testing.T) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			host, plug := m.pair(t)
			testClose(t, host, plug)
		})
	}
}

func testClose(t *testing.T, host, plug *broker.Broker) {
	ctx := deadline(t)
	id, err := plug.Serve(ctx, named("x"))
	if err != nil {
		t.Fatal(err)
	}
	cc, err := host.Dial(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if _, err := ask(ctx, cc); err != nil {
		t.Fatal(err)
	}
	l, err := plug.Accept(ctx, 50)
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { _, err := plug.Dial(ctx, 51); waiting <- err }()

	plug.Hangup()
	if err := <-waiting; !errors.Is(err, broker.ErrClosed) {
		t.Errorf("a waiting Dial: %v", err)
	}
	if _, err := ask(ctx, cc); err != nil {
		t.Errorf("Hangup ends a server: %v", err)
	}
	for what, err := range map[string]error{
		"Accept":         second(plug.Accept(ctx, 52)),
		"Dial":           second(plug.Dial(ctx, 52)),
		"Serve":          second(plug.Serve(ctx, named("y"))),
		"AcceptAndServe": plug.AcceptAndServe(ctx, 52, named("y")),
	} {
		if !errors.Is(err, broker.ErrClosed) {
			t.Errorf("%s after Hangup: %v", what, err)
		}
	}
	if err := plug.Run(&end{}); err != nil {
		t.Errorf("a control stream that comes after Hangup: %v; it ends as those that were there do", err)
	}
	plug.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a listener after Close: %v", err)
	}
	// With a Mux, a call waits a while for the server to come back.
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := ask(ctx, cc); err == nil {
		t.Error("a server answers after Close")
	}
	plug.Close()
}

// TestCloseIsBounded has a handler that ignores its cancellation.
func TestCloseIsBounded(t *testing.T) {
	var log bytes.Buffer
	host, plug := loggedPair(t, false, slog.New(slog.NewTextHandler(&log, nil)))
	ctx := deadline(t)
	begun, release := make(chan struct{}), make(chan struct{})
	id, err := plug.Serve(ctx, func(s *h2grpc.Server) error {
		s.RegisterService(&nameDesc, nameServer(func(context.Context) (string, error) {
			close(begun)
			<-release
			return "", nil
		}))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cc, err := host.Dial(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	asked := make(chan struct{})
	go func() { ask(ctx, cc); close(asked) }()
	<-begun
	plug.Close()
	close(release)
	<-asked
	if !strings.Contains(log.String(), "still running") || !strings.Contains(log.String(), "methods=[/test.Name/Name]") {
		t.Errorf("the log does not name the method: %q", log.String())
	}
}

// TestRegisterFails: an error of register is returned to the caller, and nothing is
// served.
func TestRegisterFails(t *testing.T) {
	_, plug := pair(t, false)
	mine := errors.New("no database")
	fail := func(*h2grpc.Server) error { return mine }
	if id, err := plug.Serve(t.Context(), fail); !errors.Is(err, mine) || id != 0 {
		t.Errorf("Serve: %d, %v", id, err)
	}
	if err := plug.AcceptAndServe(t.Context(), 79, fail); !errors.Is(err, mine) || !strings.Contains(err.Error(), "id 79") {
		t.Errorf("AcceptAndServe: %v", err)
	}
	id, err := plug.Serve(t.Context(), func(s *h2grpc.Server) error { return errors.Join(named("a")(s), named("b")(s)) })
	if err == nil || !strings.Contains(err.Error(), "already registered") {
		t.Errorf("Serve with a service twice: %d, %v", id, err)
	}
}

// TestNewestStream opens a second control stream, as a host does that attaches to a
// plugin again, and loses it.
func TestNewestStream(t *testing.T) {
	b := broker.New(&broker.Config{Listen: memListen})
	first, firstPeer, hangupFirst := stream()
	run(t, b, first, hangupFirst)
	ctx := deadline(t)
	wantAnnounced := func(what string, peer *end, id uint32) {
		t.Helper()
		accepted := make(chan error, 1)
		go func() { accepted <- second(b.Accept(ctx, id)) }()
		info, err := peer.Recv()
		if err != nil || info.ServiceID != id {
			t.Errorf("%s: announced %v, %v", what, info, err)
		}
		if err := <-accepted; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantAnnounced("one stream", firstPeer, 1)
	newer, newerPeer, hangupNewer := stream()
	ran := make(chan error, 1)
	go func() { ran <- b.Run(newer) }()
	// The newer stream is in use once it has received.
	newerPeer.Send(&wire.ConnInfo{ServiceID: 2, Network: "udp", Address: "x"})
	if _, err := b.Dial(ctx, 2); err == nil {
		t.Error("udp was dialled")
	}
	wantAnnounced("two streams", newerPeer, 3)
	hangupNewer()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	wantAnnounced("the older stream alone", firstPeer, 4)
}

func TestBrokenStream(t *testing.T) {
	reset := errors.New("reset by peer")
	for _, tt := range []struct {
		name             string
		send, recv, want error
	}{
		{"a server's stream", reset, context.Canceled, reset},
		{"a client's stream", io.EOF, reset, reset},
		{"a client's stream in order", io.EOF, io.EOF, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := broker.New(&broker.Config{Listen: memListen})
			defer b.Close()
			accepted := make(chan error, 1)
			go func() { accepted <- second(b.Accept(deadline(t), 1)) }()
			if err := b.Run(&failing{send: tt.send, recv: tt.recv, ended: make(chan struct{})}); !errors.Is(err, tt.want) {
				t.Errorf("Run: %v, want %v", err, tt.want)
			}
			// A host connects again, and makes another stream.
			next, peer, hangup := stream()
			run(t, b, next, hangup)
			if info, err := peer.Recv(); err != nil || info.ServiceID != 1 {
				t.Errorf("announced %v, %v", info, err)
			}
			if err := <-accepted; err != nil {
				t.Errorf("Accept: %v", err)
			}
		})
	}
	noSocket := errors.New("no socket")
	b := broker.New(&broker.Config{Listen: func() (net.Listener, error) { return nil, noSocket }})
	defer b.Close()
	if _, err := b.Accept(t.Context(), 1); !errors.Is(err, noSocket) {
		t.Errorf("Accept without a listener: %v", err)
	}
}

func TestNextID(t *testing.T) {
	b := broker.New(&broker.Config{Listen: memListen})
	defer b.Close()
	if a, c := b.NextID(), b.NextID(); a != 1 || c != 2 {
		t.Errorf("ids %d, %d, want 1, 2", a, c)
	}
}
