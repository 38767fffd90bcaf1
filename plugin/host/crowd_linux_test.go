package host_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/wire"
)

// crowdSize is how many connections a hostile plugin makes to its host.
const crowdSize = 5000

// The bounds of what that costs the host, with one brokered server and its defaults: 64
// connections and 128 handshakes, each of which takes one descriptor, three goroutines,
// and what TLS and HTTP/2 need.
const (
	crowdFDs        = 64 + 128 + 16
	crowdGoroutines = 3*(64+128) + 50
	crowdGrowth     = floodGrowth
)

// crowd is an echo that crowds its host's brokered sockets.
type crowd struct{ echo }

const (
	keepMethod  = "/test.Crowd/Keep"
	askMethod   = "/test.Crowd/Ask"
	crowdMethod = "/test.Crowd/Crowd"
)

func (c crowd) GRPCServer(b *plugin.Broker, s *h2grpc.Server) error {
	var (
		mu   sync.Mutex
		kept *h2grpc.ClientConn // an honest connection to the host
		all  []net.Conn         // and all others, for as long as the plugin runs
	)
	s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Crowd", Methods: []h2grpc.MethodDesc{
		method("Keep", func(ctx context.Context, in string) (string, error) {
			var id uint32
			if _, err := fmt.Sscan(in, &id); err != nil {
				return "", err
			}
			cc, err := b.Dial(ctx, id)
			kept = cc
			return "", err
		}),
		method("Ask", func(ctx context.Context, _ string) (string, error) {
			var reply words
			err := kept.Invoke(ctx, "/test.Host/Name", new(words), &reply)
			return reply.Service, err
		}),
		// The request is what to say on each connection, or the id to dial.
		method("Crowd", func(ctx context.Context, in string) (string, error) {
			if len(in) > 0 && in[0] == '#' {
				var id uint32
				if _, err := fmt.Sscanf(in, "#%d", &id); err != nil {
					return "", err
				}
				return crowdByDialling(ctx, b, id)
			}
			sockets, err := filepath.Glob(filepath.Join(filepath.Dir(os.Getenv("TN_SOCKET_DIR")), "h", "*"))
			if err != nil || len(sockets) != 1 {
				return "", fmt.Errorf("the host's sockets are %q, %v", sockets, err)
			}
			mu.Lock()
			defer mu.Unlock()
			made := 0
			for range crowdSize {
				conn, err := net.Dial("unix", sockets[0])
				if err != nil {
					continue // the queue is full
				}
				conn.Write([]byte(in))
				all = append(all, conn)
				made++
			}
			return fmt.Sprint(made), nil
		}),
	}}, nil)
	return c.echo.GRPCServer(b, s)
}

// crowdByDialling dials one id, many times at once, and keeps what it gets.
func crowdByDialling(ctx context.Context, b *plugin.Broker, id uint32) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var (
		mu   sync.Mutex
		made int
		wg   sync.WaitGroup
	)
	for range crowdSize {
		wg.Go(func() {
			if _, err := b.Dial(ctx, id); err != nil {
				return // nobody accepts it
			}
			mu.Lock()
			defer mu.Unlock()
			made++
		})
	}
	wg.Wait()
	return fmt.Sprint(made), nil
}

func playCrowd() {
	os.Setenv("TN_SOCKET_DIR", os.Getenv(wire.EnvUnixSocketDir)) // which Serve takes away
	plugin.Serve(&plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"echo": crowd{echo{"1 "}}}})
}

func init() { hostiles["crowds"] = playCrowd }

// logBook is a slog.Handler that counts records, and those that they stand for, by
// message.
type logBook struct {
	mu             sync.Mutex
	records, stand map[string]int
}

func newLogBook() *logBook {
	return &logBook{records: make(map[string]int), stand: make(map[string]int)}
}

func (b *logBook) Enabled(context.Context, slog.Level) bool { return true }
func (b *logBook) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *logBook) WithGroup(string) slog.Handler            { return b }
func (b *logBook) Handle(_ context.Context, r slog.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records[r.Message]++
	b.stand[r.Message]++
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "more_like_it" {
			b.stand[r.Message] += int(a.Value.Int64())
		}
		return true
	})
	return nil
}

// lines returns how many records began with a text, and how many they stand for.
func (b *logBook) lines(text string) (records, stand int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for message, n := range b.records {
		if strings.HasPrefix(message, text) {
			records, stand = records+n, stand+b.stand[message]
		}
	}
	return records, stand
}

