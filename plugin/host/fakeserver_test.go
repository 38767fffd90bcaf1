package host_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/status"
	"github.com/tenonrpc/tenon/plugin/internal/automtls"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/wire"
)

// server is a plugin that serves and can be told to misbehave. It is built from parts
// of the protocol, since package plugin does not misbehave.
type server struct {
	version    int
	socket     func() string // nil: where it should be
	ownTLS     bool          // uses and announces the certificate that the test has given it
	plain      bool          // knows nothing of certificates
	anyHost    bool          // asks for no host's certificate
	noStdio    bool
	noBroker   bool
	noShutdown bool                // no controller
	shutdown   func(*server) error // nil: ends without an answer, as go-plugin does
	deaf       bool                // SIGTERM changes nothing
	// talk sends what nobody wants on the broker's stream; nil: nothing.
	talk func(send func(*wire.ConnInfo) error) error
	line func(string) string // changes the handshake line; nil: as it is

	grpc  *h2grpc.Server
	stdio chan wire.StdioData
}

// run serves until the process ends.
func (s *server) run() {
	signal.Ignore(os.Interrupt)
	if s.deaf {
		signal.Ignore(syscall.SIGTERM)
	}
	s.stdio = make(chan wire.StdioData, 16)
	var cert string
	var config h2grpc.ServerConfig
	if s.ownTLS {
		given := givenCert()
		config.TLS = &tls.Config{Certificates: []tls.Certificate{given}}
		cert = certField(given.Certificate[0])
	} else if pem := os.Getenv(wire.EnvClientCert); pem != "" && !s.plain {
		peer, err := automtls.ParsePEM(pem)
		must(err)
		own, err := automtls.New(automtls.CurveOf(peer))
		must(err)
		config.TLS = automtls.ServerConfig(own, peer, nil)
		if s.anyHost {
			config.TLS.ClientAuth, config.TLS.VerifyConnection = tls.NoClientCert, nil
		}
		cert = certField(own.DER())
	}
	g := h2grpc.NewServer(&config)
	s.grpc = g
	h := health.NewServer()
	h.SetServingStatus(control.HealthService, health.Serving)
	h.Register(g)
	if !s.noStdio {
		control.RegisterStdio(g, s)
	}
	if !s.noBroker {
		control.RegisterBroker(g, s)
	}
	if !s.noShutdown {
		control.RegisterController(g, s)
	}
	g.RegisterService(&testService, s)

	path := socketPath()
	if s.socket != nil {
		path = s.socket()
	}
	l, network, address := listen(path)
	if s.version == 0 {
		s.version = 1
	}
	text := line(1, s.version, network, address, "grpc", cert)
	if os.Getenv(wire.EnvMultiplex) != "" {
		l = broker.NewPluginMux(nil).Listen(l)
		text += "|true"
	}
	if s.line != nil {
		text = s.line(text)
	}
	fmt.Println(text)
	go func() {
		linger()
		os.Exit(0)
	}()
	if err := g.Serve(l); !errors.Is(err, h2grpc.ErrServerClosed) {
		panic(err)
	}
	<-make(chan int) // whoever shut it down ends the process
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (s *server) StartStream(stream h2grpc.BidiStreamingServer[wire.ConnInfo, wire.ConnInfo]) error {
	if s.talk != nil {
		if err := s.talk(stream.Send); err != nil {
			return err
		}
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return nil
		}
	}
}

