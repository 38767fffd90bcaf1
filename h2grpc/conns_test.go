package h2grpc_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
)

// lines is a Logger that keeps messages, and how many lines each stands for.
type lines struct {
	mu    sync.Mutex
	texts []string
	stand map[string]int
}

func (l *lines) log(msg string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stand == nil {
		l.stand = make(map[string]int)
	}
	l.texts = append(l.texts, msg)
	l.stand[msg]++
	if i := slices.Index(args, any("more_like_it")); i >= 0 {
		l.stand[msg] += args[i+1].(int)
	}
}

func (l *lines) Debug(msg string, args ...any) { l.log(msg, args) }
func (l *lines) Info(msg string, args ...any)  { l.log(msg, args) }
func (l *lines) Warn(msg string, args ...any)  { l.log(msg, args) }
func (l *lines) Error(msg string, args ...any) { l.log(msg, args) }

// wants checks how many lines have the text, and how many they stand for.
func (l *lines) wants(t *testing.T, text string, lines, stand int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	n, all := 0, 0
	for _, got := range l.texts {
		if strings.Contains(got, text) {
			n++
		}
	}
	for msg, s := range l.stand {
		if strings.Contains(msg, text) {
			all += s
		}
	}
	if n != lines || all != stand {
		t.Errorf("%d lines with %q stand for %d, want %d for %d", n, text, all, lines, stand)
	}
}

// crowded is a server that is served on a listener in memory.
type crowded struct {
	*h2grpc.Server
	log    *lines
	dial   func(context.Context) (net.Conn, error)
	client *tls.Config
}

// onCrowded runs a test with such a server, in plaintext and with TLS.
func onCrowded(t *testing.T, cfg h2grpc.ServerConfig, run func(t *testing.T, c *crowded)) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &crowded{log: new(lines)}
				cfg.Logger = c.log
				if secure {
					cfg.TLS, c.client = testTLS(t)
				}
				lis, dial := listenMemory(t)
				c.dial = dial
				c.Server = h2grpc.NewServer(&cfg)
				c.RegisterService(serviceDesc(), &testService{unary: echo})
				served := make(chan error, 1)
				go func() { served <- c.Serve(lis) }()
				run(t, c)
				c.Close()
				if err := <-served; err != h2grpc.ErrServerClosed {
					t.Errorf("Serve: %v", err)
				}
			})
		})
	}
}

// open returns a client that has made a call, or the error if that took a second.
func (c *crowded) open(t *testing.T) (*h2grpc.ClientConn, error) {
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: c.dial, TLS: c.client, ConnectTimeout: time.Second})
	t.Cleanup(func() { cc.Close() })
	return cc, called(t, cc)
}

func called(t *testing.T, cc *h2grpc.ClientConn) error {
	return cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw))
}

// As many connections as MaxConnections are served. Another waits until one of them
// has ended, and those after it are not even accepted. The server logs that once.
func TestMaxConnections(t *testing.T) {
	onCrowded(t, h2grpc.ServerConfig{MaxConnections: 3}, func(t *testing.T, c *crowded) {
		var open []*h2grpc.ClientConn
		for range 3 {
			cc, err := c.open(t)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, cc)
		}
		fourth, err := c.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fourth.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := fourth.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a fourth connection: %v", err)
		}
		fourth.Close()
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, err := c.dial(ctx); err == nil {
				t.Error("a fifth connection was accepted")
			}
			cancel()
		}
		for _, cc := range open {
			if err := called(t, cc); err != nil {
				t.Error(err)
			}
		}
		c.log.wants(t, "ServerConfig.MaxConnections", 1, 1)
		open[1].Close()
		synctest.Wait()
		if _, err := c.open(t); err != nil {
			t.Errorf("there is room again: %v", err)
		}
		c.log.wants(t, "ServerConfig.MaxConnections", 1, 1)
		if err := called(t, open[2]); err != nil {
			t.Error(err)
		}
	})
}

// A server that is full ends like any other.
func TestFullServerEnds(t *testing.T) {
	for _, end := range []func(*h2grpc.Server) error{
		(*h2grpc.Server).Close,
		func(s *h2grpc.Server) error { return s.Shutdown(context.Background()) },
	} {
		onCrowded(t, h2grpc.ServerConfig{MaxConnections: 1}, func(t *testing.T, c *crowded) {
			if _, err := c.open(t); err != nil {
				t.Fatal(err)
			}
			if err := end(c.Server); err != nil {
				t.Error(err)
			}
		})
	}
}

