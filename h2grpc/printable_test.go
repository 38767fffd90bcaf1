package h2grpc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/metadata"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// nasty is text that a terminal acts on: it sets the title, clears the screen, begins
// a line, changes the direction of writing.
const nasty = "\x1b]0;owned\a\x1b[2J\r\n2026/11/29 ERROR forged\x7f\u009b2J\u202e\u2066\u2028\xff\x00"

// wantPrintable fails unless the text of an error contains all and can be shown.
func wantPrintable(t *testing.T, what string, err error, all ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: there is no error", what)
		return
	}
	text := err.Error()
	for _, r := range text {
		if !strconv.IsPrint(r) {
			t.Errorf("%s: the error is %q", what, text)
			break
		}
	}
	if len(text) > 5000 {
		t.Errorf("%s: the error has %d bytes", what, len(text))
	}
	for _, want := range all {
		if !strings.Contains(text, want) {
			t.Errorf("%s: %q is not in %.300q", what, want, text)
		}
	}
}

// TestStatusTextsArePrintable: a status of the server reaches the client, and passes
// through a server that sends it on.
func TestStatusTextsArePrintable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failure := status.Error(codes.Aborted, nasty+strings.Repeat("A", 8000))
		far, _ := start(t, setup{service: fails(&failure)})
		near, _ := start(t, setup{service: &testService{
			unary: func(ctx context.Context, in *raw) (*raw, error) {
				return nil, far.Invoke(ctx, unaryMethod, in, new(raw))
			},
			stream: func(s h2grpc.ServerStream) error {
				return fmt.Errorf("asking: %w", far.Invoke(s.Context(), unaryMethod, msg("x"), new(raw)))
			},
		}})
		for _, err := range append(outcomes(t, far), outcomes(t, near)...) {
			wantPrintable(t, "a status", err, "rpc error: code = Aborted desc = ", `\x1b]0;owned\a\x1b[2J\r\n2026/11/29 ERROR forged\x7f\u009b2J\u202e\u2066\u2028`, "bytes more)")
			if m := status.Convert(err).Message(); !strings.Contains(m, "\x1b]0;owned\a") && !strings.HasPrefix(m, `asking: rpc error: code = Aborted desc = \x1b`) {
				t.Errorf("the message became %.200q", m)
			}
		}
	})
}

// namedTLS returns a certificate with names that the peer chooses.
func namedTLS(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestCertificateNamesArePrintable: the errors of crypto/x509 contain unescaped the
// names for which a certificate is valid.
func TestCertificateNamesArePrintable(t *testing.T) {
	skipInFIPSBubble(t)
	names := []string{"\x1b[2J\r\n\x7f.example", strings.Repeat("a", 20_000)}
	a, b := net.Pipe()
	defer a.Close()
	cc := h2grpc.NewClient(&h2grpc.ClientConfig{TLS: &tls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool()}, Dial: once(a)})
	defer cc.Close()
	go tls.Server(b, &tls.Config{Certificates: []tls.Certificate{namedTLS(t, names...)}, NextProtos: []string{"h2"}}).HandshakeContext(t.Context())
	err := cc.Connect(t.Context())
	wantPrintable(t, "a server's certificate", err, "TLS handshake: tls: failed to verify certificate: x509: certificate is valid for ", `\x1b[2J\r\n\x7f.example, aaa`, "bytes more)")
	if name := (x509.HostnameError{}); !errors.As(err, &name) {
		t.Errorf("%v is no HostnameError", err)
	}

	a, b = net.Pipe()
	defer a.Close()
	log := new(warnings)
	srv := h2grpc.NewServer(&h2grpc.ServerConfig{Logger: log, TLS: &tls.Config{
		Certificates: []tls.Certificate{namedTLS(t, "localhost")}, ClientAuth: tls.RequireAnyClientCert,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			cert, err := x509.ParseCertificate(raw[0])
			if err != nil {
				return err
			}
			return cert.VerifyHostname("client.example")
		},
	}})
	defer srv.Close()
	go func() {
		client := tls.Client(a, &tls.Config{Certificates: []tls.Certificate{namedTLS(t, names...)}, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		client.HandshakeContext(t.Context())
		io.Copy(io.Discard, client)
	}()
	wantPrintable(t, "a client's certificate", srv.ServeConn(t.Context(), b), `h2grpc: TLS handshake: `, `\x1b[2J\r\n\x7f.example, aaa`)
	for _, text := range log.take() {
		wantPrintable(t, "the server's log", errors.New(text))
	}
}

// lostConn is a connection whose reads fail.
type lostConn struct {
	net.Conn
	err error
}

func (c lostConn) Read([]byte) (int, error) { return 0, c.err }

// TestConnectionErrorsArePrintable: errors of package net contain addresses, which a
// peer may have announced.
func TestConnectionErrorsArePrintable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addr := &net.UnixAddr{Net: "unix", Name: "/tmp/" + nasty}
		failure := &net.OpError{Op: "dial", Net: "unix", Addr: addr, Err: net.UnknownNetworkError("x")}
		cc := h2grpc.NewClient(&h2grpc.ClientConfig{Dial: func(context.Context) (net.Conn, error) { return nil, failure }})
		err := cc.Connect(t.Context())
		wantPrintable(t, "dialling", err, `dialling: dial unix /tmp/\x1b]0;owned`)
		if op := (*net.OpError)(nil); !errors.As(err, &op) {
			t.Errorf("%v is no OpError", err)
		}
		wantPrintable(t, "calling", cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw)), `desc = connecting: dialling: dial unix /tmp/\x1b]0;owned`)
		cc.Close()

		a, b := net.Pipe()
		go io.Copy(io.Discard, b)
		failure.Op = "read"
		cc = h2grpc.NewClient(&h2grpc.ClientConfig{Dial: once(lostConn{a, failure})})
		wantPrintable(t, "reading", cc.Connect(t.Context()), `connection lost: read unix /tmp/\x1b]0;owned`)
		cc.Close()
		b.Close()
		a, b = net.Pipe()
		go io.Copy(io.Discard, b)
		srv := h2grpc.NewServer(&h2grpc.ServerConfig{})
		wantPrintable(t, "serving", srv.ServeConn(t.Context(), lostConn{a, failure}), `connection lost: read unix /tmp/\x1b]0;owned`)
		srv.Close()
		b.Close()
	})
}

