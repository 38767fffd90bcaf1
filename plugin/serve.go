package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tenonrpc/tenon/h2grpc"
	"github.com/tenonrpc/tenon/h2grpc/health"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/plugin/internal/broker"
	"github.com/tenonrpc/tenon/plugin/internal/control"
	"github.com/tenonrpc/tenon/wire"
)

// cookieText is what people see who start a plugin by hand.
const cookieText = `This program is a plugin. The program that it belongs to starts it and talks
to it; started by hand it does nothing. Please run that program instead.
`

// Serve is [ServeContext] for a plugin's main function. It returns when the
// host has asked the plugin to stop, or SIGTERM has, so that main can clean up.
// It also returns when the host is gone; the process then ends with status 1 if
// main takes longer than a second, because nobody is there to kill it. So it
// does if a host built with this module goes while main cleans up.
// If the plugin cannot serve, Serve says why on stderr and exits with status 1;
// with ServeConfig.Process set, it returns instead.
func Serve(cfg *ServeConfig) {
	var orphaned func(func())
	if cfg.Process == nil {
		orphaned = func(removeSockets func()) {
			time.AfterFunc(orphanTimeout, func() {
				removeSockets()
				os.Exit(1)
			})
		}
	}
	err := serve(context.Background(), cfg, orphaned)
	stderr := stderrOf(cfg.Process)
	switch {
	case err == nil, errors.Is(err, ErrHostGone):
		return
	case errors.Is(err, ErrCookie):
		io.WriteString(stderr, cookieText)
	default:
		// Several mistakes have a line each. A path may be in the host's words.
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(stderr, wire.Printable(line, maxErrorLine))
		}
	}
	if cfg.Process == nil {
		os.Exit(1)
	}
}

// ServeContext serves the plugin to the host that started it: it reads the
// environment, opens a socket, writes the handshake line to stdout, and serves
// until the host calls Shutdown, the process gets SIGTERM or ctx ends. It then
// lets the calls in progress finish, at most for ServeConfig.DrainTimeout,
// removes the socket and returns nil. Any other end is an error: ErrCookie if no
// host started the program, ErrHostGone if the host has ended without a word.
// Calls in progress are cancelled in the latter case.
//
// Unless ServeConfig.Process or Test is set, ServeContext may be called once in
// a process, and: the protocol's variables are removed from the environment;
// os.Stdout and os.Stderr are replaced, until the process ends, by pipes whose
// contents the host receives over the connection; SIGINT has no effect from
// the handshake on, at the latest, since an interrupt from the terminal is meant
// for the host, and neither has SIGPIPE, since printing when the host is gone
// must not be what ends the plugin.
// What was printed before ServeContext returns reaches a host that reads it. Hosts
// of this module hand down pipes for it, and read them to the end: nothing is
// lost by os.Exit or a crash either. Under other hosts os.Exit does not wait for
// what has not been sent. What is printed while no host reads
// waits in a buffer of ServeConfig.OutputBuffer, and is counted and dropped when
// that is full; a host that does not read never blocks the plugin.
func ServeContext(ctx context.Context, cfg *ServeConfig) error { return serve(ctx, cfg, nil) }

