package plugin

import (
	"cmp"
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

// cookieText is shown to people who start a plugin by hand.
const cookieText = `This program is a plugin. The program that it belongs to starts it and talks
to it; started by hand it does nothing. Please run that program instead.
`

// Serve is [ServeContext] for a plugin's main function. It returns when the host has
// asked the plugin to stop, or after SIGTERM, so that main can clean up. It also returns
// when the host is gone; the process then exits with status 1 if main takes longer than a
// second, because no host is left to kill it. The same happens if a host built with this
// module goes away while main cleans up. If the plugin cannot serve, Serve prints the
// reason to stderr and exits with status 1; with ServeConfig.Process set, it returns
// instead.
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
		// Each of several mistakes is on a line of its own. A path in it may come from
		// the host.
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(stderr, wire.Printable(line, maxErrorLine))
		}
	}
	if cfg.Process == nil {
		os.Exit(1)
	}
}

// ServeContext serves the plugin to the host that started it: it reads the environment,
// opens a socket, writes the handshake line to stdout, and serves until the host calls
// Shutdown, the process gets SIGTERM, or ctx ends. It then lets the calls in progress
// finish, for at most ServeConfig.DrainTimeout, removes the socket and returns nil. In
// all other cases it returns an error: [ErrCookie] if no host started the program,
// [ErrHostGone] if the host has ended without asking the plugin to stop; calls in
// progress are cancelled then.
//
// Unless ServeConfig.Process or Test is set, ServeContext changes the process, and may be
// called only once in it:
//
//   - The protocol's variables are removed from the environment.
//   - os.Stdout and os.Stderr are replaced, until the process ends, by pipes whose contents
//     the host receives.
//   - From the handshake on, at the latest, SIGINT has no effect, because an interrupt
//     from the terminal is meant for the host. Neither has SIGPIPE, because printing when
//     the host is gone must not end the plugin.
//
// What is printed before ServeContext returns reaches a host that reads it. Hosts built
// with this module pass pipes to the plugin, unless it is to outlive them, and read these
// to the end, so that os.Exit or a crash loses nothing. With other hosts, os.Exit does
// not wait for unsent output. Output that no host reads waits in a buffer of
// ServeConfig.OutputBuffer bytes, and is counted and dropped when that is full; a host
// that does not read never blocks the plugin.
func ServeContext(ctx context.Context, cfg *ServeConfig) error { return serve(ctx, cfg, nil) }

// serve is ServeContext. If orphaned is not nil, it is called when the host is gone,
// possibly before there is anything to stop (registering plugins may be stuck) or after
// serve has returned. It is passed a function that removes the sockets.
func serve(ctx context.Context, cfg *ServeConfig, orphaned func(removeSockets func())) error {
	s, err := begin(cfg)
	if err != nil {
		return err
	}
	defer s.cfg.limitLog(s.proc.stderr)()
	sigs := s.proc.catch()
	defer sigs.letGo()
	if err := s.open(sigs.safe); err != nil {
		return err
	}
	defer s.listener.Close()
	defer s.mux.Close()
	defer s.broker.Close()
	watch := s.proc.watchHost(s.env, s.cfg.OutliveHost, s.cfg.Logger, func() {
		if orphaned != nil {
			orphaned(func() {
				s.listener.Close()
				s.broker.Close()
			})
		}
	})
	defer watch.end(orphaned != nil)
	if s.proc.real {
		// The application may print while it registers. On the real stdout that would
		// spoil the handshake.
		if s.capture, err = captureOutput(s.output, s.env, s.cfg.OutliveHost); err != nil {
			return err
		}
		defer s.printUnsent()
	}
	version, err := s.register()
	if err != nil {
		return err
	}
	served := s.accept(watch)
	<-sigs.all
	if err := s.announce(version); err != nil {
		s.stop(nil)
		return err
	}
	hurry, end := s.wait(ctx, sigs, watch, served)
	if hurry == nil {
		sigs.letGo()
	}
	s.stop(hurry)
	return end
}

// begin checks the configuration, checks that a host has started the program, and reads
// that host's environment variables.
func begin(cfg *ServeConfig) (*serving, error) {
	c, err := cfg.settle()
	if err != nil {
		return nil, err
	}
	proc, err := openProcess(c.Process, c.Test != nil)
	if err != nil {
		return nil, err
	}
	if value, _ := proc.lookup(c.MagicCookieKey); value != c.MagicCookieValue && c.Test == nil {
		return nil, ErrCookie
	}
	env, err := proc.environ()
	if err != nil {
		return nil, fmt.Errorf("plugin: %w", err)
	}
	if c.Test != nil {
		env.Multiplex = "" // a plugin for one connection could not be attached to again
	}
	return &serving{cfg: c, proc: proc, env: env, asked: make(chan struct{})}, nil
}

