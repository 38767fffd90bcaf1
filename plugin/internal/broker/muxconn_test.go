package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
)

// TestPluginConnection is what a plugin's socket is good for.
func TestPluginConnection(t *testing.T) {
	s := newSockets(t)
	l, err := s.listen()
	if err != nil {
		t.Fatal(err)
	}
	m := broker.NewPluginMux(nil)
	main := m.Listen(l)
	dial := func() (net.Conn, error) { return net.Dial("unix", l.Addr().String()) }
	// Hosts look whether there is a plugin.
	for range 3 {
		probe, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		probe.Close()
	}
	raw, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	host := broker.NewHostMux(raw, nil)
	conn, err := host.Dial(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	acceptMain(t, main)
	// There is no second connection, and no socket any more.
	if _, err := os.Stat(l.Addr().String()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is there still: %v", err)
	}
	if second, err := dial(); err == nil {
		second.Close()
		t.Error("a second connection is accepted")
	}
	select {
	case <-m.Ended():
		t.Error("ended")
	default:
	}
	conn.Close()
	host.Close()
	<-m.Ended()
	if err := m.Err(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("ended with %v", err)
	}
	m.Close()
	if _, err := main.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}

	// One that nobody connects to, and one whose visitor says nothing.
	for range 2 {
		if l, err = s.listen(); err != nil {
			t.Fatal(err)
		}
		m := broker.NewPluginMux(nil)
		m.Listen(l)
		silent, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		<-m.Ended()
		silent.Close()
	}
}

// TestMuxRedial loses a brokered connection, which the next call makes again.
func TestMuxRedial(t *testing.T) {
	host, plug := muxPair(t, true)
	ctx := deadline(t)
	l, err := plug.Accept(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conns := make(chan net.Conn, 10)
	s := h2grpc.NewServer(nil)
	named("again")(s)
	served := make(chan error, 1)
	go func() { served <- s.Serve(&tapListener{l, conns}) }()
	defer func() { s.Close(); <-served }()
	cc, err := host.Dial(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	for range 3 {
		if got, err := ask(ctx, cc); err != nil || got != "again" {
			t.Fatalf("%q, %v", got, err)
		}
		(<-conns).Close()
		for err == nil { // until the client has noticed
			short, cancel := context.WithTimeout(ctx, time.Second)
			err = cc.Connect(short)
			cancel()
			if len(conns) > 0 {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tapListener shows the connections that it accepts.
type tapListener struct {
	net.Listener
	conns chan<- net.Conn
}

func (l *tapListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.conns <- conn
	}
	return conn, err
}

// TestManyDials dials many ids at once, from both sides.
func TestManyDials(t *testing.T) {
	host, plug := muxPair(t, false)
	ctx := deadline(t)
	var all sync.WaitGroup
	for i := range uint32(100) {
		for _, side := range []struct {
			name             string
			serving, dialing *broker.Broker
		}{{"plugin", plug, host}, {"host", host, plug}} {
			all.Go(func() {
				go side.serving.AcceptAndServe(ctx, i, named(fmt.Sprint(side.name, i)))
				cc, err := side.dialing.Dial(ctx, i)
				if err != nil {
					t.Error(err)
					return
				}
				defer cc.Close()
				if got, err := ask(ctx, cc); err != nil || got != fmt.Sprint(side.name, i) {
					t.Errorf("id %d of the %s answers %q, %v", i, side.name, got, err)
				}
			})
		}
	}
	all.Wait()
}

// TestOneIDManyDials dials one id many times at once. Whoever knocks is the one
// who is let in: nobody waits for somebody else's turn with a stream in hand.
// Nothing is to wait for time to pass, so no time passes in the bubble.
func TestOneIDManyDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		ctx := deadline(t)
		host, plug := muxPairOver(t, false, &oneListener{conn: ours, done: make(chan struct{})}, func() (net.Conn, error) { return theirs, nil })
		l, err := plug.Accept(ctx, 7)
		if err != nil {
			t.Fatal(err)
		}
		s := h2grpc.NewServer(nil)
		named("seven")(s)
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		defer func() { s.Close(); <-served }()
		begin := time.Now()
		for range 40 {
			var all sync.WaitGroup
			for range 32 {
				all.Go(func() {
					cc, err := host.Dial(ctx, 7)
					if err != nil {
						t.Error(err)
						return
					}
					cc.Close() // it was connected
				})
			}
			all.Wait()
		}
		if took := time.Since(begin); took != 0 {
			t.Errorf("1280 dials wait for %v", took)
		}
	})
}