// serve is ServeContext. If orphaned is not nil it is called when the host is
// gone, possibly before there is anything to stop, as registering plugins may
// be stuck, or after serve has returned. It is handed a function that removes
// the sockets.
func serve(ctx context.Context, cfg *ServeConfig, orphaned func(removeSockets func())) error {
	c, err := cfg.settle()
	if err != nil {
		return err
	}
	proc, err := openProcess(c.Process, c.Test != nil)
	if err != nil {
		return err
	}
	if value, _ := proc.lookup(c.MagicCookieKey); value != c.MagicCookieValue && c.Test == nil {
		return ErrCookie
	}
	env, err := proc.environ()
	if err != nil {
		return fmt.Errorf("plugin: %w", err)
	}
	if c.Test != nil {
		env.Multiplex = "" // a plugin for one connection could not be attached to again
	}
	defer c.limitLog(proc.stderr)()
	sigs := proc.catch()
	defer sigs.letGo()
	sec, err := newSecurity(c, env)
	if err != nil {
		return err
	}
	lis, err := newListener(c, env, sigs.safe)
	if err != nil {
		return err
	}
	lis.peers = proc.peers(c, env, sec.server == nil)
	l, err := lis.listen()
	if err != nil {
		return err
	}
	defer l.Close()

	s := newServing(c, sec, lis, newMux(env, c.Logger))
	defer s.closeMux()
	defer s.broker.Close()
	watch := proc.watchHost(env, c.OutliveHost, c.Logger, func() {
		if orphaned != nil {
			orphaned(func() {
				l.Close()
				s.broker.Close()
			})
		}
	})
	defer watch.end(orphaned != nil)
	if proc.real {
		// The application's registration may print already. On the real
		// stdout that would spoil the handshake.
		if s.capture, err = captureOutput(s.output, env, c.OutliveHost); err != nil {
			return err
		}
		defer s.printUnsent(proc.stderr)
	}
	var versions []int
	for v := range c.Versions {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	version, common := wire.Negotiate(env.Versions, versions)
	if !common && len(env.Versions) > 0 {
		// The handshake has room for one version. The host refuses it, and shows
		// this beside.
		c.Logger.Warn("the host has no version of the application's protocol that this plugin has", "host", env.Versions, "plugin", versions)
	}
	if err := s.register(version); err != nil {
		return err
	}
	served := make(chan error, 1)
	accepting := &accepting{Listener: s.listenMux(watched{l, watch}), begun: make(chan struct{})}
	go func() { served <- s.server.Serve(accepting) }()
	select {
	case <-accepting.begun:
	case err := <-served: // a mistake in a registration
		return fmt.Errorf("plugin: serving: %w", err)
	}

	<-sigs.all
	if c.Test != nil {
		err = c.Test.announce(proc.stdout, version, l.Addr(), sec.certificate)
	} else if _, err = proc.stdout.Write(handshake(version, l.Addr(), sec.certificate, env)); err != nil {
		err = fmt.Errorf("plugin: writing the handshake to stdout: %w", err)
	}
	if err != nil {
		s.stop(nil)
		return err
	}
	s.announced = true

	var (
		end   error
		hurry <-chan os.Signal
	)
	select {
	case <-s.asked:
		// A host that missed the answer may send SIGTERM now. It must not leave
		// the socket behind.
		hurry = sigs.end
	case <-sigs.end:
	case <-ctx.Done():
	case <-watch.gone:
		end = ErrHostGone
		s.cfg.DrainTimeout = 0 // nobody waits for an answer
	case <-s.muxEnded():
		end = s.hungUp()
	case err := <-served:
		end = fmt.Errorf("plugin: serving: %w", err)
	}
	if hurry == nil {
		sigs.letGo()
	}
	s.stop(hurry)
	return end
}

// handshake returns the line that tells the host where the plugin serves.
func handshake(version int, addr net.Addr, certificate []byte, env wire.Env) []byte {
	h := wire.Handshake{
		AppVersion:  version,
		Network:     addr.Network(),
		Address:     addr.String(),
		Protocol:    wire.ProtocolGRPC,
		Certificate: certificate,
	}
	if env.Multiplex != "" {
		h.Mux = strconv.FormatBool(multiplexed(env))
	}
	return h.Append(nil)
}

// accepting tells when a server accepts connections, which it does once it has
// checked what is registered.
type accepting struct {
	net.Listener
	begun chan struct{}
	once  sync.Once
}

func (a *accepting) Accept() (net.Conn, error) {
	a.once.Do(func() { close(a.begun) })
	return a.Listener.Accept()
}

// serving is a plugin at work.
type serving struct {
	cfg       *ServeConfig
	sec       *security
	server    *h2grpc.Server
	broker    *broker.Broker
	mux       *broker.Mux // nil without multiplexing
	health    *health.Server
	output    *output
	capture   *capture // nil without a real process
	announced bool     // the handshake line is out; used by ServeContext alone

	stopping context.Context // ends when the plugin begins to stop
	endWatch context.CancelFunc

	ask   sync.Once
	asked chan struct{} // closed when the host calls Shutdown
}

func newServing(c *ServeConfig, sec *security, lis *listener, mux *broker.Mux) *serving {
	s := &serving{
		cfg:    c,
		sec:    sec,
		health: health.NewServer(),
		output: newOutput(c.Logger, c.OutputBuffer),
		asked:  make(chan struct{}),
		mux:    mux,
		broker: broker.New(&broker.Config{
			Mux:       mux,
			Listen:    lis.listen,
			Dial:      c.dial(lis.peers),
			ServerTLS: sec.server,
			ClientTLS: sec.client,
			Server:    c.Server,
			Client:    c.Client,
			MaxOpen:   c.MaxBrokered,
			Logger:    c.Logger,
		}),
	}
	s.stopping, s.endWatch = context.WithCancel(context.Background())
	server := c.Server
	server.TLS = sec.server
	if server.Logger == nil {
		server.Logger = c.Logger
	}
	if server.MaxConnections == 0 {
		server.MaxConnections = maxHosts
	}
	server.StreamInterceptors = append([]h2grpc.StreamServerInterceptor{s.endWithPlugin}, server.StreamInterceptors...)
	s.server = h2grpc.NewServer(&server)
	return s
}

// register registers the protocol's own services and those of the set for
// version, in the order of their names.
func (s *serving) register(version int) error {
	s.health.SetServingStatus(control.HealthService, health.Serving)
	s.health.Register(s.server)
	control.RegisterBroker(s.server, s)
	control.RegisterController(s.server, s)
	control.RegisterStdio(s.server, s.output)
	if s.cfg.Reflection != nil {
		s.cfg.Reflection(s.server, control.Descriptors(), health.Descriptors())
	}
	set := s.cfg.Versions[version]
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if err := set[name].GRPCServer((*Broker)(s.broker), s.server); err != nil {
			return fmt.Errorf("plugin: registering %q of protocol version %d: %w", name, version, err)
		}
	}
	return nil
}

