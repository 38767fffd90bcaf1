package h2grpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/connlimit"
	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/loglimit"
	"github.com/tenonrpc/tenon/h2grpc/peer"
)

// ServerConfig configures a [Server]. NewServer copies it. The zero value is right
// for a plaintext server.
type ServerConfig struct {
	// TLS secures connections. Nil means plaintext HTTP/2 with prior knowledge. If the
	// config does not offer "h2", a clone that does is used; a client that offers no
	// protocol is accepted.
	TLS *tls.Config
	// MaxRecvMessageSize and MaxSendMessageSize limit messages, in bytes before
	// compression. For received messages zero means DefaultMaxRequestSize, and
	// DefaultMaxDecompressedSize if they were compressed. Zero for sent ones, and
	// negative numbers, mean the largest limit there is: 2 GiB less 2 MiB, or 256 MiB
	// where an int has 32 bits.
	MaxRecvMessageSize, MaxSendMessageSize int
	// MessageMemory bounds the memory for large messages, on the connections of this
	// server and of all other configurations that share it. Nil means the MessageMemory
	// of the process, of DefaultMessageMemory, or half of GOMEMLIMIT as it was when the
	// first configuration was used.
	MessageMemory *MessageMemory
	// MaxConcurrentStreams limits the calls of one connection whose handlers have not
	// returned, cancelled calls included. Zero means DefaultMaxConcurrentStreams.
	MaxConcurrentStreams uint32
	// MaxHeaderListSize limits the headers of a request, in bytes: the sum over all
	// fields of name, value and 32 (RFC 9113 §6.5.2). It also allows one field for each
	// KiB of it, or 1000 if that is more. It is announced to clients, and most fail such
	// a call themselves; others get RESOURCE_EXHAUSTED. Calls of a connection that
	// together hold more than that, or 3 MiB if that is more, are refused until some
	// have ended. Zero means DefaultServerMaxHeaderListSize.
	MaxHeaderListSize int
	// UnaryInterceptors and StreamInterceptors wrap every call that is not Exempt; the
	// first is the outermost.
	UnaryInterceptors  []UnaryServerInterceptor
	StreamInterceptors []StreamServerInterceptor
	// Unknown, if set, handles the calls of methods that no registered service has;
	// without it they fail with UNIMPLEMENTED. It is for programs that pass calls on
	// without knowing their types, such as proxies and recorders: see [Raw]. method is
	// always a full name, "/package.Service/Method". The server does not know the kind
	// of the method: each call is a stream in both directions, also for
	// StreamInterceptors and Stats, and the number of messages is not checked. The error
	// becomes the status of the call. As elsewhere, a call whose compression the server
	// does not have, or whose content type is not protobuf's, is refused.
	Unknown func(method string, stream ServerStream) error
	// Compressors are accepted from clients. A response is compressed as its request
	// was.
	Compressors []Compressor
	// MapError, if set, is given every error that a handler returns, before the status
	// is taken from it. It lets a program that still uses the status errors of another
	// gRPC library keep their codes. It may be called concurrently.
	MapError func(error) error
	// Stats, if set, observes every call that is not Exempt.
	Stats Stats
	// Exempt, if set, reports whether interceptors and Stats skip the calls of a method.
	// It is called with the full name, once for each method that is registered; calls of
	// other methods are not exempt.
	Exempt func(method string) bool
	// Logger receives what no caller is told: panics, failed connections. Of lines with
	// the same message the first ten are written, and then one every ten seconds, with
	// the number of those that it stands for ("more_like_it"), so that clients cannot
	// flood the log. Nil means no logging.
	Logger Logger
	// MaxConnections limits the connections that Serve has accepted, on all listeners
	// together, and on which HTTP/2 has begun. At the limit the next accepted connection
	// waits and no more are accepted: they stay in the system's queue and take no
	// descriptor of this process. Handshakes in progress may finish. Connections of
	// ServeConn do not count. Zero means DefaultMaxConnections, a negative number no
	// limit.
	MaxConnections int
	// MaxHandshakes limits the connections that Serve has accepted and whose TLS
	// handshake and preface are not complete, in addition to MaxConnections. One more
	// closes the oldest, so that peers that only connect keep nobody out. Zero means
	// DefaultMaxHandshakes, a negative number no limit.
	MaxHandshakes int
	// HandshakeTimeout limits the TLS handshake and the preface of a connection. Zero
	// means DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// StallTimeout is how long a unary response may wait for a client that reads nothing
	// of it; then the call is reset. Zero means DefaultStallTimeout, a negative number
	// no limit. Streams have no limit.
	StallTimeout time.Duration
	// MinPingInterval is the least time, on average, between PINGs of a client to which
	// nothing is sent in between. A client that is more than two PINGs ahead loses its
	// connection, with ENHANCE_YOUR_CALM and "too_many_pings" (gRPC's keepalive
	// document; grpc-go's servers want five minutes). Zero means no limit: a PING costs
	// a server no more than its answer.
	MinPingInterval time.Duration
}

