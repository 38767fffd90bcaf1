package h2grpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tenonrpc/tenon/h2grpc"
)

// script is a peer that speaks HTTP/2 frame by frame, inside a synctest bubble.
// It can break every rule. What it receives becomes lines of text:
//
//	SETTINGS, SETTINGS ack, PING "8 bytes", PING ack "8 bytes"
//	HEADERS 1 :status=200 content-type=application/grpc [END_STREAM]
//	DATA 1 "bytes" [END_STREAM], or DATA 1 [1001 bytes] if they are many
//	WINDOW_UPDATE 0 65536, RST_STREAM 1 CANCEL, GOAWAY 1 NO_ERROR "reason"
//	closed
//
// Only the test's goroutine uses it.
type script struct {
	t   *testing.T
	nc  net.Conn
	fr  *http2.Framer // writes
	enc *hpack.Encoder
	buf bytes.Buffer
	// record receives what is written if t is nil, or as long as gather is set.
	record bytes.Buffer
	gather bool
	// shift is added to the stream of every frame that has one.
	shift  uint32
	blocks [][]string // the fields of all header blocks

	lines chan string
	held  []string // received and not yet expected by want
	gate  chan struct{}
	// granted sums the WINDOW_UPDATEs of each stream, which want mostly ignores; initial
	// is the other end's SETTINGS_INITIAL_WINDOW_SIZE.
	granted map[uint32]int
	initial int
	table   atomic.Uint32 // the size of the table that blocks are decoded with
	greeted bool          // the first SETTINGS have arrived; later ones are acknowledged at once
	list    atomic.Int64  // the other end's SETTINGS_MAX_HEADER_LIST_SIZE
}

// newScript starts reading frames from nc.
func newScript(t *testing.T, nc net.Conn) *script {
	p := &script{t: t, nc: nc, fr: http2.NewFramer(nc, nil), lines: make(chan string, 1<<16), gate: make(chan struct{}, 1), granted: map[uint32]int{}}
	p.fr.AllowIllegalWrites = true
	p.enc = hpack.NewEncoder(&p.buf)
	p.table.Store(4096)
	p.gate <- struct{}{}
	t.Cleanup(func() {
		nc.Close()
		for range p.lines { // until the reader has ended
		}
	})
	return p
}

// recorded returns the bytes that a script would send.
func recorded(run func(p *script)) []byte {
	p := new(script)
	p.enc = hpack.NewEncoder(&p.buf)
	run(p)
	return p.record.Bytes()
}

// read turns frames into lines until the connection ends.
func (p *script) read() {
	defer close(p.lines)
	fr := http2.NewFramer(nil, p.nc)
	fr.SetMaxReadFrameSize(1<<24 - 1)
	var fields []string
	dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) { fields = append(fields, f.Name+"="+f.Value) })
	var block *http2.HeadersFrame
	for {
		<-p.gate
		p.gate <- struct{}{}
		f, err := fr.ReadFrame()
		if err != nil {
			p.lines <- "closed"
			return
		}
		end := ""
		if f.Header().Flags.Has(http2.FlagDataEndStream) {
			end = " END_STREAM"
		}
		ack := ""
		if f.Header().Flags.Has(http2.FlagPingAck) {
			ack = " ack"
		}
		id := f.Header().StreamID
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if n, ok := f.Value(http2.SettingInitialWindowSize); ok {
				p.lines <- fmt.Sprintf("INITIAL_WINDOW_SIZE %d", n)
			}
			if n, ok := f.Value(http2.SettingMaxHeaderListSize); ok {
				p.list.Store(int64(n))
			}
			p.lines <- "SETTINGS" + ack
		case *http2.PingFrame:
			p.lines <- fmt.Sprintf("PING%s %q", ack, f.Data[:])
		case *http2.HeadersFrame:
			fields = nil
			block = f
			dec.SetAllowedMaxDynamicTableSize(p.table.Load())
			if p.table.Load() == 0 {
				dec.SetMaxDynamicTableSize(0) // the table is emptied, whatever the other end sends
			}
			dec.Write(f.HeaderBlockFragment())
			if f.HeadersEnded() {
				dec.Close()
				p.lines <- strings.TrimSpace(fmt.Sprintf("HEADERS %d %s", id, strings.Join(fields, " "))) + end
			} else {
				block = &http2.HeadersFrame{FrameHeader: f.FrameHeader}
			}
		case *http2.ContinuationFrame:
			dec.Write(f.HeaderBlockFragment())
			if f.HeadersEnded() {
				dec.Close()
				if end = ""; block.StreamEnded() {
					end = " END_STREAM"
				}
				p.lines <- strings.TrimSpace(fmt.Sprintf("HEADERS %d %s", id, strings.Join(fields, " "))) + end
			}
		case *http2.DataFrame:
			if n := len(f.Data()); n > 1000 {
				p.lines <- fmt.Sprintf("DATA %d [%d bytes]", id, n) + end
			} else {
				p.lines <- fmt.Sprintf("DATA %d %q", id, f.Data()) + end
			}
		case *http2.WindowUpdateFrame:
			p.lines <- fmt.Sprintf("WINDOW_UPDATE %d %d", id, f.Increment)
		case *http2.RSTStreamFrame:
			p.lines <- fmt.Sprintf("RST_STREAM %d %v", id, f.ErrCode)
		case *http2.GoAwayFrame:
			p.lines <- fmt.Sprintf("GOAWAY %d %v %q", f.LastStreamID, f.ErrCode, f.DebugData())
		default:
			p.lines <- fmt.Sprint(f)
		}
	}
}

