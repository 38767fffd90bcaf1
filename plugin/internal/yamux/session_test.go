package yamux_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tenonrpc/tenon/plugin/internal/yamux"
)

// skipPings lets the bubble's time pass and answers the session's pings meanwhile.
func (p *script) skipPings(d time.Duration) {
	p.t.Helper()
	end := time.Now().Add(d)
	for {
		synctest.Wait()
		select {
		case line := <-p.lines:
			var value uint32
			if _, err := fmt.Sscanf(line, "ping SYN %d", &value); err != nil {
				p.t.Fatalf("the peer receives %q, want pings alone", line)
			}
			p.header(yamux.Ping, ack, 0, value)
			continue
		default:
		}
		if !time.Now().Before(end) {
			return
		}
		<-time.After(min(time.Second, time.Until(end)))
	}
}

func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		time.Sleep(30*time.Second - 1)
		p.wantNothing("before the time")
		time.Sleep(time.Nanosecond)
		p.want("the first ping", "ping SYN 1")
		time.Sleep(10*time.Second - 1)
		p.header(yamux.Ping, ack, 0, 1)
		synctest.Wait()
		time.Sleep(30 * time.Second)
		p.want("the second ping, counted from the answer", "ping SYN 2")
		p.header(yamux.Ping, ack, 0, 1) // not the answer
		time.Sleep(10*time.Second - 1)
		p.wantAlive(s)
		time.Sleep(time.Nanosecond)
		wantEnd(t, s, "does not respond: no answer to a ping within 10s")
		if !errors.Is(s.Err(), yamux.ErrUnresponsive) {
			t.Errorf("ended with %v", s.Err())
		}
		p.want("the end", "closed")
	})
}

func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		st := p.open(s, 1)
		p.stall()
		st.Write([]byte("x"))
		time.Sleep(10*time.Second - 1)
		if err := s.Err(); err != nil {
			t.Fatal(err)
		}
		st.Write([]byte("y"))
		time.Sleep(time.Nanosecond)
		wantEnd(t, s, "does not respond: nothing could be written for 10s")
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		st := p.open(s, 1)
		p.data(1, 0, "unread")
		synctest.Wait()
		st.Write([]byte("last words"))
		s.Close()
		p.want("Close", `data 1 "last words"`, "closed")
		wantRead(t, st, "unread")
		for what, err := range map[string]error{
			"Err":    s.Err(),
			"Read":   second(st.Read(make([]byte, 1))),
			"Write":  second(st.Write([]byte("x"))),
			"Open":   second(s.Open(t.Context())),
			"Accept": second(s.Accept()),
		} {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		st.Close()
		s.Close()
		s.GoAway()
	})
	// All waiting calls return.
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		st := p.open(s, 1)
		errs := make(chan error, 3)
		go func() { errs <- second(st.Read(make([]byte, 1))) }()
		go func() { errs <- second(st.Write(make([]byte, 2*window))) }()
		go func() { errs <- second(s.Accept()) }()
		synctest.Wait()
		p.nc.Close()
		for range 3 {
			if err := <-errs; !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "the other side has closed the connection") {
				t.Errorf("when the peer closes the connection: %v", err)
			}
		}
	})
	// A peer that does not read delays the end only for a moment.
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		st := p.open(s, 1)
		p.stall()
		st.Write([]byte("x"))
		synctest.Wait()
		begin := time.Now()
		s.Close()
		if waited := time.Since(begin); waited != 250*time.Millisecond {
			t.Errorf("Close took %v", waited)
		}
	})
}

func TestGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Server)
		st := p.accept(s, 1)
		s.GoAway()
		s.GoAway()
		p.want("GoAway, once", "go away 0")
		p.update(3, syn, 0)
		p.want("a stream after GoAway", "window update 3 +0 RST")
		p.data(1, 0, "x")
		wantRead(t, st, "x")

		p.header(yamux.GoAway, 0, 0, yamux.GoAwayNormal)
		synctest.Wait()
		if _, err := s.Open(t.Context()); !errors.Is(err, yamux.ErrGoAway) {
			t.Errorf("Open after the peer's go away: %v", err)
		}
		p.data(1, 0, "y")
		wantRead(t, st, "y")
	})
	for code, words := range map[uint32]string{
		1: "saying that this side violated the protocol",
		2: "because of an internal error",
		3: "violated the protocol: its GoAway has the unknown code 3",
	} {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t, yamux.Server)
			p.header(yamux.GoAway, 0, 0, code)
			wantEnd(t, s, words)
		})
	}
}