func countFDs(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// A plugin makes thousands of connections to what its host serves for it. They
// cost the host a bounded number of descriptors, goroutines, bytes and log lines;
// the plugin's own connection works, and so do other plugins.
func TestCrowds(t *testing.T) {
	for name, tc := range map[string]struct {
		plaintext, multiplex bool
		say                  string // on each connection; "#" means to dial the id
		logs                 string // what the host logs about it
	}{
		"plaintext, silent":       {plaintext: true, logs: "a connection was closed during its handshake"},
		"plaintext, HTTP/2":       {plaintext: true, say: preface, logs: "there are as many connections as ServerConfig.MaxConnections allows"},
		"AutoMTLS, silent":        {logs: "a connection was closed during its handshake"},
		"AutoMTLS, no TLS":        {say: preface, logs: "TLS handshake failed"},
		"multiplexed plaintext":   {plaintext: true, multiplex: true, say: "#", logs: "there are as many connections as ServerConfig.MaxConnections allows"},
		"multiplexed, with a pin": {multiplex: true, say: "#", logs: "there are as many connections as ServerConfig.MaxConnections allows"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			book := newLogBook()
			cfg := withEcho(t, "crowds")
			cfg.InsecurePlaintext, cfg.Multiplex, cfg.Logger = tc.plaintext, tc.multiplex, slog.New(book)
			c := start(t, cfg)
			id, err := c.Broker().Serve(t.Context(), func(s *h2grpc.Server) error {
				s.RegisterService(&h2grpc.ServiceDesc{ServiceName: "test.Host", Methods: []h2grpc.MethodDesc{
					method("Name", func(context.Context, string) (string, error) { return "the host", nil }),
				}}, nil)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			ask := func() {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), ample)
				defer cancel()
				var reply words
				if err := c.Conn().Invoke(ctx, askMethod, new(words), &reply); err != nil || reply.Service != "the host" {
					t.Errorf("the plugin's own connection: %q, %v", reply.Service, err)
				}
			}
			if err := c.Conn().Invoke(t.Context(), keepMethod, &words{Service: fmt.Sprint(id)}, new(words)); err != nil {
				t.Fatal(err)
			}
			ask()
			fds, goroutines := countFDs(t), runtime.NumGoroutine()
			var made words
			say := tc.say
			if say == "#" {
				say += fmt.Sprint(id)
			}
			grown := heapPeak(func() {
				if err := c.Conn().Invoke(t.Context(), crowdMethod, &words{Service: say}, &made); err != nil {
					t.Fatal(err)
				}
			})
			ask()
			fds, goroutines = countFDs(t)-fds, runtime.NumGoroutine()-goroutines
			t.Logf("of %d connections %s were made; they cost the host %d descriptors, %d goroutines and %d KiB", crowdSize, made.Service, fds, goroutines, grown>>10)
			if fds > crowdFDs || goroutines > crowdGoroutines || grown > crowdGrowth {
				t.Errorf("the bounds are %d descriptors, %d goroutines and %d KiB", crowdFDs, crowdGoroutines, crowdGrowth>>10)
			}
			another := start(t, withEcho(t, "real"))
			usesBroker(t, another)
			closes(t, another)
			ask()
			closes(t, c)
			records, stand := book.lines(tc.logs)
			t.Logf("%d lines stand for %d", records, stand)
			if stand == 0 || records > 20 {
				t.Errorf("%d lines stand for %d", records, stand)
			}
		})
	}
}

// With Config.Server and MaxBrokered, there may be more, or fewer.
func TestMaxBrokered(t *testing.T) {
	for name, multiplex := range map[string]bool{"sockets": false, "multiplexed": true} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			cfg := withEcho(t, "real")
			cfg.Multiplex, cfg.MaxBrokered = multiplex, 2
			c := start(t, cfg)
			b := c.Broker()
			var open []net.Listener
			for range 2 {
				l, err := b.Accept(t.Context(), b.NextID())
				if err != nil {
					t.Fatal(err)
				}
				open = append(open, l)
			}
			for range 3 {
				if _, err := b.Serve(t.Context(), func(*h2grpc.Server) error { return nil }); err == nil || !strings.Contains(err.Error(), "MaxBrokered") {
					t.Errorf("a third listener: %v", err)
				}
			}
			for _, l := range open {
				l.Close()
				l.Close()
			}
			usesBroker(t, c)
			usesBroker(t, c)
			closes(t, c)
		})
	}
}