// A peer connects all the time and sends nothing, or only begins to. Honest clients
// are served, before and after; the oldest of the other connections are closed.
func TestMaxHandshakes(t *testing.T) {
	for name, say := range map[string]string{"nothing": "", "a part of the preface": http2.ClientPreface[:5], "no SETTINGS": http2.ClientPreface} {
		t.Run(name, func(t *testing.T) {
			onCrowded(t, h2grpc.ServerConfig{MaxHandshakes: 4}, func(t *testing.T, c *crowded) {
				if c.client != nil {
					say = "\x16\x03\x01\x02\x00" // of a ClientHello, its first five bytes: RFC 8446, section 5.1
				}
				before, err := c.open(t)
				if err != nil {
					t.Fatal(err)
				}
				var crowd []net.Conn
				var ended []int // of crowd, in this order
				var mu sync.Mutex
				for i := range 300 {
					conn, err := c.dial(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					crowd = append(crowd, conn)
					go func() {
						io.Copy(io.Discard, conn)
						mu.Lock()
						defer mu.Unlock()
						ended = append(ended, i)
					}()
					io.WriteString(conn, say)
					synctest.Wait()
					if i%30 == 7 {
						cc, err := c.open(t)
						if err != nil {
							t.Errorf("beside %d others: %v", i, err)
						}
						defer cc.Close()
					}
				}
				if err := called(t, before); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if len(ended) != 296 || !slices.IsSorted(ended) {
					t.Errorf("%d have ended, in order: %v", len(ended), slices.IsSorted(ended))
				}
				c.log.wants(t, "ServerConfig.MaxHandshakes", 10, 10)
				c.log.wants(t, "handshake failed", 0, 0)
				c.Close()
				// Each that was closed is accounted for.
				c.log.mu.Lock()
				defer c.log.mu.Unlock()
				for text, stand := range c.log.stand {
					if strings.Contains(text, "MaxHandshakes") && stand != 296 {
						t.Errorf("the log accounts for %d", stand)
					}
				}
				for _, conn := range crowd {
					conn.Close()
				}
			})
		})
	}
}

// Negative numbers mean no limit.
func TestNoConnectionLimits(t *testing.T) {
	onCrowded(t, h2grpc.ServerConfig{MaxConnections: -1, MaxHandshakes: -1}, func(t *testing.T, c *crowded) {
		for range 1000 {
			conn, err := c.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go io.Copy(io.Discard, conn)
		}
		for range 10 {
			if _, err := c.open(t); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		c.log.wants(t, "", 0, 0)
	})
}

// Connections of ServeConn are not counted.
func TestServeConnIsNotCounted(t *testing.T) {
	onCrowded(t, h2grpc.ServerConfig{MaxConnections: 1, MaxHandshakes: 1}, func(t *testing.T, c *crowded) {
		for range 5 {
			cc := h2grpc.NewClient(&h2grpc.ClientConfig{TLS: c.client, Dial: func(context.Context) (net.Conn, error) {
				a, b := net.Pipe()
				go c.ServeConn(t.Context(), b)
				return a, nil
			}})
			defer cc.Close()
			if err := called(t, cc); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.open(t); err != nil {
			t.Error(err)
		}
	})
}

// A hundred thousand failed handshakes, and handlers that panic, cause only a few
// lines.
func TestLogFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(lines)
		serverTLS, clientTLS := testTLS(t)
		cc, srv := start(t, setup{
			server:  h2grpc.ServerConfig{Logger: log, TLS: serverTLS},
			client:  h2grpc.ClientConfig{TLS: clientTLS},
			service: &testService{unary: func(context.Context, *raw) (*raw, error) { panic("oh") }},
		})
		const many = 2000
		for range many {
			if err := called(t, cc); err == nil {
				t.Error("no error")
			}
			a, b := net.Pipe()
			go io.Copy(io.Discard, a)
			go func() {
				io.WriteString(a, "GET / HTTP/1.1\r\n")
				a.Close()
			}()
			if err := srv.ServeConn(t.Context(), b); err == nil || errors.Is(err, h2grpc.ErrServerClosed) {
				t.Errorf("served: %v", err)
			}
		}
		log.wants(t, "panic in the handler", 10, 10)
		log.wants(t, "TLS handshake failed", 10, 10)
		time.Sleep(time.Minute)
		log.wants(t, "panic in the handler", 11, many)
		log.wants(t, "TLS handshake failed", 11, many)
	})
}