// open opens the socket, once no signal can leave it behind, and makes the servers for
// it.
func (s *serving) open(safe <-chan struct{}) (err error) {
	c := s.cfg
	if s.sec, err = newSecurity(c, s.env); err != nil {
		return err
	}
	lis, err := newListener(c, s.env, safe)
	if err != nil {
		return err
	}
	lis.peers = s.proc.peers(c, s.env, s.sec.server == nil)
	if s.listener, err = lis.listen(); err != nil {
		return err
	}
	s.output, s.mux = newOutput(c.Logger, c.OutputBuffer), newMux(s.env, c.Logger)
	s.broker = broker.New(&broker.Config{
		Mux:       s.mux,
		Listen:    lis.listen,
		Dial:      c.dial(lis.peers),
		ServerTLS: s.sec.server,
		ClientTLS: s.sec.client,
		Server:    c.Server,
		Client:    c.Client,
		MaxOpen:   c.MaxBrokered,
		Logger:    c.Logger,
	})
	s.stopping, s.endWatch = context.WithCancel(context.Background())
	server := c.Server
	server.TLS = s.sec.server
	server.Logger = cmp.Or(server.Logger, c.Logger)
	server.MaxConnections = cmp.Or(server.MaxConnections, maxHosts)
	if server.Exempt == nil {
		server.Exempt = control.Own
	}
	s.server = h2grpc.NewServer(&server)
	return nil
}

