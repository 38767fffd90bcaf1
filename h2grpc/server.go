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

// ServerConfig configures a [Server]. It is copied; the zero value is right for
// a plaintext server.
type ServerConfig struct {
	// TLS secures connections. Nil means plaintext HTTP/2 with prior knowledge.
	// A config that does not offer "h2" is cloned and made to; a client that
	// offers no protocol is accepted.
	TLS *tls.Config
	// MaxRecvMessageSize and MaxSendMessageSize limit messages in bytes, before
	// compression. Zero means DefaultMaxRequestSize for received ones, of which
	// DefaultMaxDecompressedSize if they were compressed, and for others as a
	// negative number does no limit below 2 GiB (less 2 MiB; 256 MiB where an int
	// has 32 bits).
	MaxRecvMessageSize, MaxSendMessageSize int
	// MessageMemory bounds what the server's connections and others take for large
	// messages. Nil means one that is the process's, of DefaultMessageMemory or half
	// of GOMEMLIMIT, as it was when the first configuration was used.
	MessageMemory *MessageMemory
	// MaxConcurrentStreams limits the calls of one connection whose handlers
	// have not returned, cancelled ones included. Zero means
	// DefaultMaxConcurrentStreams.
	MaxConcurrentStreams uint32
	// MaxHeaderListSize limits a request's headers, in bytes: the sum over all fields
	// of name, value and 32 (RFC 9113 §6.5.2), with one field for each KiB, or 1000 if
	// that is more. Clients are told, and most fail such a call themselves; others get
	// RESOURCE_EXHAUSTED. Calls of a connection that together have more than that, or
	// 3 MiB if that is more, are refused until some have ended. Zero means
	// DefaultServerMaxHeaderListSize.
	MaxHeaderListSize int
	// UnaryInterceptors and StreamInterceptors wrap every call that is not Exempt; the
	// first is the outermost.
	UnaryInterceptors  []UnaryServerInterceptor
	StreamInterceptors []StreamServerInterceptor
	// Unknown, if set, serves the calls of methods that no registered service has;
	// without it they are UNIMPLEMENTED. It is for programs that pass calls on
	// without knowing what they are, such as proxies and recorders: see [Raw].
	// method is the full name, "/package.Service/Method", and always of that form.
	// Which kind of method it is nobody here knows, so that each call is a stream
	// both ways, for the handler as for StreamInterceptors and Stats, and the number
	// of messages is not checked. Its error becomes the call's status. What this
	// server cannot decode is refused as ever: a compression that it does not have,
	// and messages that are not protobuf's by their content type.
	Unknown func(method string, stream ServerStream) error
	// Compressors are accepted from clients; a response is compressed as its
	// request was.
	Compressors []Compressor
	// MapError, if set, is given every error that a handler returns, before its
	// status is looked for. It lets a program that still uses another gRPC
	// library's status errors keep their codes.
	MapError func(error) error
	// Stats, if set, learns what happens to every call that is not Exempt.
	Stats Stats
	// Exempt, if set, reports whether interceptors and Stats leave the calls of a
	// method alone. It is given the full name, once for each method that is registered;
	// calls of other methods are not exempt.
	Exempt func(method string) bool
	// Logger receives what nobody else is told: panics, failed connections. Of
	// lines with the same message the first ten are written; after that there is
	// one every ten seconds, with the number of those that it stands for
	// ("more_like_it"), so that clients cannot flood it. Nil means none.
	Logger Logger
	// MaxConnections limits the connections that Serve has accepted, on all
	// listeners together, and that have begun to speak HTTP/2. While there are so
	// many, the next one waits, and no more are accepted: they wait in the system's
	// queue, and take no descriptor of this process. Handshakes that have begun may
	// come to their end. Zero means DefaultMaxConnections, a negative number no
	// limit. Who calls ServeConn has accepted by himself.
	MaxConnections int
	// MaxHandshakes limits the connections that Serve has accepted and whose TLS
	// handshake and preface are not there yet. They come on top of MaxConnections.
	// When there is one more, the oldest is closed: who only connects keeps nobody
	// out. Zero means DefaultMaxHandshakes, a negative number no limit.
	MaxHandshakes int
	// HandshakeTimeout bounds a connection's TLS handshake and preface. Zero
	// means DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// StallTimeout is how long a unary response may wait for a client that takes
	// nothing of it; the call is then reset. Zero means DefaultStallTimeout, a
	// negative number for ever. Streams wait for ever.
	StallTimeout time.Duration
	// MinPingInterval is the least time, on average, between PINGs of a client to
	// which nothing is sent in between. A client that is more than two PINGs ahead
	// loses its connection, with ENHANCE_YOUR_CALM and "too_many_pings" (gRPC's
	// keepalive document; grpc-go's servers want five minutes). Zero means no limit:
	// a PING costs a server no more than its answer.
	MinPingInterval time.Duration
}