// TestFramesWordsArePrintable: the texts that HTTP/2 frames carry.
func TestFramesWordsArePrintable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, cc := scriptServer(t, h2grpc.ClientConfig{})
		first, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		second, err := cc.NewStream(t.Context(), &bidiDesc, bidiMethod)
		if err != nil {
			t.Fatal(err)
		}
		p.take()
		p.goAway(1, http2.ErrCodeInternal, nasty+strings.Repeat("A", 5000))
		synctest.Wait()
		wantPrintable(t, "GOAWAY", second.RecvMsg(new(raw)), `\x1b]0;owned\a\x1b[2J\r\n2026`)
		p.nc.Close()
		wantPrintable(t, "GOAWAY and loss", first.RecvMsg(new(raw)))
	})
	long := strings.Repeat("x", 10_000) + "-bin"
	for name, fields := range map[string][]string{
		"an HTTP status":     {":status=503", "content-type=text/html"},
		"a content type":     {":status=200", "content-type=\x1b[2J\u009b" + strings.Repeat("x", 9000)},
		"a status code":      {":status=200", "content-type=application/grpc", "grpc-status=\x1b[2J\u202e"},
		"a status message":   {":status=200", "content-type=application/grpc", "grpc-status=5", "grpc-message=\x1b[2J%1B%0A%FF\u009b"},
		"metadata":           {":status=200", "content-type=application/grpc", "grpc-status=0", "a-bin=\x1b[2J\u202e"},
		"metadata's name":    {":status=200", "content-type=application/grpc", "grpc-status=0", long + "=\x1b[2J"},
		"a field":            {":status=200", "\x1b[2J=x"},
		"a compressor":       {":status=200", "content-type=application/grpc", "grpc-encoding=\x1b[2J\u202e"},
		"a pseudo-header":    {":status=\x1b[2", ":\x1b[2J=x"},
		"a response's field": {":status=200", "content-type=application/grpc", "grpc-status=1", "x=\x1b[2J"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, cc := scriptServer(t, h2grpc.ClientConfig{})
			failed := make(chan error, 1)
			go func() {
				var header, trailer metadata.MD
				failed <- cc.Invoke(t.Context(), unaryMethod, msg("x"), new(raw), h2grpc.Header(&header), h2grpc.Trailer(&trailer))
			}()
			p.take()
			p.headers(1, endStream, fields...)
			wantPrintable(t, name, <-failed)
		})
	}
}