// Server serves gRPC. Services are registered first; then it serves any number of
// listeners and connections. All methods may be called concurrently.
type Server struct {
	cfg         ServerConfig
	tls         *tls.Config
	engine      h2.Config
	maxSend     limit
	inflated    limit
	accept      string // grpc-accept-encoding
	limit       *connlimit.Limit
	saidForeign atomic.Bool   // it was logged that a status is of another library
	tellLog     func()        // logs how many lines were left out
	quit        chan struct{} // closed when the server stops listening
	running     atomic.Int64  // connections, and calls that are refused; the methods count the other calls
	unlisted    atomic.Int64  // calls that Unknown handles

	mu sync.Mutex
	// guarded by mu; methods is not changed once serving has begun
	services map[string]ServiceInfo
	methods  map[string]*method
	err      error // mistakes of RegisterService
	serving  bool
	closed   bool
	conns    map[*h2.Conn]struct{}
	// keys are the addresses of variables: the values may be of types that are not
	// comparable
	listeners map[*net.Listener]struct{}
	shaking   map[*net.Conn]struct{} // connections in the TLS handshake
	drained   chan struct{}          // closed when conns is empty; nil unless somebody waits
	ended     chan struct{}          // closed when nothing is running
	waited    atomic.Bool            // wait has been called
	over      bool                   // ended is closed
}

// method is a registered method, or one of ServerConfig.Unknown.
type method struct {
	name   string // full name
	impl   any
	unary  MethodHandler // nil for a stream
	stream *StreamDesc
	exempt bool

	running *atomic.Int64 // handlers; Server.unlisted for a method that is not registered
	typical atomic.Int64  // about how long a unary method's handler takes, in ns; 0: unknown
}

// ServiceInfo describes a registered service.
type ServiceInfo struct {
	Methods  []MethodInfo // unary methods, then streams, as registered
	Metadata any          // ServiceDesc.Metadata
}

// MethodInfo describes a method of a service.
type MethodInfo struct {
	Name                           string // without the service
	IsClientStream, IsServerStream bool
}

// NewServer returns a server for cfg; nil means the zero config.
func NewServer(cfg *ServerConfig) *Server {
	s := &Server{
		quit:      make(chan struct{}),
		ended:     make(chan struct{}),
		services:  map[string]ServiceInfo{},
		methods:   map[string]*method{},
		listeners: map[*net.Listener]struct{}{},
		conns:     map[*h2.Conn]struct{}{},
		shaking:   map[*net.Conn]struct{}{},
	}
	if cfg != nil {
		s.cfg = *cfg
	}
	s.cfg.UnaryInterceptors = slices.Clone(s.cfg.UnaryInterceptors)
	s.cfg.StreamInterceptors = slices.Clone(s.cfg.StreamInterceptors)
	s.cfg.Compressors = slices.Clone(s.cfg.Compressors)
	if s.cfg.TLS != nil {
		s.tls = h2TLS(s.cfg.TLS)
	}
	s.cfg.Logger, s.tellLog = loglimit.Wrap(s.cfg.Logger)
	if s.cfg.MaxConnections == 0 {
		s.cfg.MaxConnections = DefaultMaxConnections
	}
	if s.cfg.MaxHandshakes == 0 {
		s.cfg.MaxHandshakes = DefaultMaxHandshakes
	}
	s.limit = connlimit.New(s.cfg.MaxConnections, s.cfg.MaxHandshakes)
	if s.cfg.HandshakeTimeout <= 0 {
		s.cfg.HandshakeTimeout = DefaultHandshakeTimeout
	}
	const field = "MaxRecvMessageSize of the server's ServerConfig"
	s.maxSend = limit{limitOr(s.cfg.MaxSendMessageSize, unlimited()), "MaxSendMessageSize of the server's ServerConfig"}
	s.inflated = inflated(s.cfg.MaxRecvMessageSize, field)
	s.engine = h2.Config{
		MaxMessage:       limitOr(s.cfg.MaxRecvMessageSize, DefaultMaxRequestSize),
		MessageField:     field,
		MaxHeaderList:    s.cfg.MaxHeaderListSize,
		TellHeaderList:   true,
		MaxStreams:       s.cfg.MaxConcurrentStreams,
		HandshakeTimeout: s.cfg.HandshakeTimeout,
		MinPing:          s.cfg.MinPingInterval,
	}
	s.engine.Received, s.engine.Sent = s.cfg.MessageMemory.accounts()
	if s.engine.MaxHeaderList <= 0 {
		s.engine.MaxHeaderList = DefaultServerMaxHeaderListSize
	}
	if s.engine.MaxStreams == 0 {
		s.engine.MaxStreams = DefaultMaxConcurrentStreams
	}
	if s.engine.Stall = s.cfg.StallTimeout; s.engine.Stall == 0 {
		s.engine.Stall = DefaultStallTimeout
	}
	s.accept = encodings(s.cfg.Compressors)
	return s
}