// window returns what may be sent on a stream on which sent bytes were sent.
func (p *script) window(id uint32, sent int) int { return p.initial + p.granted[id] - sent }

// pause lets the other end become idle between two frames.
func (p *script) pause() {
	if p.t != nil { // nil: the script is only recorded
		p.send()
		synctest.Wait()
	}
}

// stopReading leaves what the other end sends unread, from the next frame on.
func (p *script) stopReading() { <-p.gate }

func (p *script) readAgain() { p.gate <- struct{}{} }

// take moves what has arrived to held, when all goroutines are idle.
func (p *script) take() {
	p.send()
	synctest.Wait()
	for {
		select {
		case l, ok := <-p.lines:
			if !ok {
				return
			}
			var id uint32
			var n int
			if c, _ := fmt.Sscanf(l, "WINDOW_UPDATE %d %d", &id, &n); c == 2 {
				p.granted[id] += n
			} else if c, _ := fmt.Sscanf(l, "INITIAL_WINDOW_SIZE %d", &n); c == 1 {
				p.initial = n
			} else if l == "SETTINGS" && p.greeted {
				p.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, "")
			} else {
				p.greeted = p.greeted || l == "SETTINGS"
				p.held = append(p.held, l)
			}
		default:
			return
		}
	}
}

// matches reports whether a line is as wanted; "…" stands for anything.
func matches(want, line string) bool {
	parts := strings.Split(want, "…")
	last := len(parts) - 1
	if last == 0 {
		return line == want
	}
	for i, part := range parts[:last] {
		at := strings.Index(line, part)
		if at < 0 || (i == 0 && at > 0) {
			return false
		}
		line = line[at+len(part):]
	}
	return strings.HasSuffix(line, parts[last])
}

// want fails unless exactly these frames have arrived, in this order.
// WINDOW_UPDATEs are only summed, in granted, and later SETTINGS acknowledged.
func (p *script) want(sentence string, frames ...string) {
	p.t.Helper()
	p.take()
	got := p.held
	p.held = nil
	ok := len(got) == len(frames)
	for i := 0; ok && i < len(got); i++ {
		ok = matches(frames[i], got[i])
	}
	if !ok {
		p.t.Fatalf("%s: got frames\n\t%s\nwant\n\t%s", sentence, shorten(got), shorten(frames))
	}
}

// wantEnd fails unless these frames and then the end of the connection come
// within a few seconds.
func (p *script) wantEnd(sentence string, frames ...string) {
	p.t.Helper()
	p.take()
	if !slices.Contains(p.held, "closed") {
		advance(5 * time.Second)
	}
	p.want(sentence, append(frames, "closed")...)
}

// advance lets fake time pass.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func shorten(lines []string) string {
	out := make([]string, len(lines))
	for i, l := range lines {
		if out[i] = l; len(l) > 300 {
			out[i] = l[:300] + "…"
		}
	}
	if len(out) > 20 {
		out = append(out[:20], fmt.Sprintf("… and %d more", len(out)-20))
	}
	return strings.Join(out, "\n\t")
}

// bytes writes b unchanged. A connection that has ended is not a failure: what came
// from it is more informative.
func (p *script) bytes(b []byte) {
	if p.t == nil || p.gather {
		p.record.Write(b)
		return
	}
	p.nc.SetWriteDeadline(time.Now().Add(time.Minute))
	p.nc.Write(b)
}

// send writes what has gathered, in one piece.
func (p *script) send() {
	if p.record.Len() > 0 {
		p.gather = false
		p.bytes(p.record.Bytes())
		p.record.Reset()
		p.gather = true
	}
}

// frame writes one frame, right or wrong.
func (p *script) frame(typ http2.FrameType, flags http2.Flags, id uint32, payload string) {
	n := len(payload)
	if id > 0 {
		id += p.shift
	}
	p.bytes(append([]byte{byte(n >> 16), byte(n >> 8), byte(n), byte(typ), byte(flags), byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}, payload...))
}

// block encodes fields of the form "name=value".
func (p *script) block(fields ...string) string {
	p.blocks = append(p.blocks, fields)
	p.buf.Reset()
	for _, f := range fields {
		i := 1 + strings.IndexByte(f[1:], '=')
		p.enc.WriteField(hpack.HeaderField{Name: f[:i], Value: f[i+1:]})
	}
	return p.buf.String()
}

const (
	endStream  = http2.FlagDataEndStream
	endHeaders = http2.FlagHeadersEndHeaders
)