// TestBrokenProtocol has what no peer may do. Each case ends the session, and the peer is
// told.
func TestBrokenProtocol(t *testing.T) {
	for _, tt := range []struct {
		name, words string
		run         func(p *script)
	}{
		{"version", "unknown yamux version 1", func(p *script) { p.write(append([]byte{1}, make([]byte, 11)...)) }},
		{"type", "unknown yamux frame type 4", func(p *script) { p.write(append([]byte{0, 4}, make([]byte, 10)...)) }},
		{"stream 0", "it opens stream 0", func(p *script) { p.update(0, syn, 0) }},
		{"duplicate SYN", "stream 1: opened twice", func(p *script) { p.update(1, syn, 0) }},
		{"duplicate SYN with data", "stream 1: opened twice", func(p *script) { p.data(1, syn, "x") }},
		{"SYN for a stream of ours", "stream 2: opened twice", func(p *script) { p.update(2, syn, 0) }},
		{"second FIN", "stream 1: closed twice", func(p *script) { p.update(1, fin, 0); p.data(1, fin, "x") }},
		{"past the window, at once", "stream 1: 262145 bytes of data, and the window has 262144 left",
			func(p *script) { p.header(yamux.Data, 0, 1, window+1) }},
		{"past the window, by and by", "stream 1: 2 bytes of data, and the window has 1 left",
			func(p *script) { p.data(1, 0, strings.Repeat("x", window-1)); p.data(1, 0, "yz") }},
		{"past the window with SYN", "stream 3: 4294967295 bytes of data, and the window has 262144 left",
			func(p *script) { p.header(yamux.Data, syn, 3, 1<<32-1) }},
		{"past any window", "stream 99: 262145 bytes of data, more than any", func(p *script) { p.header(yamux.Data, 0, 99, window+1) }},
		{"window too large", "stream 1: its window update of 4294967295 bytes makes the window larger than 4294967295",
			func(p *script) { p.update(1, 0, 1<<32-1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := start(t, yamux.Server)
				p.accept(s, 1)
				if _, err := s.Open(t.Context()); err != nil {
					t.Fatal(err)
				}
				p.want("Open", "window update 2 +0 SYN")
				tt.run(p)
				wantEnd(t, s, "the other side violated the protocol: ")
				wantEnd(t, s, tt.words)
				if fault := (*yamux.ProtocolError)(nil); !errors.As(s.Err(), &fault) {
					t.Errorf("the error is a %T", s.Err())
				}
				p.want("the end", "go away 1", "closed")
			})
		})
	}
}

// TestUnknownStreams has what a peer may send that does not know yet what has happened to
// a stream.
func TestUnknownStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Server)
		for _, flags := range []uint16{0, ack, fin, rst, ack | fin} {
			p.update(9, flags, 1000)
			p.data(9, flags, strings.Repeat("x", window))
			p.data(0, flags, "x")
		}
		p.header(yamux.Ping, ack, 0, 1) // an answer to no ping
		p.wantAlive(s)
	})
}

func TestTruncatedFrames(t *testing.T) {
	for _, n := range []int{1, 11, 12, 20} {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t, yamux.Server)
			p.accept(s, 1)
			frame := append(yamux.Header{StreamID: 1, Length: 10}.Append(nil), "0123456789"...)
			p.write(frame[:n])
			p.nc.Close()
			wantEnd(t, s, "yamux: reading")
			if !errors.Is(s.Err(), io.ErrUnexpectedEOF) {
				t.Errorf("%d bytes of a frame: %v", n, s.Err())
			}
		})
	}
}

