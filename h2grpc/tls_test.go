package h2grpc_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// TestALPN: RFC 9113 §3.3. "h2" or nothing; both ends refuse anything else, even if
// the caller's config would allow it.
func TestALPN(t *testing.T) {
	for _, c := range []struct {
		name           string
		server, client []string // NextProtos of the end under test and of the other
		ok             bool
	}{
		{"nothing said", nil, nil, true},
		{"h2 on both", []string{"h2"}, []string{"h2"}, true},
		{"h2 among others", []string{"http/1.1", "h2"}, []string{"h2", "http/1.1"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				serverTLS, clientTLS := testTLS(t)
				serverTLS.NextProtos, clientTLS.NextProtos = c.server, c.client
				cc, _ := start(t, setup{server: h2grpc.ServerConfig{TLS: serverTLS}, client: h2grpc.ClientConfig{TLS: clientTLS}, service: &testService{unary: echo}})
				if err := cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
					t.Error(err)
				}
				if len(serverTLS.NextProtos) != len(c.server) || len(clientTLS.NextProtos) != len(c.client) {
					t.Error("the caller's config was changed")
				}
			})
		})
	}
}

// TestServerALPN: clients of other libraries. grpc-go before 1.67 lets a client offer
// nothing, and so does a TLS library that is not configured for ALPN, such as
// Python's or rustls; from 1.67 on grpc-go refuses that. Here no protocol means h2,
// and any other is refused.
func TestServerALPN(t *testing.T) {
	for _, c := range []struct {
		offer []string
		dyn   bool // the server's config is used as it is
		ok    bool
	}{{nil, false, true}, {[]string{"h2"}, false, true}, {[]string{"http/1.1"}, true, false}, {[]string{"other"}, false, false}, {nil, true, true}} {
		synctest.Test(t, func(t *testing.T) {
			serverTLS, clientTLS := testTLS(t)
			clientTLS.NextProtos, clientTLS.ServerName = c.offer, "localhost"
			if c.dyn {
				serverTLS.NextProtos, serverTLS.DynamicRecordSizingDisabled = []string{"h2", "http/1.1"}, true
			}
			a, b := net.Pipe()
			srv := h2grpc.NewServer(&h2grpc.ServerConfig{TLS: serverTLS})
			served := make(chan error, 1)
			go func() { served <- srv.ServeConn(t.Context(), b) }()
			conn := tls.Client(a, clientTLS)
			var first [9]byte
			err := conn.HandshakeContext(t.Context())
			if err == nil {
				_, err = io.ReadFull(conn, first[:])
			}
			if (err == nil) != c.ok {
				t.Errorf("a client that offers %q: %v", c.offer, err)
			}
			if c.ok && first[3] != byte(http2.FrameSettings) {
				t.Errorf("a client that offers %q is sent % x", c.offer, first)
			}
			a.Close()
			if err := <-served; !c.ok && (err == nil || !strings.Contains(err.Error(), "TLS")) {
				t.Errorf("ServeConn: %v", err)
			}
			srv.Close()
		})
	}
}

// TestClientALPN: servers of other libraries, which select nothing, h2 or something
// else. As in TestServerALPN, nothing means h2; grpc-go from 1.67 on refuses that.
func TestClientALPN(t *testing.T) {
	for _, c := range []struct {
		protos []string
		dyn    bool
		ok     bool
	}{{nil, false, true}, {[]string{"h2"}, false, true}, {[]string{"http/1.1"}, false, false}, {[]string{"http/1.1"}, true, false}} {
		synctest.Test(t, func(t *testing.T) {
			serverTLS, clientTLS := testTLS(t)
			serverTLS.NextProtos = c.protos
			if c.dyn {
				clientTLS.NextProtos, clientTLS.DynamicRecordSizingDisabled = []string{"h2", "http/1.1"}, true
			}
			a, b := net.Pipe()
			cc := h2grpc.NewClient(&h2grpc.ClientConfig{TLS: clientTLS, Dial: once(a)})
			connected := make(chan error, 1)
			go func() { connected <- cc.Connect(t.Context()) }()
			conn := tls.Server(b, serverTLS)
			if err := conn.HandshakeContext(t.Context()); err == nil {
				go io.Copy(io.Discard, conn)
				http2.NewFramer(conn, nil).WriteSettings()
			}
			if err := <-connected; (err == nil) != c.ok || (err != nil && !strings.Contains(err.Error(), "TLS")) {
				t.Errorf("a server that selects of %q: %v", c.protos, err)
			}
			b.Close()
			cc.Close()
		})
	}
}