// headers sends a header block in one frame.
func (p *script) headers(id uint32, flags http2.Flags, fields ...string) {
	p.frame(http2.FrameHeaders, flags|endHeaders, id, p.block(fields...))
}

func (p *script) data(id uint32, flags http2.Flags, payload string) {
	// A payload that is larger than the first frames may be is sent in several.
	const most = 16 << 10
	for len(payload) > most && !flags.Has(http2.FlagDataPadded) {
		p.frame(http2.FrameData, flags&^http2.FlagDataEndStream, id, payload[:most])
		payload = payload[most:]
	}
	p.frame(http2.FrameData, flags, id, payload)
}

// reset sends RST_STREAM.
func (p *script) reset(id uint32, code http2.ErrCode) {
	p.frame(http2.FrameRSTStream, 0, id, u32(uint32(code)))
}

func (p *script) windowUpdate(id, n uint32) { p.frame(http2.FrameWindowUpdate, 0, id, u32(n)) }

func (p *script) ping(data string) { p.frame(http2.FramePing, 0, 0, data) }

func (p *script) goAway(last uint32, code http2.ErrCode, text string) {
	p.frame(http2.FrameGoAway, 0, 0, u32(last)+u32(uint32(code))+text)
}

func (p *script) settings(s ...http2.Setting) {
	text := ""
	for _, s := range s {
		text += string([]byte{byte(s.ID >> 8), byte(s.ID)}) + u32(s.Val)
	}
	p.frame(http2.FrameSettings, 0, 0, text)
}

func u32(n uint32) string { return string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) }

// grpcMsg is a message with its prefix.
func grpcMsg(payload string) string { return "\x00" + u32(uint32(len(payload))) + payload }

// request are the fields of a request for method.
func request(method string, more ...string) []string {
	return append([]string{":method=POST", ":scheme=http", ":path=" + method, ":authority=localhost", "te=trailers", "content-type=application/grpc"}, more...)
}

// response are the fields of a response's head.
func response(more ...string) []string {
	return append([]string{":status=200", "content-type=application/grpc"}, more...)
}

// scriptClient returns a script that is the client of a new server, after the
// prefaces.
func scriptClient(t *testing.T, s setup, settings ...http2.Setting) (*script, *h2grpc.Server) {
	t.Helper()
	p, srv := bareClient(t, s)
	p.bytes([]byte(http2.ClientPreface))
	p.settings(settings...)
	p.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, "")
	p.want("a server begins with SETTINGS and acknowledges ours", "SETTINGS", "SETTINGS ack")
	return p, srv
}

// bareClient is scriptClient before anything is sent.
func bareClient(t *testing.T, s setup) (*script, *h2grpc.Server) {
	t.Helper()
	a, b := net.Pipe()
	srv := h2grpc.NewServer(&s.server)
	if s.service == nil {
		s.service = &testService{unary: echo, stream: echoStream}
	}
	srv.RegisterService(serviceDesc(), s.service)
	served := make(chan struct{})
	go func() {
		defer close(served)
		srv.ServeConn(context.Background(), b)
	}()
	p := newScript(t, a)
	t.Cleanup(func() {
		a.Close()
		<-served
		srv.Close()
	})
	go p.read()
	return p, srv
}

// scriptServer returns a script that is the server of a new client, after the
// prefaces. Further connections of the client are refused.
func scriptServer(t *testing.T, cfg h2grpc.ClientConfig, settings ...http2.Setting) (*script, *h2grpc.ClientConn) {
	t.Helper()
	p, cc := bareServer(t, cfg)
	p.settings(settings...)
	p.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, "")
	p.want("a client begins with SETTINGS and acknowledges ours", "SETTINGS", "SETTINGS ack")
	return p, cc
}

// bareServer is scriptServer before anything is sent.
func bareServer(t *testing.T, cfg h2grpc.ClientConfig) (*script, *h2grpc.ClientConn) {
	t.Helper()
	a, b := net.Pipe()
	dials := 0
	cfg.Dial = func(context.Context) (net.Conn, error) {
		if dials++; dials > 1 {
			return nil, fmt.Errorf("the script takes one connection")
		}
		return a, nil
	}
	cc := h2grpc.NewClient(&cfg)
	connected := make(chan error, 1)
	go func() { connected <- cc.Connect(context.Background()) }()
	var preface [len(http2.ClientPreface)]byte
	if _, err := io.ReadFull(b, preface[:]); err != nil || string(preface[:]) != http2.ClientPreface {
		t.Fatalf("a client begins with its preface: got %q, %v", preface, err)
	}
	p := newScript(t, b)
	t.Cleanup(func() {
		b.Close()
		<-connected
		cc.Close()
	})
	go p.read()
	return p, cc
}

// result is the outcome of a call.
type result struct {
	reply string
	err   error
}

// invoke makes a unary call in the background.
func invoke(ctx context.Context, cc *h2grpc.ClientConn, in string, opts ...h2grpc.CallOption) <-chan result {
	ch := make(chan result, 1)
	go func() {
		var out raw
		err := cc.Invoke(ctx, unaryMethod, msg(in), &out, opts...)
		ch <- result{string(out), err}
	}()
	return ch
}