// RegisterService adds a service. A mistake (a name that is registered already, an
// implementation of the wrong type, a registration after serving has begun) is kept,
// and the next Serve or ServeConn returns it.
//
// The services of a server are fixed when it begins to serve: calls look methods up
// without a lock, and clients can rely on what reflection told them. A service that
// is registered later is not served, which is logged as an error at once, since there
// may be no next Serve; serving goes on. For methods that come and go there is
// ServerConfig.Unknown.
func (s *Server) RegisterService(desc *ServiceDesc, impl any) {
	s.mu.Lock()
	err := s.register(desc, impl)
	late := s.serving
	if err != nil {
		err = &RegistrationError{desc.ServiceName, err}
		s.err = errors.Join(s.err, err)
	}
	s.mu.Unlock()
	if err != nil && late {
		s.cfg.Logger.Error("a service is not served", "error", err)
	}
}

func (s *Server) register(desc *ServiceDesc, impl any) error {
	if s.serving {
		return errors.New("the server is already serving; register services before that, or set ServerConfig.Unknown")
	}
	if _, ok := s.services[desc.ServiceName]; ok {
		return ErrRegistered
	}
	if desc.HandlerType != nil {
		want := reflect.TypeOf(desc.HandlerType)
		if want.Kind() != reflect.Pointer || want.Elem().Kind() != reflect.Interface {
			return fmt.Errorf("its HandlerType is %v and not a pointer to an interface", want)
		}
		want = want.Elem()
		if got := reflect.TypeOf(impl); got == nil || !got.Implements(want) {
			return fmt.Errorf("%v does not implement %v", got, want)
		}
	}
	info := ServiceInfo{Metadata: desc.Metadata}
	prefix := "/" + desc.ServiceName + "/"
	for _, m := range desc.Methods {
		name := prefix + m.MethodName
		s.methods[name] = &method{name: name, impl: impl, unary: m.Handler, exempt: exempts(s.cfg.Exempt, name), running: new(atomic.Int64)}
		info.Methods = append(info.Methods, MethodInfo{Name: m.MethodName})
	}
	for i := range desc.Streams {
		d := &desc.Streams[i]
		name := prefix + d.StreamName
		s.methods[name] = &method{name: name, impl: impl, stream: d, exempt: exempts(s.cfg.Exempt, name), running: new(atomic.Int64)}
		info.Methods = append(info.Methods, MethodInfo{d.StreamName, d.ClientStreams, d.ServerStreams})
	}
	s.services[desc.ServiceName] = info
	return nil
}

// Err returns the mistakes that RegisterService has kept, in one error, or nil if there
// are none. errors.As finds the first of them as a *[RegistrationError].
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// ServiceInfo returns the registered services, by their full names.
func (s *Server) ServiceInfo() map[string]ServiceInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]ServiceInfo, len(s.services))
	for name, info := range s.services {
		info.Methods = slices.Clone(info.Methods)
		out[name] = info
	}
	return out
}

// begin checks that the server may serve, and fixes its services.
func (s *Server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrServerClosed
	}
	s.serving = true
	return s.err
}