func (s *server) StreamStdio(_ *wire.Empty, stream h2grpc.ServerStreamingServer[wire.StdioData]) error {
	for {
		select {
		case data := <-s.stdio:
			if err := stream.Send(&data); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (s *server) Shutdown(_ context.Context, _ *wire.Empty) (*wire.Empty, error) {
	if s.shutdown == nil {
		os.Exit(0)
	}
	return new(wire.Empty), s.shutdown(s)
}

// words is the request and the response of the test service.
type words struct{ Service string }

func (w *words) AppendTo(b []byte) ([]byte, error) { return append(b, w.Service...), nil }
func (w *words) UnmarshalFrom(b []byte) error      { w.Service = string(b); return nil }

const doMethod = "/test.Test/Do"

var testService = h2grpc.ServiceDesc{
	ServiceName: "test.Test",
	Methods: []h2grpc.MethodDesc{{
		MethodName: "Do",
		Handler: func(srv any, ctx context.Context, dec func(any) error, _ h2grpc.UnaryServerInterceptor) (any, error) {
			in := new(words)
			if err := dec(in); err != nil {
				return nil, err
			}
			return srv.(*server).do(ctx, in)
		},
	}},
}

// do does what the test asks for, given as words separated by spaces.
func (s *server) do(ctx context.Context, in *words) (*words, error) {
	name, rest, _ := strings.Cut(in.Service, " ")
	switch name {
	case "echo":
		return &words{Service: rest}, nil
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(9)
	case "crash":
		go panic("boom")
		<-ctx.Done()
	case "unavailable":
		return nil, status.Error(codes.Unavailable, "the database is")
	case "hang":
		<-ctx.Done()
	case "print": // on the process's own stdout
		os.Stdout.WriteString(rest)
		return new(words), nil
	case "stdout":
		s.stdio <- wire.StdioData{Channel: wire.ChannelStdout, Data: []byte(rest)}
		return new(words), nil
	case "stderr":
		s.stdio <- wire.StdioData{Channel: wire.ChannelStderr, Data: []byte(rest)}
		return new(words), nil
	case "nonsense":
		s.stdio <- wire.StdioData{Channel: 77, Data: []byte(rest)}
		s.stdio <- wire.StdioData{}
		return new(words), nil
	case "flood": // of what nobody should have to read
		w := bufio.NewWriterSize(os.Stdout, 64<<10)
		for range 64 {
			fmt.Fprint(w, strings.Repeat("x", 64<<10))
		}
		w.Flush()
		return new(words), nil
	case "leave-a-child": // that holds the pipes
		self, err := os.Executable()
		must(err)
		child := exec.Command(self)
		child.Env = []string{fakeEnv + "=silent"}
		child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
		if held := os.NewFile(heldFD, "held"); isPipe(held) {
			child.ExtraFiles = []*os.File{held}
		}
		must(child.Start())
		return new(words), nil
	}
	return nil, status.Errorf(codes.Unimplemented, "no command %q", name)
}

func isPipe(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// servers are the plugins that start well.
var servers = map[string]*server{
	"good":              {},
	"version-2":         {version: 2},
	"announces-its-own": {ownTLS: true},
	"bare":              {noStdio: true, noBroker: true},
	"old-socket":        {socket: func() string { return filepath.Join(os.TempDir(), fmt.Sprintf("plugin%d", os.Getpid())) }},
	"answers-shutdown": {shutdown: func(s *server) error {
		// It answers, and ends when all calls have, the open streams included.
		go func() {
			s.grpc.Shutdown(context.Background())
			os.Exit(0)
		}()
		return nil
	}},
	"last-words": {shutdown: func(s *server) error {
		s.stdio <- wire.StdioData{Channel: wire.ChannelStdout, Data: []byte("good bye")}
		go func() {
			s.grpc.Shutdown(context.Background())
			os.Exit(0)
		}()
		return nil
	}},
	// Without TLS there may be no field for a certificate.
	"five-fields": {line: func(line string) string { return strings.TrimSuffix(line, "|") }},
	// What ports without TLS, broker and output do, for example pygo-plugin.
	"five-fields-ever": {plain: true, noBroker: true, noStdio: true, line: func(line string) string { return strings.TrimSuffix(line, "|") }},
	// What pyvider-rpcplugin does by default.
	"any-host": {anyHost: true},
	// Certificates come with padding, and lines with spaces around them.
	"padded": {line: func(line string) string {
		last := len(line) - strings.LastIndexByte(line, '|') - 1
		return "  " + line + strings.Repeat("=", (4-last%4)%4) + " \r"
	}},
	"no-shutdown":       {noShutdown: true},
	"no-shutdown-deaf":  {noShutdown: true, deaf: true},
	"hangs-in-shutdown": {shutdown: hang},
	"deaf":              {shutdown: hang, deaf: true},
	"exits-with-5":      {shutdown: func(*server) error { os.Exit(5); return nil }},
}

func hang(*server) error {
	linger()
	return nil
}