// TestTLSMismatch: one end speaks TLS and the other does not.
func TestTLSMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serverTLS, clientTLS := testTLS(t)
		service := &testService{unary: echo}
		plainServer, _ := start(t, setup{service: service, client: h2grpc.ClientConfig{TLS: clientTLS}})
		err := plainServer.Invoke(t.Context(), unaryMethod, msg("x"), new(raw))
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "TLS handshake") {
			t.Errorf("a TLS client of a plaintext server: %v", err)
		}
		plainClient, _ := start(t, setup{service: service, server: h2grpc.ServerConfig{TLS: serverTLS}})
		err = plainClient.Invoke(t.Context(), unaryMethod, msg("x"), new(raw))
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "TLS") {
			t.Errorf("a plaintext client of a TLS server: %v", err)
		}
		stranger, _ := testTLS(t)
		distrust, _ := start(t, setup{service: service, server: h2grpc.ServerConfig{TLS: stranger}, client: h2grpc.ClientConfig{TLS: clientTLS}})
		err = distrust.Invoke(t.Context(), unaryMethod, msg("x"), new(raw))
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("a server with another certificate: %v", err)
		}
	})
}

// TestTLSHandshakeTimeout: both ends limit the handshake.
func TestTLSHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serverTLS, clientTLS := testTLS(t)
		a, b := net.Pipe()
		srv := h2grpc.NewServer(&h2grpc.ServerConfig{TLS: serverTLS, HandshakeTimeout: 5 * time.Second})
		began := time.Now()
		if err := srv.ServeConn(t.Context(), b); err == nil || time.Since(began) != 5*time.Second {
			t.Errorf("a silent client: %v after %v", err, time.Since(began))
		}
		a.Close()
		a, b = net.Pipe()
		go io.Copy(io.Discard, b)
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{TLS: clientTLS, Dial: once(a), ConnectTimeout: 5 * time.Second})
		began = time.Now()
		if err := cc.Connect(t.Context()); err == nil || time.Since(began) != 5*time.Second {
			t.Errorf("a silent server: %v after %v", err, time.Since(began))
		}
		cc.Close()

		// Close does not wait for a handshake.
		a, b = net.Pipe()
		served := make(chan error, 1)
		go func() { served <- srv.ServeConn(context.Background(), b) }()
		synctest.Wait()
		began = time.Now()
		srv.Close()
		if err := <-served; err == nil || time.Since(began) > time.Second {
			t.Errorf("Close during a handshake: %v after %v", err, time.Since(began))
		}
		a.Close()
	})
}

// TestMutualTLS: the client's certificate is required, and visible.
func TestMutualTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serverTLS, clientTLS := testTLS(t)
		serverTLS.ClientAuth, serverTLS.ClientCAs = tls.RequireAndVerifyClientCert, clientTLS.RootCAs
		service := &testService{unary: echo, stream: echoStream}
		without, _ := start(t, setup{service: service, server: h2grpc.ServerConfig{TLS: serverTLS}, client: h2grpc.ClientConfig{TLS: clientTLS}})
		if err := without.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("without a certificate: %v", err)
		}
		clientTLS.Certificates = serverTLS.Certificates
		with, _ := start(t, setup{service: service, server: h2grpc.ServerConfig{TLS: serverTLS}, client: h2grpc.ClientConfig{TLS: clientTLS}})
		if err := with.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)); err != nil {
			t.Errorf("with a certificate: %v", err)
		}
	})
}
