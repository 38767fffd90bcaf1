package h2grpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tenonrpc/tenon/h2grpc"
)

// fuzzMemory is the most that a connection may allocate for an input, besides
// a multiple of its length.
const fuzzMemory = 32 << 20

// allocated runs f and fails if it allocates without proportion to input bytes.
func allocated(t *testing.T, input int, f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > fuzzMemory+2000*uint64(input) {
		t.Errorf("%d bytes of input made the process allocate %d", input, n)
	}
}

// hangs panics if the input takes long in real time: an endless loop, or a wait
// that synctest does not see.
func hangs(data []byte) (stop func() bool) {
	return time.AfterFunc(20*time.Second, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("an input takes longer than 20 s: %q", data))
	}).Stop
}

// feed writes data in two parts and then closes the connection, after some time in
// which nothing more arrives.
func feed(nc net.Conn, data []byte, cut int) {
	nc.SetWriteDeadline(time.Now().Add(time.Minute))
	cut = min(cut, len(data))
	if _, err := nc.Write(data[:cut]); err == nil {
		synctest.Wait()
		nc.Write(data[cut:])
	}
	advance(2 * time.Minute)
	nc.Close()
}

// wellFormed reads what an end of a connection sends, and fails if any of it breaks
// the rules that can be checked without its state.
func wellFormed(t *testing.T, nc net.Conn, client bool) {
	if client {
		preface := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(nc, preface); err != nil {
			return
		}
		if string(preface) != http2.ClientPreface {
			t.Errorf("the client's preface is %q", preface)
		}
	}
	fr := http2.NewFramer(nil, nc)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.SetMaxReadFrameSize(1<<24 - 1)
	for {
		f, err := fr.ReadFrame()
		switch err.(type) {
		case nil:
			if g, ok := f.(*http2.GoAwayFrame); ok && len(g.DebugData()) > 1000 {
				t.Errorf("GOAWAY with %d bytes of text", len(g.DebugData()))
			}
		case http2.ConnectionError, http2.StreamError:
			t.Errorf("a frame that breaks the rules: %v (%v)", err, fr.ErrorDetail())
			io.Copy(io.Discard, nc)
			return
		default:
			return
		}
	}
}

const fuzzPreface = http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x00\x04\x01\x00\x00\x00\x00"

// FuzzServer: any bytes to a server. It never panics or hangs, its memory is bounded,
// and what it sends is well-formed.
func FuzzServer(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 3)
	for _, c := range requestCases() {
		frames := recorded(c.request)
		f.Add(append([]byte(fuzzPreface), frames...), len(fuzzPreface)+len(frames)/2)
	}
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		defer hangs(data)()
		synctest.Test(t, func(t *testing.T) {
			allocated(t, len(data), func() {
				a, b := net.Pipe()
				srv := h2grpc.NewServer(&h2grpc.ServerConfig{MaxRecvMessageSize: 1 << 20, MaxConcurrentStreams: 100})
				srv.RegisterService(serviceDesc(), &testService{unary: echo, stream: echoStream})
				served, read := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(served)
					srv.ServeConn(context.Background(), b)
				}()
				go func() {
					defer close(read)
					wellFormed(t, a, false)
				}()
				feed(a, data, max(0, cut))
				<-read
				<-served
				srv.Close()
			})
		})
	})
}

// FuzzClient: any bytes from a server to a client with calls in flight. They end,
// with whatever outcome.
func FuzzClient(f *testing.F) {
	begin := "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x00\x04\x01\x00\x00\x00\x00"
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), 3)
	for _, c := range responseCases() {
		frames := recorded(c.answer)
		f.Add(append([]byte(begin), frames...), len(begin))
	}
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		defer hangs(data)()
		synctest.Test(t, func(t *testing.T) {
			allocated(t, len(data), func() {
				a, b := net.Pipe()
				cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: once(a), MaxRecvMessageSize: 1 << 20, Compressors: []h2grpc.Compressor{rle{"rle"}}})
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				read, called := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(read)
					wellFormed(t, b, true)
				}()
				go func() {
					defer close(called)
					call := invoke(ctx, cc, "q")
					if s, err := cc.NewStream(ctx, &bidiDesc, bidiMethod); err == nil {
						s.SendMsg(msg(strings.Repeat("x", 1000)))
						for s.RecvMsg(new(raw)) == nil {
						}
						s.Trailer()
					}
					<-call
				}()
				feed(b, data, max(0, cut))
				<-called
				<-read
				cc.Close()
			})
		})
	})
}

// TestSeedsAreComplete: the seeds of the fuzz targets exist and are right: a recorded
// script is what the script sends.
func TestSeedsAreComplete(t *testing.T) {
	got := recorded(func(p *script) { p.data(1, endStream, "x") })
	if want := []byte("\x00\x00\x01\x00\x01\x00\x00\x00\x01x"); !bytes.Equal(got, want) {
		t.Errorf("a recorded script is % x", got)
	}
	if n, m := len(requestCases()), len(responseCases()); n < 50 || m < 40 {
		t.Errorf("%d and %d seeds", n, m)
	}
}
