package plugin_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/hostwire"
	"github.com/tenonrpc/tenon/wire"
)

// patience is how long a test waits for what must happen at once.
const patience = 20 * time.Second

var shake = plugin.Handshake{ProtocolVersion: 1, MagicCookieKey: "TN_COOKIE", MagicCookieValue: "crumbs"}

const cookie = "TN_COOKIE=crumbs"

// echoServer is the application's service: one unary method with package wire's messages,
// so that the tests need no generated code.
type echoServer func(ctx context.Context, in []byte) ([]byte, error)

const echoMethod = "/test.Echo/Echo"

var echoDesc = h2grpc.ServiceDesc{
	ServiceName: "test.Echo",
	Methods: []h2grpc.MethodDesc{{
		MethodName: "Echo",
		Handler: func(srv any, ctx context.Context, dec func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
			in := new(wire.StdioData)
			if err := dec(in); err != nil {
				return nil, err
			}
			out, err := srv.(echoServer)(ctx, in.Data)
			return &wire.StdioData{Data: out}, err
		},
	}},
}

func echo(ctx context.Context, cc *h2grpc.ClientConn, text string) (string, error) {
	out := new(wire.StdioData)
	err := cc.Invoke(ctx, echoMethod, &wire.StdioData{Data: []byte(text)}, out)
	return string(out.Data), err
}

// plain answers with the request.
func plain(_ context.Context, in []byte) ([]byte, error) { return in, nil }

func serveEcho(f echoServer) plugin.Plugin {
	return plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
		s.RegisterService(&echoDesc, f)
		return nil
	})
}

// served is a plugin that runs inside the test.
type served struct {
	t      *testing.T
	dir    string
	hs     wire.Handshake
	line   string
	stderr *buffer
	done   chan error // receives what ServeContext returned
	cancel context.CancelFunc
	ended  bool // wantEnd has been called
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// socketDir returns a directory whose path is short enough for sockets.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serve starts a plugin and waits for its handshake line. The plugin is
// stopped, and must stop without an error, when the test ends.
func serve(t *testing.T, cfg *plugin.ServeConfig, env ...string) *served {
	t.Helper()
	s := &served{t: t, dir: socketDir(t), stderr: new(buffer), done: make(chan error, 1)}
	r, w := io.Pipe()
	cfg.Handshake = shake
	cfg.Process = &plugin.Process{
		Env:    append([]string{cookie, wire.EnvUnixSocketDir + "=" + s.dir}, env...),
		Stdout: w,
		Stderr: s.stderr,
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.cancel = cancel
	go func() {
		err := plugin.ServeContext(ctx, cfg)
		w.CloseWithError(io.EOF)
		s.done <- err
	}()
	t.Cleanup(s.stop)
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("no handshake: %v", <-s.done)
	}
	go io.Copy(io.Discard, r)
	s.line = line
	if s.hs, err = hostwire.ParseHandshake([]byte(line)); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *served) stop() {
	s.cancel()
	s.wantEnd()
}

// wantEnd waits for the end of the plugin, which must leave nothing behind.
func (s *served) wantEnd() {
	s.t.Helper()
	if s.ended {
		return
	}
	s.ended = true
	select {
	case err := <-s.done:
		if err != nil {
			s.t.Errorf("ServeContext: %v", err)
		}
	case <-time.After(patience):
		s.t.Fatal("the plugin does not end")
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil || len(entries) != 0 {
		s.t.Errorf("the plugin left %v (%v)", entries, err)
	}
}

// dial returns a connection to the plugin.
func (s *served) dial(cfg *tls.Config) *h2grpc.ClientConn {
	s.t.Helper()
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{TLS: cfg, Dial: func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, s.hs.Network, s.hs.Address)
	}})
	s.t.Cleanup(func() { cc.Close() })
	return cc
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func wantEcho(t *testing.T, cc *h2grpc.ClientConn, text, want string) {
	t.Helper()
	got, err := echo(deadline(t), cc, text)
	if err != nil || got != want {
		t.Fatalf("Echo(%q) = %q, %v, want %q", text, got, err, want)
	}
}

func wantText(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error %q does not say %q", err, text)
		}
	}
}