// register chooses the version of the application's protocol, and registers the
// protocol's own services and then those of the version's set, in the order of their
// names.
func (s *serving) register() (version int, err error) {
	var versions []int
	for v := range s.cfg.Versions {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	version, common := wire.Negotiate(s.env.Versions, versions)
	if !common && len(s.env.Versions) > 0 {
		// The handshake has room for one version. The host refuses it, and shows this
		// message with its error.
		s.cfg.Logger.Warn("the host has none of this plugin's versions of the application's protocol", "host_versions", s.env.Versions, "plugin_versions", versions)
	} else if !common && s.cfg.Test != nil {
		version = versions[len(versions)-1] // nobody has asked for one
	}
	s.cfg.Health.Add(HealthService)
	s.cfg.Health.LogTo(s.cfg.Logger)
	s.cfg.Health.Register((*ending)(s))
	control.RegisterBroker(s.server, s)
	control.RegisterController(s.server, s)
	control.RegisterStdio(s.server, s.output)
	if s.cfg.Reflection != nil {
		s.cfg.Reflection(s.server, control.Descriptors(), health.Descriptors())
	}
	set, owners, services := s.cfg.Versions[version], map[string]string{}, s.server.ServiceInfo()
	for _, name := range slices.Sorted(maps.Keys(set)) {
		err := set[name].GRPCServer((*Broker)(s.broker), s.server)
		var wrong *h2grpc.RegistrationError
		if err == nil && errors.As(s.server.Err(), &wrong) { // the first mistake: others show when it is mended
			err = wrong
			if errors.Is(wrong, h2grpc.ErrRegistered) {
				owner := owners[wrong.Service]
				if _, there := services[wrong.Service]; owner == "" && there {
					owner = "the plugin protocol itself"
				}
				err = fmt.Errorf("%w, by %s", wrong, cmp.Or(owner, strconv.Quote(name)))
			}
		}
		if err != nil {
			return 0, fmt.Errorf("plugin: registering %q of protocol version %d: %w", name, version, err)
		}
		had := services
		services = s.server.ServiceInfo()
		for service := range services {
			if _, ok := had[service]; !ok {
				owners[service] = strconv.Quote(name)
			}
		}
		if len(services) == len(had) && s.cfg.Server.Unknown == nil {
			s.cfg.Logger.Warn("a plugin of the set has registered no service of its own: calls to it will fail, or reach another plugin's", "name", name)
		}
	}
	return version, s.server.Err() // the protocol's own services, if the set is empty
}

// accept begins to serve the main connection. The channel receives the error that ends
// serving.
func (s *serving) accept(watch *hostWatch) <-chan error {
	served := make(chan error, 1)
	lis := s.mux.Listen(watched{s.listener, watch}) // here: its goroutines must not begin after the Mux is closed
	go func() { served <- s.server.Serve(lis) }()
	return served
}

// announce tells the host, or whoever is to attach, where the plugin serves.
func (s *serving) announce(version int) (err error) {
	addr := s.listener.Addr()
	if s.cfg.Test != nil {
		err = s.cfg.Test.announce(s.proc.stdout, version, addr, s.sec.certificate)
	} else {
		h := wire.Handshake{
			AppVersion:  version,
			Network:     addr.Network(),
			Address:     addr.String(),
			Protocol:    wire.ProtocolGRPC,
			Certificate: s.sec.certificate,
		}
		if s.env.Multiplex != "" {
			h.Mux = strconv.FormatBool(s.mux != nil)
		}
		if _, err = s.proc.stdout.Write(h.Append(nil)); err != nil {
			err = fmt.Errorf("plugin: writing the handshake to stdout: %w", err)
		}
	}
	s.announced = err == nil
	return err
}

// wait waits for whatever ends the plugin, and returns what ServeContext is to return.
// hurry is not nil if a signal may still ask the plugin to end at once.
func (s *serving) wait(ctx context.Context, sigs *signals, watch *hostWatch, served <-chan error) (hurry <-chan os.Signal, end error) {
	select {
	case <-s.asked:
		// A host that missed the answer may send SIGTERM now. It must not leave the
		// socket behind.
		return sigs.end, nil
	case <-sigs.end:
	case <-ctx.Done():
	case <-watch.gone:
		end = ErrHostGone
		s.cfg.DrainTimeout = 0 // nobody waits for an answer
	case <-s.mux.Ended():
		end = s.hungUp()
	case err := <-served:
		end = fmt.Errorf("plugin: serving: %w", err)
	}
	return nil, end
}

// serving is a plugin while it serves.
type serving struct {
	cfg  *ServeConfig
	proc *process
	env  wire.Env // from the host

	sec       *security
	listener  net.Listener // of the main connection, or of the one that carries all
	server    *h2grpc.Server
	broker    *broker.Broker
	mux       *broker.Mux // nil without multiplexing
	output    *output
	capture   *capture // nil without a real process
	announced bool     // the handshake line has been written; used by ServeContext alone

	stopping context.Context // ends when the plugin begins to stop
	endWatch context.CancelFunc

	ask   sync.Once
	asked chan struct{} // closed when the host calls Shutdown
}

// StartStream implements control.BrokerServer. The TLS version of its connection is the
// minimum for all brokered connections, and is set before anything is brokered.
func (s *serving) StartStream(stream h2grpc.BidiStreamingServer[wire.ConnInfo, wire.ConnInfo]) error {
	if p, ok := peer.FromContext(stream.Context()); ok && p.TLS != nil {
		s.sec.floor.Raise(p.TLS.Version)
	}
	return s.broker.Run(stream)
}

// Shutdown implements control.ControllerServer. The plugin begins to end only when the
// answer is on its way, which is when the context ends. Some hosts' HTTP/2 libraries
// (Python's h2) treat whatever follows a GOAWAY as an error, even the answer.
func (s *serving) Shutdown(ctx context.Context, _ *wire.Empty) (*wire.Empty, error) {
	context.AfterFunc(ctx, func() { s.ask.Do(func() { close(s.asked) }) })
	return &wire.Empty{}, nil
}

// ending registers the health service so that its streams end when the plugin stops.
// Otherwise they would stay open, and a host that watches would delay every stop by the
// whole DrainTimeout.
type ending serving

func (e *ending) RegisterService(desc *h2grpc.ServiceDesc, impl any) {
	own := *desc
	own.Streams = slices.Clone(desc.Streams)
	for i := range own.Streams {
		own.Streams[i].Handler = func(srv any, ss h2grpc.ServerStream) error {
			ctx, cancel := context.WithCancel(ss.Context())
			defer cancel()
			defer context.AfterFunc(e.stopping, cancel)()
			return desc.Streams[i].Handler(srv, streamContext{ss, ctx})
		}
	}
	e.server.RegisterService(&own, impl)
}

// streamContext is a stream with a context of its own.
type streamContext struct {
	h2grpc.ServerStream
	ctx context.Context
}

func (s streamContext) Context() context.Context { return s.ctx }

// stop ends everything. First the output is sent and the streams that the host keeps open
// end; then the calls in progress may finish, unless hurry receives a signal.
func (s *serving) stop(hurry <-chan os.Signal) {
	s.endWatch()
	if s.capture != nil {
		s.capture.flush()
	}
	s.output.End()
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
			if running := s.server.Running(); len(running) > 0 {
				s.cfg.Logger.Warn("handlers are still running after their calls were cancelled", "methods", running)
			}
		}
	}
	s.output.logDropped()
}

// printUnsent writes the application's output to stderr if no host was ever there to
// receive it: the output probably says why.
func (s *serving) printUnsent() {
	if s.announced {
		return
	}
	s.capture.flush()
	for {
		chunk, err := s.output.Next(context.Background())
		if err != nil {
			return // io.EOF: the output has ended
		}
		s.proc.stderr.Write(chunk.Data)
		s.output.Done(nil)
	}
}
