//go:build linux

package attack_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// peer is our end of a connection to the victim. One goroutine writes; another
// reads what the victim answers.
type peer struct {
	nc    net.Conn
	calls chan uint32   // of a hostile server: the streams that were opened
	read  chan struct{} // closed when the reader has ended
	// pace is held by a writer that obeys the victim's windows.
	pace sync.Mutex

	mu       sync.Mutex
	goAways  []http2.ErrCode
	resets   map[http2.ErrCode]int
	refused  map[string]int // HTTP statuses other than 200
	statuses map[string]int // gRPC's
	acks     int            // of PINGs
	granted  map[uint32]int
	window   int  // SETTINGS_INITIAL_WINDOW_SIZE
	known    bool // the victim's SETTINGS have arrived
	leaving  bool // we close the connection
	ended    bool // the victim closed the connection
}

func newPeer(nc net.Conn) *peer {
	return &peer{nc: nc, calls: make(chan uint32, 1<<16), read: make(chan struct{}), resets: map[http2.ErrCode]int{}, refused: map[string]int{}, statuses: map[string]int{}, granted: map[uint32]int{}}
}

// listen reads what the victim sends until the connection ends.
func (p *peer) listen() {
	defer close(p.read)
	acked := false
	dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case f.Name == ":status" && f.Value != "200":
			p.refused["HTTP "+f.Value]++
		case f.Name == "grpc-status":
			p.statuses["grpc-status "+f.Value]++
		}
	})
	fr := http2.NewFramer(nil, p.nc)
	fr.SetMaxReadFrameSize(1<<24 - 1)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			p.mu.Lock()
			p.ended = !p.leaving
			p.mu.Unlock()
			return
		}
		set, ok := f.(*http2.SettingsFrame)
		if ok = ok && !set.IsAck(); ok {
			p.pace.Lock() // what is sent after the acknowledgement obeys it
		}
		p.mu.Lock()
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if w, ok := f.Value(http2.SettingInitialWindowSize); ok {
				p.window = int(w)
			}
			acked = p.known // the first is acknowledged with the prefaces
			p.known = p.known || !f.IsAck()
		case *http2.GoAwayFrame:
			p.goAways = append(p.goAways, f.ErrCode)
		case *http2.RSTStreamFrame:
			p.resets[f.ErrCode]++
		case *http2.PingFrame:
			if f.IsAck() {
				p.acks++
			}
		case *http2.WindowUpdateFrame:
			p.granted[f.StreamID] += int(f.Increment)
		case *http2.HeadersFrame:
			p.mu.Unlock()
			dec.Write(f.HeaderBlockFragment())
			p.mu.Lock()
			select {
			case p.calls <- f.StreamID:
			default: // more than any attack needs
			}
		case *http2.ContinuationFrame:
			p.mu.Unlock()
			dec.Write(f.HeaderBlockFragment())
			p.mu.Lock()
		}
		p.mu.Unlock()
		if ok {
			if acked {
				p.write(frame(nil, http2.FrameSettings, ack, 0, ""))
			}
			p.pace.Unlock()
		}
	}
}

// floodTime limits a flood, and writeTime the wait for a victim that does not read.
const (
	floodTime = 2 * time.Second
	writeTime = 500 * time.Millisecond
)

// write sends b. It returns false if the victim accepts no more.
func (p *peer) write(b []byte) bool {
	p.nc.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := p.nc.Write(b)
	return err == nil
}

// flood sends n frames, or groups of frames, as fast as the victim accepts them, but
// no longer than floodTime. It returns how many were sent.
func (p *peer) flood(n int, add func(b []byte, i int) []byte) int {
	const batch = 32 << 10
	end := time.Now().Add(floodTime)
	var b []byte
	for i := range n {
		if b = add(b, i); len(b) >= batch {
			if !p.write(b) || time.Now().After(end) {
				return i
			}
			b = b[:0]
		}
	}
	p.write(b)
	return n
}

// leave closes the connection as a peer does that ends.
func (p *peer) leave() {
	p.mu.Lock()
	p.leaving = true
	p.mu.Unlock()
	p.nc.Close()
}

// closeWrite closes only our sending side of the connection.
func (p *peer) closeWrite() {
	if c, ok := p.nc.(*net.UnixConn); ok {
		c.CloseWrite()
	}
}

// is evaluates f on the peer's state.
func (p *peer) is(f func() bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f()
}

// closedUnsaid reports whether the victim closed the connection without a GOAWAY.
func (p *peer) closedUnsaid() bool {
	return p.is(func() bool { return p.ended && len(p.goAways) == 0 })
}

// lost reports whether the victim has ended the connection, or announced its end.
func (p *peer) lost() bool {
	return p.is(func() bool { return p.ended || len(p.goAways) > 0 })
}

// answer returns the gravest answer of the victim: a GOAWAY with an error, a reset,
// an HTTP or gRPC status; of several kinds the most frequent.
func (p *peer) answer() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, code := range p.goAways {
		if code != http2.ErrCodeNo {
			return "GOAWAY " + code.String()
		}
	}
	benign := p.resets[http2.ErrCodeNo]
	delete(p.resets, http2.ErrCodeNo)
	if most := mostFrequent(p.resets); most != "" {
		return "RST " + most
	}
	p.resets[http2.ErrCodeNo] = benign
	if most := mostFrequent(p.refused); most != "" {
		return most
	}
	if most := mostFrequent(p.statuses); most != "" {
		return most
	}
	if len(p.goAways) > 0 {
		return "GOAWAY NO_ERROR"
	}
	if p.ended {
		return "closed"
	}
	return "none"
}

func mostFrequent[K comparable](counts map[K]int) string {
	name, most := "", 0
	for k, n := range counts {
		if s := fmt.Sprint(k); n > most || n == most && s < name {
			name, most = s, n
		}
	}
	return name
}

// preface reads a client's preface.
func (p *peer) preface() error {
	got := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(p.nc, got); err != nil {
		return err
	}
	if !strings.EqualFold(string(got), http2.ClientPreface) {
		return errors.New("no client preface")
	}
	return nil
}

// until waits until f holds, and at most most.
func until(most time.Duration, f func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); !f(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
