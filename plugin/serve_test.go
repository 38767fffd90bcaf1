package plugin_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/reflection"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/wire"
)

func echoSet() plugin.Set { return plugin.Set{"echo": serveEcho(plain)} }

func TestServe(t *testing.T) {
	s := serve(t, &plugin.ServeConfig{Plugins: echoSet()})
	if runtime.GOOS == "windows" { // as go-plugin's plugins do there
		want := regexp.MustCompile(`^1\|1\|tcp\|127\.0\.0\.1:[0-9]+\|grpc\|\n$`)
		if !want.MatchString(s.line) {
			t.Errorf("handshake %q, want one that matches %s", s.line, want)
		}
	} else {
		if want := "1|1|unix|" + s.hs.Address + "|grpc|\n"; s.line != want {
			t.Errorf("handshake %q, want %q", s.line, want)
		}
		if filepath.Dir(s.hs.Address) != s.dir || !strings.HasPrefix(filepath.Base(s.hs.Address), "plugin") || len(filepath.Base(s.hs.Address)) > 16 {
			t.Errorf("socket %q, want %s/plugin and at most ten characters", s.hs.Address, s.dir)
		}
		if info, err := os.Stat(s.hs.Address); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("socket %v, %v, want mode 0600", info, err)
		}
	}
	cc := s.dial(nil)
	wantEcho(t, cc, "hello", "hello")

	ctx := deadline(t)
	for _, name := range []string{"", "plugin"} {
		if got, err := health.Check(ctx, cc, name); err != nil || got != health.Serving {
			t.Errorf("health of %q: %v, %v", name, got, err)
		}
	}
	if _, err := health.Check(ctx, cc, "other"); status.Code(err) != codes.NotFound {
		t.Errorf("health of an unknown service: %v", err)
	}
	if err := control.Shutdown(ctx, cc); err != nil {
		t.Errorf("Shutdown is not answered: %v", err)
	}
	s.wantEnd()
}

func TestVersions(t *testing.T) {
	named := func(name string) plugin.Set {
		return plugin.Set{"echo": serveEcho(func(context.Context, []byte) ([]byte, error) { return []byte(name), nil })}
	}
	for _, tt := range []struct {
		host    string
		version int
		answer  string
	}{
		{"2,3", 3, "three"},
		{"2", 2, "two"},
		{"4,1", 1, "one"},
		{"7", 1, "one"}, // none in common: the lowest, which the host refuses
		{"", 1, "one"},
	} {
		s := serve(t, &plugin.ServeConfig{
			Plugins:  named("one"),
			Versions: map[int]plugin.Set{3: named("three"), 2: named("two")},
		}, wire.EnvProtocolVersions+"="+tt.host)
		if s.hs.AppVersion != tt.version {
			t.Errorf("a host of %q gets version %d, want %d", tt.host, s.hs.AppVersion, tt.version)
		}
		// Both lists are logged only if the host has sent one.
		if got, want := strings.Contains(s.stderr.String(), `"host_versions":"[7]","plugin_versions":"[1 2 3]"`), tt.host == "7"; got != want {
			t.Errorf("a host of %q is told the lists: %v\n%s", tt.host, got, s.stderr)
		}
		wantEcho(t, s.dial(nil), "", tt.answer)
	}
}

func TestAutoMTLS(t *testing.T) {
	for _, curve := range []automtls.Curve{automtls.P521, automtls.P256} {
		host, err := automtls.New(curve)
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, &plugin.ServeConfig{Plugins: echoSet()}, wire.EnvClientCert+"="+host.PEM())
		if err := automtls.ParseDER(s.hs.Certificate); err != nil {
			t.Fatalf("handshake %q: %v", s.line, err)
		}
		if got := automtls.CurveOf(s.hs.Certificate); got != curve {
			t.Errorf("the plugin's key is on %v, want the host's %v", got, curve)
		}
		wantEcho(t, s.dial(automtls.ClientConfig(host, s.hs.Certificate, nil)), "x", "x")

		stranger, err := automtls.New(automtls.P256)
		if err != nil {
			t.Fatal(err)
		}
		for name, cfg := range map[string]*tls.Config{
			"another certificate": automtls.ClientConfig(stranger, s.hs.Certificate, nil),
			"no certificate":      {InsecureSkipVerify: true, NextProtos: []string{"h2"}},
			"no TLS":              nil,
		} {
			if _, err := echo(deadline(t), s.dial(cfg), "x"); err == nil {
				t.Errorf("a client with %s was served", name)
			}
		}
	}
}