// Server serves gRPC. Services are registered first, then any number of
// listeners and connections are served. All methods may be called concurrently.
type Server struct {
	cfg         ServerConfig
	tls         *tls.Config
	engine      h2.Config
	maxSend     limit
	inflated    limit
	accept      string // grpc-accept-encoding
	limit       *connlimit.Limit
	saidForeign atomic.Bool   // the log has said that a status is of another library
	tellLog     func()        // writes what is to be told of lines that were left out
	quit        chan struct{} // closed when the server stops listening
	running     atomic.Int64  // connections and calls that are refused; the methods count the others
	unlisted    atomic.Int64  // calls that Unknown handles

	mu sync.Mutex
	// guarded by mu; methods is not changed once serving has begun
	services map[string]ServiceInfo
	methods  map[string]*method
	err      error // mistakes of RegisterService
	serving  bool
	closed   bool
	conns    map[*h2.Conn]struct{}
	// by their variables' addresses: the values may be of types that are no keys
	listeners map[*net.Listener]struct{}
	shaking   map[*net.Conn]struct{} // connections in the TLS handshake
	drained   chan struct{}          // closed when there are no more conns, if somebody waits
	ended     chan struct{}          // closed when nothing is running
	waited    atomic.Bool            // wait has been called
	over      bool                   // ended is closed
}

// method is what the server knows of a method.
type method struct {
	name   string // full name
	impl   any
	unary  MethodHandler // nil for a stream
	stream *StreamDesc
	exempt bool

	running *atomic.Int64 // handlers; Server.unlisted for a method that is not registered
	typical atomic.Int64  // about how long a unary method's handler takes, in ns; 0: not known
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

// RegisterService adds a service. A mistake (a name registered twice, an
// implementation of the wrong type, a registration after serving has begun) is
// kept and returned by the next Serve or ServeConn.
//
// What a server serves is settled when it begins to serve: calls look methods up
// without a lock, and whoever has asked a server what it has, by reflection for
// example, can rely on the answer. A service that comes too late is not served, and
// is logged as an error at once, since there may be no next Serve; what is being
// served goes on. A program whose methods come and go has ServerConfig.Unknown.
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
		return errors.New("it is already registered")
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

// Err returns the mistakes that RegisterService has kept, each a
// *[RegistrationError], or nil.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// ServiceInfo returns the registered services by their full names.
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

// begin checks that the server may serve.
func (s *Server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrServerClosed
	}
	s.serving = true
	return s.err
}

// Serve accepts and serves connections until lis fails, or the server is shut
// down or closed, which makes it return ErrServerClosed. It closes lis. Running
// out of descriptors and the like is waited out, and so is having MaxConnections.
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
				s.cfg.Logger.Warn("a connection was closed before its handshake was over, for a newer one: there are as many as ServerConfig.MaxHandshakes allows", "limit", s.cfg.MaxHandshakes)
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

// SocketConn is what a type may be that wraps a socket and leaves its Write as it is:
// Socket returns the socket. Listeners of a [Server] and Dial of a client may return
// such connections.
type SocketConn = h2.SocketConn

// EstablishedConn is what the connections of a [Server]'s listener may be. Established
// is called once, when the TLS handshake has succeeded; without TLS, at once.
type EstablishedConn interface {
	net.Conn
	Established()
}

// ServeConn serves one connection until it has ended. ctx is the parent of all
// calls' contexts; its end closes the connection. The error is nil if the
// connection ended in order.
//
// A socket is written by whoever has something to send, any other connection by a
// goroutine of its own. A [SocketConn] is as quick as its socket; an [EstablishedConn]
// is told when it is in use.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) error {
	if err := s.begin(); err != nil {
		nc.Close()
		return err
	}
	return s.serveConn(ctx, nc, nil)
}

// serveConn is ServeConn on a server that has begun to serve, for a connection that
// has a place or, if that is nil, is not counted.
func (s *Server) serveConn(ctx context.Context, nc net.Conn, place *connlimit.Place) error {
	who := peer.Peer{Addr: nc.RemoteAddr(), LocalAddr: nc.LocalAddr()}
	raw := nc
	notified, _ := nc.(EstablishedConn)
	if s.tls != nil {
		conn, r, err := s.handshake(ctx, nc)
		if err != nil {
			if !place.Evicted() { // which is said where it is done
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
	sc := &serverConn{srv: s, ctx: ctx, peer: &who, turns: newTurns(s.cfg.Compressors)}
	engine := s.engine
	engine.Handler = sc
	engine.Greeted = place.Prove
	engine.Freed = func() { sc.owed.resume(s) }
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

// handshake performs a connection's TLS handshake.
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
