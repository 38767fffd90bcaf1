package broker_test

import (
	"context"
	"encoding/binary"
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
	"github.com/tenonrpc/tenon/plugin/internal/socktest"
)

// TestPluginConnection is about the connections that a plugin's socket accepts.
func TestPluginConnection(t *testing.T) {
	s := newSockets(t)
	l, err := s.listen()
	if err != nil {
		t.Fatal(err)
	}
	m := broker.NewPluginMux(nil)
	main := m.Listen(l)
	dial := func() (net.Conn, error) { return socktest.Dial(l.Addr()) }
	// Hosts check whether there is a plugin.
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

	// One to which nothing connects, and one to which something connects that sends
	// nothing.
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

// tapListener records the connections that it accepts.
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

// TestOneIDManyDials dials one id many times at once. The call that knocks is the one
// that gets the stream, so that none with a stream waits for another. Nothing should wait
// for time to pass, so no time passes in the bubble.
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

// TestAcceptedByData: a peer may accept a stream with its first data, which waits for
// ours; the Rust crate yamux does so. A second stream comes only after that.
func TestAcceptedByData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		m := broker.NewHostMux(ours, nil)
		defer m.Close()
		frame := func() (kind byte, flags uint16, id uint32, data []byte) {
			var header [12]byte
			if _, err := io.ReadFull(theirs, header[:]); err != nil {
				t.Fatal(err)
			}
			if kind = header[1]; kind == 0 {
				data = make([]byte, binary.BigEndian.Uint32(header[8:]))
				if _, err := io.ReadFull(theirs, data); err != nil {
					t.Fatal(err)
				}
			}
			return kind, binary.BigEndian.Uint16(header[2:]), binary.BigEndian.Uint32(header[4:]), data
		}
		const syn, ack = 1, 2
		dial := func() <-chan net.Conn {
			conns := make(chan net.Conn, 1)
			go func() {
				conn, err := m.Dial(t.Context())
				if err != nil {
					t.Error(err)
				}
				conns <- conn
			}()
			synctest.Wait()
			return conns
		}
		first := dial()
		_, flags, id, _ := frame()
		if flags != syn || id != 1 {
			t.Fatalf("a stream begins with flags %d on stream %d", flags, id)
		}
		conn := <-first
		go conn.Write([]byte("hello"))
		if kind, _, _, data := frame(); kind != 0 || string(data) != "hello" {
			t.Fatalf("what is written before the stream is accepted arrives as %d %q", kind, data)
		}
		second := dial()
		if len(second) > 0 {
			t.Error("a second stream comes before the first is accepted")
		}
		answer := []byte{0, 0, 0, ack, 0, 0, 0, 1, 0, 0, 0, 2, 'h', 'i'}
		go theirs.Write(answer)
		var got [2]byte
		if _, err := io.ReadFull(conn, got[:]); err != nil || string(got[:]) != "hi" {
			t.Errorf("read %q, %v", got, err)
		}
		if _, flags, id, _ := frame(); flags != syn || id != 3 {
			t.Errorf("the second stream begins with flags %d on stream %d", flags, id)
		}
		(<-second).Close()
		conn.Close()
		go io.Copy(io.Discard, theirs)
	})
}