func TestOwnTLS(t *testing.T) {
	id, err := automtls.New(automtls.P256)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(id.DER())
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(leaf)
	own := &tls.Config{Certificates: []tls.Certificate{id.Certificate()}}
	// The host asks for AutoMTLS, but the plugin's own configuration takes precedence.
	s := serve(t, &plugin.ServeConfig{Plugins: echoSet(), TLS: own}, wire.EnvClientCert+"="+id.PEM())
	if s.hs.Certificate != nil {
		t.Error("the handshake carries a certificate, but the plugin's TLS is its own")
	}
	wantEcho(t, s.dial(&tls.Config{RootCAs: pool, ServerName: "localhost"}), "x", "x")
	if own.NextProtos != nil || own.MinVersion != 0 {
		t.Error("the caller's tls.Config was changed")
	}
}

func TestReflection(t *testing.T) {
	list := func(cc *h2grpc.ClientConn) (names []string, err error) {
		stream, err := cc.NewStream(deadline(t), &h2grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
		if err != nil {
			return nil, err
		}
		// list_services = "*", field 7 of the request.
		if err := stream.SendMsg(raw("\x3a\x01*")); err != nil && err != io.EOF { // RecvMsg says why it ended
			return nil, err
		}
		if err := stream.CloseSend(); err != nil {
			return nil, err
		}
		answer := new(rawMessage)
		if err := stream.RecvMsg(answer); err != nil {
			return nil, err
		}
		return strings.Split(string(*answer), "\n"), nil
	}
	names, err := list(serve(t, &plugin.ServeConfig{Plugins: echoSet(), Reflection: reflection.Register}).dial(nil))
	text := strings.Join(names, "\n")
	for _, want := range []string{"test.Echo", "plugin.GRPCBroker", "plugin.GRPCController", "plugin.GRPCStdio", "grpc.health.v1.Health"} {
		if !strings.Contains(text, want) {
			t.Errorf("reflection does not list %s: %q, %v", want, text, err)
		}
	}
	if _, err := list(serve(t, &plugin.ServeConfig{Plugins: echoSet()}).dial(nil)); status.Code(err) != codes.Unimplemented {
		t.Errorf("without reflection: %v", err)
	}
}

// rawMessage is a message of any bytes.
type rawMessage []byte

func raw(s string) *rawMessage { m := rawMessage(s); return &m }

func (m *rawMessage) AppendTo(b []byte) ([]byte, error) { return append(b, *m...), nil }
func (m *rawMessage) UnmarshalFrom(b []byte) error      { *m = bytes.Clone(b); return nil }

// TestShutdownWithOpenStreams opens every stream that a host keeps open. None may delay
// the end: with this DrainTimeout the test would time out.
func TestShutdownWithOpenStreams(t *testing.T) {
	s := serve(t, &plugin.ServeConfig{Plugins: echoSet(), DrainTimeout: time.Hour})
	cc := s.dial(nil)
	ctx := deadline(t)
	broker, err := control.StartStream(ctx, cc)
	if err != nil {
		t.Fatal(err)
	}
	stdio, err := control.StreamStdio(ctx, cc)
	if err != nil {
		t.Fatal(err)
	}
	second, err := control.StreamStdio(ctx, cc) // waits until the first has ended
	if err != nil {
		t.Fatal(err)
	}
	watch, err := cc.NewStream(ctx, &h2grpc.StreamDesc{ServerStreams: true}, "/grpc.health.v1.Health/Watch")
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.SendMsg(new(wire.Empty)); err != nil { // the server's own status
		t.Fatal(err)
	}
	if err := watch.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := watch.RecvMsg(new(wire.Empty)); err != nil {
		t.Fatal(err)
	}
	wantEcho(t, cc, "all are open", "all are open")
	if err := control.Shutdown(ctx, cc); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	s.wantEnd()
	for name, recv := range map[string]func() error{
		"broker":        func() error { _, err := broker.Recv(); return err },
		"output":        func() error { _, err := stdio.Recv(); return err },
		"second output": func() error { _, err := second.Recv(); return err },
	} {
		if err := recv(); err == nil || err.Error() != "EOF" {
			t.Errorf("the %s stream ends with %v, want io.EOF", name, err)
		}
	}
}

func TestDrain(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	s := serve(t, &plugin.ServeConfig{DrainTimeout: time.Hour, Plugins: plugin.Set{"echo": serveEcho(func(context.Context, []byte) ([]byte, error) {
		close(begun)
		<-release
		return []byte("done"), nil
	})}})
	cc := s.dial(nil)
	ctx := deadline(t)
	result := make(chan error, 1)
	go func() {
		got, err := echo(ctx, cc, "")
		if err == nil && got != "done" {
			err = errors.New("the answer is " + got)
		}
		result <- err
	}()
	<-begun
	if err := control.Shutdown(ctx, cc); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-result; err != nil {
		t.Errorf("a call in progress did not finish: %v", err)
	}
	s.wantEnd()
}

func TestDrainTimeout(t *testing.T) {
	begun, cancelled := make(chan struct{}), make(chan struct{})
	s := serve(t, &plugin.ServeConfig{DrainTimeout: 10 * time.Millisecond, Plugins: plugin.Set{"echo": serveEcho(func(ctx context.Context, _ []byte) ([]byte, error) {
		close(begun)
		<-ctx.Done()
		close(cancelled)
		return nil, ctx.Err()
	})}})
	cc := s.dial(nil)
	ctx := deadline(t)
	result := make(chan error, 1)
	go func() {
		_, err := echo(ctx, cc, "")
		result <- err
	}()
	<-begun
	if err := control.Shutdown(ctx, cc); err != nil {
		t.Fatal(err)
	}
	s.wantEnd()
	<-cancelled
	if err := <-result; status.Code(err) != codes.Unavailable && status.Code(err) != codes.Canceled {
		t.Errorf("the call that took too long ends with %v", err)
	}
}

// TestNothingRegistered: the log names a plugin of the set that registers nothing, which
// its host otherwise notices only at the first call, and names no other plugin. Unknown
// serves such calls.
func TestNothingRegistered(t *testing.T) {
	nothing := plugin.ServeOnly(func(*plugin.Broker, *h2grpc.Server) error { return nil })
	for want, unknown := range []func(string, h2grpc.ServerStream) error{
		func(string, h2grpc.ServerStream) error { return nil }, nil,
	} {
		s := serve(t, &plugin.ServeConfig{
			Plugins: plugin.Set{"echo": echoSet()["echo"], "more": nothing},
			Server:  h2grpc.ServerConfig{Unknown: unknown},
		})
		s.cancel()
		s.wantEnd()
		said := s.stderr.String()
		if got := strings.Count(said, "registered no service"); got != want || want == 1 && !strings.Contains(said, "more") {
			t.Errorf("%d warnings, want %d; stderr: %q", got, want, said)
		}
	}
}

// TestEndedAtOnce: what a plugin has begun has ended when ServeContext returns, also if
// that ends as soon as it has begun.
func TestEndedAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, env := range []string{wire.EnvMultiplex + "=false", wire.EnvMultiplex + "=true"} {
		for range 100 {
			err := plugin.ServeContext(ctx, &plugin.ServeConfig{Handshake: shake, Plugins: echoSet(), Process: &plugin.Process{
				Env: []string{cookie, env, wire.EnvUnixSocketDir + "=" + socketDir(t)}, Stdout: io.Discard, Stderr: io.Discard,
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestStubbornHandler has a handler that ignores its cancellation.
func TestStubbornHandler(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	s := serve(t, &plugin.ServeConfig{DrainTimeout: time.Millisecond, Plugins: plugin.Set{"echo": serveEcho(func(context.Context, []byte) ([]byte, error) {
		close(begun)
		<-release
		return nil, nil
	})}})
	cc := s.dial(nil)
	go echo(t.Context(), cc, "")
	<-begun
	s.cancel()
	s.wantEnd()
	if said := s.stderr.String(); !strings.Contains(said, "still running after their calls were cancelled") || !strings.Contains(said, "/test.Echo/") {
		t.Errorf("nobody is told; stderr: %q", s.stderr)
	}
}

func TestRefusals(t *testing.T) {
	dir := socketDir(t)
	long := filepath.Join(dir, strings.Repeat("d", 100))
	before := 0
	for _, d := range []string{long, filepath.Join(dir, "a|b")} {
		err := os.Mkdir(d, 0o700)
		if err == nil {
			before++
		} else if runtime.GOOS != "windows" { // which does not support such a name
			t.Fatal(err)
		}
	}
	clash := plugin.Set{"a": serveEcho(plain), "b": serveEcho(plain)}
	twice := plugin.Set{"a": serveEcho(plain), "kv": plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
		desc := h2grpc.ServiceDesc{ServiceName: "test.KV"}
		s.RegisterService(&desc, nil)
		s.RegisterService(&desc, nil)
		return nil
	})}
	own := plugin.Set{"kv": plugin.ServeOnly(func(_ *plugin.Broker, s *h2grpc.Server) error {
		health.NewServer().Register(s)
		return nil
	})}
	failing := plugin.Set{"kv": plugin.ServeOnly(func(*plugin.Broker, *h2grpc.Server) error { return errors.New("no database") })}
	client := plugin.Set{"kv": plugin.ClientOnly(func(context.Context, *plugin.Broker, *h2grpc.ClientConn) (int, error) { return 0, nil })}
	inDir := wire.EnvUnixSocketDir + "=" + dir
	for _, tt := range []struct {
		name string
		cfg  plugin.ServeConfig
		env  []string
		want []string
	}{
		{"no cookie key", plugin.ServeConfig{Handshake: plugin.Handshake{MagicCookieValue: "v"}, Plugins: echoSet()}, nil, []string{"MagicCookieKey and MagicCookieValue must both be set"}},
		{"nothing to serve", plugin.ServeConfig{Handshake: shake}, nil, []string{"neither Plugins nor Versions"}},
		{"a nil plugin", plugin.ServeConfig{Handshake: shake, Plugins: plugin.Set{"kv": nil}}, nil, []string{`"kv" of protocol version 1 is nil`}},
		{"a negative version", plugin.ServeConfig{Handshake: shake, Versions: map[int]plugin.Set{-1: {}}}, nil, []string{"version -1"}},
		{"TLS in the wrong place", plugin.ServeConfig{Handshake: shake, Plugins: echoSet(), Server: h2grpc.ServerConfig{TLS: new(tls.Config)}}, nil, []string{"set ServeConfig.TLS instead"}},
		{"TLS in the wrong place of the client", plugin.ServeConfig{Handshake: shake, Plugins: echoSet(), Client: h2grpc.ClientConfig{TLS: new(tls.Config)}}, nil, []string{"Client.TLS and Client.Dial must be nil"}},
		{"unknown network", plugin.ServeConfig{Handshake: shake, Plugins: echoSet(), Sockets: plugin.Sockets{Network: "udp"}}, nil, []string{`"udp"; use "unix" or "tcp"`}},
		{"bad environment", plugin.ServeConfig{Handshake: shake, Plugins: echoSet()}, []string{wire.EnvMinPort + "=many"}, []string{wire.EnvMinPort, "many"}},
		{"bad certificate", plugin.ServeConfig{Handshake: shake, Plugins: echoSet()}, []string{wire.EnvClientCert + "=-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"}, []string{"the host's certificate in " + wire.EnvClientCert, "not exactly one X.509 certificate"}},
		{"long path", plugin.ServeConfig{Handshake: shake, Plugins: echoSet(), Sockets: plugin.Sockets{Network: "unix"}}, []string{wire.EnvUnixSocketDir + "=" + long}, []string{"bytes, but the system allows 10", wire.EnvUnixSocketDir}},
		{"a bar in the path", plugin.ServeConfig{Handshake: shake, Plugins: echoSet(), Sockets: plugin.Sockets{Network: "unix"}}, []string{wire.EnvUnixSocketDir + "=" + filepath.Join(dir, "a|b")}, []string{"contains a '|'"}},
		{"no directory", plugin.ServeConfig{Handshake: shake, Plugins: echoSet(), Sockets: plugin.Sockets{Network: "unix"}}, []string{wire.EnvUnixSocketDir + "=" + filepath.Join(dir, "none")}, []string{"making a socket in the directory", "none"}},
		{"unknown group", plugin.ServeConfig{Handshake: shake, Plugins: echoSet(), Sockets: plugin.Sockets{Network: "unix"}}, []string{inDir, wire.EnvUnixSocketGroup + "=no-such-group"}, []string{`"no-such-group" in ` + wire.EnvUnixSocketGroup}},
		{"a service registered twice", plugin.ServeConfig{Handshake: shake, Plugins: clash}, []string{inDir}, []string{`registering "b"`, `"test.Echo": it is already registered, by "a"`}},
		{"a service that one entry registers twice", plugin.ServeConfig{Handshake: shake, Plugins: twice}, []string{inDir}, []string{`"test.KV": it is already registered, by "kv"`}},
		{"a service of the protocol's own", plugin.ServeConfig{Handshake: shake, Plugins: own}, []string{inDir}, []string{`"grpc.health.v1.Health"`, "already registered, by the plugin protocol itself"}},
		{"a plugin that fails", plugin.ServeConfig{Handshake: shake, Plugins: failing}, []string{inDir}, []string{`registering "kv" of protocol version 1: no database`}},
		{"a plugin that cannot serve", plugin.ServeConfig{Handshake: shake, Plugins: client}, []string{inDir}, []string{"ClientOnly"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout buffer
			tt.cfg.Process = &plugin.Process{Env: append([]string{cookie}, tt.env...), Stdout: &stdout}
			err := plugin.ServeContext(t.Context(), &tt.cfg)
			wantText(t, err, tt.want...)
			if stdout.String() != "" {
				t.Errorf("stdout: %q", stdout.String())
			}
		})
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != before {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestCookie(t *testing.T) {
	for _, env := range [][]string{nil, {"TN_COOKIE=other"}, {"TN_COOKIE="}, {cookie, "TN_COOKIE=other"}} {
		var stdout, stderr buffer
		cfg := &plugin.ServeConfig{Handshake: shake, Plugins: echoSet(), Process: &plugin.Process{Env: env, Stdout: &stdout, Stderr: &stderr}}
		if err := plugin.ServeContext(t.Context(), cfg); !errors.Is(err, plugin.ErrCookie) {
			t.Errorf("with %q: %v", env, err)
		}
		plugin.Serve(cfg) // returns, because there is a Process
		if stdout.String() != "" || !strings.HasPrefix(stderr.String(), "This program is a plugin.") {
			t.Errorf("with %q: stdout %q, stderr %q", env, stdout.String(), stderr.String())
		}
	}
}

func TestGroup(t *testing.T) {
	gid := os.Getgid()
	if gid < 0 {
		t.Skip("this system has no groups")
	}
	s := serve(t, &plugin.ServeConfig{Plugins: echoSet()}, wire.EnvUnixSocketGroup+"="+strconv.Itoa(gid))
	if info, err := os.Stat(s.hs.Address); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket %v, %v, want mode 0660", info, err)
	}
	wantEcho(t, s.dial(nil), "x", "x")
}

func TestTCP(t *testing.T) {
	first := serve(t, &plugin.ServeConfig{Plugins: echoSet(), Sockets: plugin.Sockets{Network: "tcp"}})
	if first.hs.Network != "tcp" || !strings.HasPrefix(first.hs.Address, "127.0.0.1:") {
		t.Fatalf("handshake %q, want tcp on 127.0.0.1", first.line)
	}
	wantEcho(t, first.dial(nil), "x", "x")
	// The first plugin has the port: a range of only that port is full.
	port := strings.TrimPrefix(first.hs.Address, "127.0.0.1:")
	err := plugin.ServeContext(t.Context(), &plugin.ServeConfig{Handshake: shake, Plugins: echoSet(), Sockets: plugin.Sockets{Network: "tcp"}, Process: &plugin.Process{
		Env: []string{cookie, wire.EnvMinPort + "=" + port, wire.EnvMaxPort + "=" + port},
	}})
	wantText(t, err, "no free TCP port from "+port+" to "+port, wire.EnvMinPort)
}

func TestOneSided(t *testing.T) {
	if _, err := serveEcho(plain).GRPCClient(t.Context(), nil, nil); !errors.Is(err, plugin.ErrOneSided) {
		t.Errorf("ServeOnly's client: %v", err)
	}
	p := plugin.ClientOnly(func(context.Context, *plugin.Broker, *h2grpc.ClientConn) (string, error) { return "client", nil })
	if err := p.GRPCServer(nil, nil); !errors.Is(err, plugin.ErrOneSided) {
		t.Errorf("ClientOnly's server: %v", err)
	}
	if got, err := p.GRPCClient(t.Context(), nil, nil); got != "client" || err != nil {
		t.Errorf("ClientOnly's client: %v, %v", got, err)
	}
}