// Serve accepts connections and serves them until lis fails, or until Shutdown or
// Close, after which it returns ErrServerClosed. It closes lis. Temporary errors,
// such as a lack of descriptors, do not end it, and neither does reaching
// MaxConnections: it waits.
func (s *Server) Serve(lis net.Listener) error {
	defer lis.Close()
	if err := s.begin(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[&lis] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, &lis)
		s.mu.Unlock()
	}()
	pause := acceptRetryMin
	for {
		nc, err := lis.Accept()
		if err == nil {
			pause = acceptRetryMin
			if s.limit.Full() {
				s.cfg.Logger.Warn("there are as many connections as ServerConfig.MaxConnections allows; further ones wait", "limit", s.cfg.MaxConnections)
				s.limit.Wait(s.quit)
			}
			s.mu.Lock()
			closed := s.closed
			if !closed { // otherwise Close may have finished waiting
				s.running.Add(1)
			}
			s.mu.Unlock()
			if closed {
				nc.Close()
				return ErrServerClosed
			}
			place, madeRoom := s.limit.Add(func() { nc.Close() })
			if madeRoom {
				s.cfg.Logger.Warn("a connection was closed during its handshake, for a newer one: there are as many as ServerConfig.MaxHandshakes allows", "limit", s.cfg.MaxHandshakes)
			}
			go func() {
				defer s.done(&s.running)
				defer place.Leave()
				s.serveConn(context.Background(), nc, place)
			}()
			continue
		}
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return ErrServerClosed
		}
		if errors.Is(err, net.ErrClosed) || !isTemporary(err) {
			return fmt.Errorf("h2grpc: accepting a connection: %w", err)
		}
		s.cfg.Logger.Warn("accepting a connection failed", "error", err, "retry", pause)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-s.quit:
			t.Stop()
		}
		pause = min(2*pause, acceptRetryMax)
	}
}

func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// SocketConn is implemented by connections that wrap a socket and do not change its
// Write: Socket returns the socket. The listeners of a [Server] and the Dial of a
// client may return such connections.
type SocketConn = h2.SocketConn

// EstablishedConn may be implemented by the connections of a [Server]'s listener.
// Established is called once, after the TLS handshake, or at once without TLS.
type EstablishedConn interface {
	net.Conn
	Established()
}

// ServeConn serves one connection until it has ended, and closes it. ctx is the
// parent of the contexts of all calls; its end closes the connection. The error is
// nil if the connection ended in order.
//
// A socket is written to by any goroutine that has something to send, any other
// connection by a goroutine of its own. A [SocketConn] is as fast as its socket.
// Established is called if nc is an [EstablishedConn].
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) error {
	if err := s.begin(); err != nil {
		nc.Close()
		return err
	}
	return s.serveConn(ctx, nc, nil)
}

// serveConn is ServeConn on a server that has begun to serve. place is the
// connection's in the limit, nil if it is not counted.
func (s *Server) serveConn(ctx context.Context, nc net.Conn, place *connlimit.Place) error {
	who := peer.Peer{Addr: nc.RemoteAddr(), LocalAddr: nc.LocalAddr()}
	raw := nc
	notified, _ := nc.(EstablishedConn)
	if s.tls != nil {
		conn, r, err := s.handshake(ctx, nc)
		if err != nil {
			if !place.Evicted() { // which Serve has logged
				s.cfg.Logger.Warn("TLS handshake failed", "peer", addrText(nc), "error", err)
			}
			return err
		}
		state := conn.ConnectionState()
		who.TLS = &state
		nc, raw = conn, r
	}
	if notified != nil {
		notified.Established()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sc := &serverConn{srv: s, ctx: ctx, peer: &who, slots: newDecodeSlots(s.cfg.Compressors)}
	engine := s.engine
	engine.Handler = sc
	engine.Greeted = place.Prove
	engine.Freed = func() { sc.backlog.resume(s) }
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		nc.Close()
		return ErrServerClosed
	}
	c := h2.NewConn(nc, raw, engine)
	s.conns[c] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	defer s.done(&s.running)
	err := c.Run()
	s.mu.Lock()
	delete(s.conns, c)
	closed := s.closed
	if len(s.conns) == 0 && s.drained != nil {
		close(s.drained)
		s.drained = nil
	}
	s.mu.Unlock()
	if closed && err == nil {
		return ErrServerClosed
	}
	if err != nil {
		return fmt.Errorf("h2grpc: %w", err)
	}
	return nil
}

// handshake performs the TLS handshake of a connection.
func (s *Server) handshake(ctx context.Context, nc net.Conn) (*tls.Conn, net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.HandshakeTimeout)
	defer cancel()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		nc.Close()
		return nil, nil, ErrServerClosed
	}
	s.shaking[&nc] = struct{}{}
	s.mu.Unlock()
	raw := h2.Raw(nc)
	conn := tls.Server(raw, s.tls)
	err := conn.HandshakeContext(ctx)
	s.mu.Lock()
	delete(s.shaking, &nc)
	s.mu.Unlock()
	if err != nil {
		nc.Close()
		return nil, nil, &doingError{"h2grpc: TLS handshake", err}
	}
	if err := checkALPN(conn.ConnectionState()); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("h2grpc: %w", err)
	}
	return conn, raw, nil
}

func addrText(nc net.Conn) string {
	if a := nc.RemoteAddr(); a != nil {
		return a.String()
	}
	return ""
}
