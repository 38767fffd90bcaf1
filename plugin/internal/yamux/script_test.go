package yamux_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tenonrpc/tenon/plugin/internal/yamux"
)

// script is a peer that speaks yamux frame by frame, in a synctest bubble. It
// can break every rule. What it receives becomes lines of text:
//
//	data 1 "bytes" FIN, or data 1 [262144 bytes] if they are many
//	window update 1 +131072 ACK
//	ping SYN 1
//	go away 1
//	closed
//
// Only the test's goroutine uses it.
type script struct {
	t     *testing.T
	nc    net.Conn
	lines chan string
	gate  chan struct{} // holds a token while the script reads
}

// start returns a session of a client or a server, whose peer is the script.
// The session is closed with the test.
func start(t *testing.T, end func(net.Conn) *yamux.Session) (*yamux.Session, *script) {
	a, b := net.Pipe()
	p := &script{t: t, nc: b, lines: make(chan string, 1<<16), gate: make(chan struct{}, 1)}
	p.gate <- struct{}{}
	go p.read()
	s := end(a)
	t.Cleanup(func() {
		s.Close()
		b.Close()
		p.resume()
		for range p.lines { // until the reader has ended
		}
	})
	return s, p
}

func (p *script) read() {
	defer close(p.lines)
	br := bufio.NewReader(p.nc)
	var b [yamux.HeaderLen]byte
	for {
		<-p.gate
		p.gate <- struct{}{}
		if _, err := io.ReadFull(br, b[:]); err != nil {
			p.lines <- "closed"
			return
		}
		h, err := yamux.ParseHeader(b[:])
		if err != nil {
			p.lines <- err.Error()
			return
		}
		line := h.Type.String()
		switch h.Type {
		case yamux.Data:
			data := make([]byte, h.Length)
			if _, err := io.ReadFull(br, data); err != nil {
				p.lines <- "closed in a frame"
				return
			}
			if len(data) <= 64 {
				line += fmt.Sprintf(" %d %q", h.StreamID, data)
			} else {
				line += fmt.Sprintf(" %d [%d bytes]", h.StreamID, len(data))
			}
		case yamux.WindowUpdate:
			line += fmt.Sprintf(" %d +%d", h.StreamID, h.Length)
		case yamux.GoAway:
			line += fmt.Sprintf(" %d", h.Length)
		}
		for i, name := range []string{"SYN", "ACK", "FIN", "RST"} {
			if h.Flags&(1<<i) != 0 {
				line += " " + name
			}
		}
		if h.Type == yamux.Ping {
			line += fmt.Sprintf(" %d", h.Length)
		}
		p.lines <- line
	}
}

// stall makes the script stop reading, until resume or the end of the test.
func (p *script) stall() {
	synctest.Wait()
	<-p.gate
	// The reader is waiting for a frame already.
	p.header(yamux.Ping, yamux.SYN, 0, 0)
	p.want("a ping", "ping ACK 0")
}

func (p *script) resume() {
	select {
	case p.gate <- struct{}{}:
	default: // it reads
	}
}

const (
	syn = yamux.SYN
	ack = yamux.ACK
	fin = yamux.FIN
	rst = yamux.RST
)

// write writes raw bytes. It is no failure if the session has ended.
func (p *script) write(b []byte) { p.nc.Write(b) }

func (p *script) header(typ yamux.Type, flags uint16, id, length uint32) {
	p.write(yamux.Header{Type: typ, Flags: flags, StreamID: id, Length: length}.Append(nil))
}

func (p *script) data(id uint32, flags uint16, data string) {
	h := yamux.Header{Type: yamux.Data, Flags: flags, StreamID: id, Length: uint32(len(data))}
	p.write(append(h.Append(nil), data...))
}

func (p *script) update(id uint32, flags uint16, more uint32) {
	p.header(yamux.WindowUpdate, flags, id, more)
}

// want compares the next lines.
func (p *script) want(what string, lines ...string) {
	p.t.Helper()
	for _, want := range lines {
		synctest.Wait()
		select {
		case got, ok := <-p.lines:
			if !ok {
				got = "nothing: the connection was closed before"
			}
			if got != want {
				p.t.Fatalf("%s: the peer receives %q, want %q", what, got, want)
			}
		default:
			p.t.Fatalf("%s: the peer receives nothing, want %q", what, want)
		}
	}
}

// wantNothing fails if anything else was received.
func (p *script) wantNothing(what string) {
	p.t.Helper()
	synctest.Wait()
	select {
	case got := <-p.lines:
		p.t.Fatalf("%s: the peer receives %q, want nothing", what, got)
	default:
	}
}

// wantEnd checks how the session has ended.
func wantEnd(t *testing.T, s *yamux.Session, words string) {
	t.Helper()
	synctest.Wait()
	select {
	case <-s.Done():
	default:
		t.Fatalf("the session goes on, want its end: %s", words)
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), words) {
		t.Fatalf("the session ended with %v, want %q", err, words)
	}
}

// wantAlive checks that the session still answers.
func (p *script) wantAlive(s *yamux.Session) {
	p.t.Helper()
	p.header(yamux.Ping, syn, 0, 4711)
	p.want("a ping", "ping ACK 4711")
	if err := s.Err(); err != nil {
		p.t.Fatalf("the session has ended: %v", err)
	}
}

// accept accepts a stream that the script opens.
func (p *script) accept(s *yamux.Session, id uint32) *yamux.Stream {
	p.t.Helper()
	p.update(id, syn, 0)
	st, err := s.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.want("Accept", fmt.Sprintf("window update %d +0 ACK", id))
	return st
}

// open opens a stream and lets the script accept it.
func (p *script) open(s *yamux.Session, id uint32) *yamux.Stream {
	p.t.Helper()
	st, err := s.Open(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	p.want("Open", fmt.Sprintf("window update %d +0 SYN", id))
	p.update(id, ack, 0)
	return st
}
