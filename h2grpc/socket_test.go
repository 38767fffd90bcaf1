package h2grpc_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/fastpath"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestFullSocket: a peer that grants much window and does not read. Nothing waits for
// the socket beyond a deadline, and what the peer finally reads is complete. Real
// sockets behave like this and memory does not, so time is real.
func TestFullSocket(t *testing.T) {
	for _, n := range networks[1:] {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %t", n.name, secure), func(t *testing.T) { fullSocket(t, n, secure) })
		}
	}
}

func fullSocket(t *testing.T, n network, secure bool) {
	lis, dial := n.listen(t)
	cfg := h2grpc.ClientConfig{Dial: dial}
	var serverTLS *tls.Config
	if secure {
		serverTLS, cfg.TLS = testTLS(t)
		serverTLS.NextProtos = []string{"h2"}
	}
	cc := h2grpc.NewClient(&cfg)
	accepted := make(chan net.Conn, 1)
	go func() {
		nc, err := lis.Accept()
		if err != nil {
			t.Error(err)
		}
		if secure {
			nc = tls.Server(nc, serverTLS)
		}
		fr := http2.NewFramer(nc, nil)
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
		fr.WriteWindowUpdate(0, 1<<30)
		fr.WriteSettingsAck()
		accepted <- nc
	}()
	if err := cc.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	nc := <-accepted
	const calls, size = 8, 1 << 20
	began := time.Now()
	for _, letter := range []string{"x", "y"} { // the later calls' messages do not get into the earlier ones'
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				err := cc.Invoke(ctx, unaryMethod, msg(strings.Repeat(letter, size)), new(raw))
				if status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("calls with a deadline of 300 ms took %v", d)
	}
	// Now the peer reads: whole frames, all streams reset, and a new call.
	call := invoke(t.Context(), cc, "now")
	if _, err := io.CopyN(io.Discard, nc, int64(len(http2.ClientPreface))); err != nil {
		t.Fatal(err)
	}
	fr := http2.NewFramer(nc, nc)
	fr.SetMaxReadFrameSize(1 << 20)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	opened, resets, last := 0, 0, uint32(0)
	letters := map[uint32]string{}
	for last == 0 {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatalf("reading what was sent: %v", err)
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			opened++
		case *http2.RSTStreamFrame:
			resets++
		case *http2.DataFrame:
			if string(f.Data()) == grpcMsg("now") {
				last = f.StreamID
				break
			}
			text := string(f.Data())
			if letters[f.StreamID] == "" {
				text = text[5:]
				letters[f.StreamID] = text[:1]
			}
			if strings.Trim(text, letters[f.StreamID]) != "" {
				t.Fatalf("a frame of stream %d holds other bytes than were sent", f.StreamID)
			}
		}
	}
	// A call that found no room for its headers has not opened a stream.
	if resets != opened-1 || resets == 0 {
		t.Errorf("%d streams were reset, want %d", resets, opened-1)
	}
	p := recorded(func(p *script) {
		p.headers(last, 0, response()...)
		p.data(last, 0, grpcMsg("done"))
		p.headers(last, endStream, "grpc-status=0")
	})
	if _, err := nc.Write(p); err != nil {
		t.Fatal(err)
	}
	if r := <-call; r.err != nil || r.reply != "done" {
		t.Errorf("the new call: %q, %v", r.reply, r.err)
	}
	cc.Close()
	nc.Close()
	lis.Close()
}

// TestCloseFullSocket: Close does not wait for a peer that does not read.
func TestCloseFullSocket(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := setup{listen: listenSocket, tls: secure, service: &testService{stream: func(s h2grpc.ServerStream) error {
			for {
				if err := s.SendMsg(msg(strings.Repeat("x", 100_000))); err != nil {
					return err
				}
			}
		}}}
		cc, srv := start(t, s)
		var streams []h2grpc.ClientStream
		for range 20 {
			stream, err := cc.NewStream(t.Context(), &serverDesc, serverMethod)
			if err != nil {
				t.Fatal(err)
			}
			stream.CloseSend()
			streams = append(streams, stream)
		}
		if err := streams[19].RecvMsg(new(raw)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		srv.Close()
		cc.Close()
		if d := time.Since(began); d > 4*time.Second {
			t.Errorf("secure %t: Close took %v", secure, d)
		}
	}
}

// socket has the methods that *net.UnixConn and *net.TCPConn have in common.
type socket interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// scrambled is a socket that changes what it carries.
type scrambled struct{ socket }

func scramble(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ 0x5a
	}
	return out
}

func (c scrambled) Write(b []byte) (int, error) { return c.socket.Write(scramble(b)) }

func (c scrambled) Read(b []byte) (int, error) {
	n, err := c.socket.Read(b)
	copy(b, scramble(b[:n]))
	return n, err
}

// transparent claims that its Write is the socket's. It is not, to see which Write is
// called.
type transparent struct {
	net.Conn
	written *atomic.Int64
}

func (c transparent) Socket() net.Conn { return c.Conn }

func (c transparent) Write(b []byte) (int, error) {
	c.written.Add(int64(len(b)))
	return c.Conn.Write(b)
}

// wrapping is a listener whose connections are wrapped.
type wrapping struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l wrapping) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(nc), nil
}

// TestWrappedSockets: a connection that embeds a socket and has a Write of its own is
// written to through that, with TLS or without; one that claims that its Write is the
// socket's is not.
func TestWrappedSockets(t *testing.T) {
	needs(t, fastpath.TryWrite)
	var written atomic.Int64
	for _, c := range []struct {
		name string
		wrap func(net.Conn) net.Conn
	}{
		{"a Write of its own", func(nc net.Conn) net.Conn { return scrambled{nc.(socket)} }},
		{"the socket's Write", func(nc net.Conn) net.Conn { return transparent{nc, &written} }},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, TLS %t", c.name, secure), func(t *testing.T) {
				s := setup{tls: secure, service: &testService{unary: echo}}
				s.listen = func(t testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
					lis, dial := listenSocket(t)
					return wrapping{lis, c.wrap}, func(ctx context.Context) (net.Conn, error) {
						nc, err := dial(ctx)
						if err != nil {
							return nil, err
						}
						return c.wrap(nc), nil
					}
				}
				cc, _ := start(t, s)
				if err := cc.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				written.Store(0)
				if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
					t.Fatal(err)
				}
				if n := written.Load(); n > 0 && runtime.GOOS == "linux" && !secure {
					t.Errorf("%d bytes were not written at once", n)
				}
				for _, n := range []int{1000, 100_000} {
					var out raw
					if err := cc.Invoke(t.Context(), unaryMethod, msg(strings.Repeat("x", n)), &out); err != nil || len(out) != n {
						t.Errorf("%d bytes: %d came back, %v", n, len(out), err)
					}
				}
			})
		}
	}
}