// StartStream implements control.BrokerServer. Before anything is brokered, the
// connection that it comes on says what those must at least be like.
func (s *serving) StartStream(stream h2grpc.BidiStreamingServer[wire.ConnInfo, wire.ConnInfo]) error {
	if p, ok := peer.FromContext(stream.Context()); ok && p.TLS != nil {
		s.sec.floor.Raise(p.TLS.Version)
	}
	return s.broker.Run(stream)
}

// Shutdown implements control.ControllerServer. The plugin begins to end when
// the answer is on its way: the context ends after that. Some hosts' HTTP/2
// libraries (Python's h2) take whatever follows a GOAWAY for an error, the answer
// included.
func (s *serving) Shutdown(ctx context.Context, _ *wire.Empty) (*wire.Empty, error) {
	context.AfterFunc(ctx, func() { s.ask.Do(func() { close(s.asked) }) })
	return &wire.Empty{}, nil
}

// healthWatch is the one call of the protocol that stays open and knows
// nothing of the plugin's end.
const healthWatch = "/grpc.health.v1.Health/Watch"

// endWithPlugin ends calls of healthWatch when the plugin stops. A host that
// watches would otherwise hold up every stop for the whole DrainTimeout.
func (s *serving) endWithPlugin(srv any, ss h2grpc.ServerStream, info *h2grpc.StreamServerInfo, handler h2grpc.StreamHandler) error {
	if info.FullMethod != healthWatch {
		return handler(srv, ss)
	}
	ctx, cancel := context.WithCancel(ss.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	return handler(srv, streamContext{ss, ctx})
}

// streamContext is a stream with a context of its own.
type streamContext struct {
	h2grpc.ServerStream
	ctx context.Context
}

func (s streamContext) Context() context.Context { return s.ctx }

// stop ends everything. The streams that the host keeps open end first, after
// the output has been sent; then the calls in progress may finish, unless hurry
// receives something.
func (s *serving) stop(hurry <-chan os.Signal) {
	s.endWatch()
	if s.capture != nil {
		s.capture.flush()
	}
	s.output.end()
	s.broker.Hangup()
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		if s.server.Shutdown(ctx) != nil {
			s.server.Close()
		}
		close(ended)
	}()
	select {
	case <-ended:
	case <-hurry:
		cancel()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		timer := time.NewTimer(abandonTimeout)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
			s.cfg.Logger.Warn("a handler goes on after its call was cancelled")
		}
	}
	s.output.logDropped()
}

// printUnsent hands what the application printed to its user if there never
// was a host to receive it: it likely says why.
func (s *serving) printUnsent(stderr io.Writer) {
	if s.announced {
		return
	}
	s.capture.flush()
	for {
		chunk, err := s.output.take(context.Background())
		if err != nil {
			return // io.EOF: the output has ended
		}
		stderr.Write(chunk.Data)
	}
}