func TestFloods(t *testing.T) {
	t.Run("streams", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t, yamux.Server)
			for i := range uint32(256) {
				p.update(2*i+1, syn, 0)
			}
			p.wantNothing("the backlog")
			for i := range uint32(1024) {
				p.update(2*i+1001, syn, 0)
				p.want("past the backlog", fmt.Sprintf("window update %d +0 RST", 2*i+1001))
			}
			if _, err := s.Accept(); err != nil {
				t.Fatal(err)
			}
			p.want("Accept", "window update 1 +0 ACK")
			p.update(9999, syn, 0) // there is room for one
			p.wantNothing("the backlog")
			for i := range uint32(1024) {
				p.update(2*i+10001, syn, 0)
				p.want("past the backlog", fmt.Sprintf("window update %d +0 RST", 2*i+10001))
			}
			p.update(20001, syn, 0)
			wantEnd(t, s, "the 1025th in a row that is opened and cannot be accepted")
		})
	})
	t.Run("streams that are reset at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t, yamux.Server)
			for i := range uint32(2000) {
				p.update(2*i+1, syn, 0)
				p.update(2*i+1, rst, 0)
			}
			wantEnd(t, s, "cannot be accepted")
		})
	})
	t.Run("open streams", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t, yamux.Server)
			go func() {
				for {
					if _, err := s.Accept(); err != nil {
						return
					}
				}
			}()
			for i := range uint32(8192) {
				p.update(2*i+1, syn, 0)
				p.want("Accept", fmt.Sprintf("window update %d +0 ACK", 2*i+1))
			}
			if _, err := s.Open(t.Context()); !errors.Is(err, yamux.ErrTooMany) {
				t.Errorf("Open: %v", err)
			}
			p.update(99999, syn, 0)
			p.want("one too many", "window update 99999 +0 RST")
			p.update(1, rst, 0)
			p.update(99999, syn, 0)
			p.want("Accept", "window update 99999 +0 ACK")
		})
	})
	t.Run("unread data", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t, yamux.Server)
			full := strings.Repeat("x", window)
			var first *yamux.Stream
			for i := range uint32(256) {
				st := p.accept(s, 2*i+1)
				p.data(st.ID(), 0, full)
				if first == nil {
					first = st
				}
			}
			p.wantAlive(s)
			st := p.accept(s, 1001)
			p.data(1001, 0, "x")
			p.want("past all memory", "window update 1001 +0 RST")
			if _, err := st.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "67108864 bytes that nobody has read") {
				t.Errorf("Read: %v", err)
			}
			// Closing one makes room again.
			first.Close()
			p.want("Close", "window update 1 +0 FIN")
			st = p.accept(s, 1003)
			p.data(1003, 0, full)
			synctest.Wait()
			readFull(t, st, make([]byte, window))
			p.want("reading", "window update 1003 +262144")
		})
	})
	t.Run("pings without reading", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t, yamux.Server)
			p.stall()
			for i := range uint32(2000) {
				p.header(yamux.Ping, syn, 0, i)
			}
			wantEnd(t, s, "more than 1024 pings and refused streams, without reading the answers")
		})
	})
	t.Run("pings", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, p := start(t, yamux.Server)
			for range 2 {
				for range 6000 {
					p.wantAlive(s)
				}
				p.skipPings(time.Minute)
			}
			for range 6000 {
				p.wantAlive(s)
			}
			p.header(yamux.Ping, syn, 0, 1)
			wantEnd(t, s, "more than 6000 pings within 1m0s")
		})
	})
}

// endless is a connection whose peer has always sent one more frame, up to most frames.
type endless struct {
	net.Conn
	frame []byte
	most  int64
	read  atomic.Int64
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read.Add(1) > e.most {
		return 0, io.EOF
	}
	return copy(p, e.frame), nil
}

// TestReaderGivesWay: a reader that never has to wait for its peer lets others run, long
// before the scheduler would force it.
func TestReaderGivesWay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	a, b := net.Pipe()
	defer b.Close()
	e := &endless{Conn: a, most: 40 * yamux.GiveWay}
	e.frame = yamux.Header{Type: yamux.WindowUpdate, StreamID: 2, Length: 1}.Append(nil)
	s := yamux.Client(e)
	var longest int64
	for last := int64(0); last < e.most; {
		runtime.Gosched()
		now := e.read.Load()
		longest, last = max(longest, now-last), now
	}
	s.Close()
	if longest > 2*yamux.GiveWay {
		t.Errorf("%d frames were read before anybody else ran, want about %d", longest, yamux.GiveWay)
	}
}

func TestOpenCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := start(t, yamux.Client)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Open(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Open: %v", err)
		}
		p.wantNothing("a cancelled Open")
	})
}

// second drops the first result of a call.
func second[T any](_ T, err error) error { return err }
