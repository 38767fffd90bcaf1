package h2grpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tenonrpc/tenon/h2grpc/codes"
	"github.com/tenonrpc/tenon/h2grpc/internal/h2"
	"github.com/tenonrpc/tenon/h2grpc/loglimit"
	"github.com/tenonrpc/tenon/h2grpc/peer"
	"github.com/tenonrpc/tenon/h2grpc/status"
)

// ClientConfig configures a [ClientConn]. NewClient copies it. Only Dial must be set.
type ClientConfig struct {
	// Dial makes the raw connection. It is called again when a call needs a connection
	// after one was lost or could not be made, never twice at the same time. Its context
	// ends after ConnectTimeout and with Close.
	Dial func(context.Context) (net.Conn, error)
	// TLS secures the connection that Dial made. Nil means plaintext HTTP/2 with prior
	// knowledge. An empty ServerName means Authority, unless InsecureSkipVerify is set.
	// If the config does not offer "h2", a clone that does is used; a server that
	// selects no protocol is accepted.
	TLS *tls.Config
	// Authority is the :authority field of all calls. Empty means "localhost".
	Authority string
	// UserAgent is put in front of the library's own user-agent.
	UserAgent string
	// MaxRecvMessageSize and MaxSendMessageSize limit messages, in bytes before
	// compression. Zero and negative numbers mean the largest limit there is: 2 GiB less
	// 2 MiB, or 256 MiB where an int has 32 bits. Zero limits received messages that
	// were compressed to DefaultMaxDecompressedSize, though.
	MaxRecvMessageSize, MaxSendMessageSize int
	// MessageMemory bounds the memory for large messages, on the connections of this
	// client and of all other configurations that share it. Nil means the MessageMemory
	// of the process, of DefaultMessageMemory, or half of GOMEMLIMIT as it was when the
	// first configuration was used.
	MessageMemory *MessageMemory
	// MaxHeaderListSize limits the headers of a response, and its trailers, in bytes:
	// the sum over all fields of name, value and 32 (RFC 9113 §6.5.2). It also allows
	// one field for each KiB of it, or 1000 if that is more. All calls of a connection
	// that have not ended may together hold the same number of bytes, or 3 MiB if that
	// is more. Fields past a limit are dropped: a call that failed keeps its code, and
	// its text says that something is missing; one that succeeded fails with
	// RESOURCE_EXHAUSTED, since its metadata is incomplete.
	//
	// Zero means DefaultClientMaxHeaderListSize, which is not announced to the server.
	// Any other value is announced: servers of this package then shorten a status to
	// what fits, and those of grpc-go reset a call whose status does not fit, which
	// loses its code.
	MaxHeaderListSize int
	// UnaryInterceptors and StreamInterceptors wrap every call that is not Exempt; the
	// first is the outermost.
	UnaryInterceptors  []UnaryClientInterceptor
	StreamInterceptors []StreamClientInterceptor
	// Compressors are offered to the server and are available to UseCompressor.
	Compressors []Compressor
	// MapError, if set, may replace the error of a call (never io.EOF) by a better one,
	// for example by one that says that the process behind the connection has died. It
	// may be called concurrently.
	MapError func(error) error
	// Stats, if set, observes every call that is not Exempt.
	Stats Stats
	// Exempt, if set, reports whether interceptors and Stats skip the calls of a method.
	// It is given the full name, and is called for each call by the goroutine that makes
	// it, if there are interceptors or Stats.
	Exempt func(method string) bool
	// Logger receives what no caller is told: that calls wait for long because the
	// server allows no more at once. Nil means no logging.
	Logger Logger
	// KeepaliveInterval is the time between PINGs on a connection. Zero means no PINGs:
	// a grpc-go server closes a connection that pings more often than every five
	// minutes. KeepaliveTimeout is how long the answer may take; then the connection
	// ends. Zero means DefaultKeepaliveTimeout.
	KeepaliveInterval, KeepaliveTimeout time.Duration
	// ConnectTimeout limits each attempt to connect. Zero means DefaultConnectTimeout.
	ConnectTimeout time.Duration
}

// ClientConn makes calls to one server. It connects when the first call needs a
// connection, or in Connect, and again after the connection was lost. All methods may
// be called concurrently.
type ClientConn struct {
	cfg        ClientConfig
	tls        *tls.Config
	engine     h2.Config
	maxSend    limit
	inflated   limit // of a call that sets no limit of its own
	userAgent  string
	accept     string // grpc-accept-encoding, if there are compressors
	heads      headCache
	cur        atomic.Pointer[clientTransport] // for further calls; mu is held to change it
	ctx        context.Context                 // ends with Close
	cancel     context.CancelFunc
	background sync.WaitGroup // dials and connections
	tellLog    func()         // logs how many lines were left out

	mu sync.Mutex
	// guarded by mu
	closed  bool
	all     map[*clientTransport]struct{}
	dialing *dialing // nil: no attempt is under way
}

// clientTransport is one connection and the peer at its other end.
type clientTransport struct {
	*h2.Conn
	peer  peer.Peer
	slots decodeSlots
}

// dialing is one attempt to connect, shared by all calls that wait for it.
type dialing struct {
	done chan struct{}
	tr   *clientTransport
	err  error
}

var errClientClosed error = &notSentError{status.Error(codes.Canceled, "the client connection is closed")}

// NewClient returns a client for cfg. It does not connect. If cfg has no Dial, every
// call fails.
func NewClient(cfg *ClientConfig) *ClientConn {
	cc := &ClientConn{cfg: *cfg, all: map[*clientTransport]struct{}{}}
	cc.cfg.UnaryInterceptors = slices.Clone(cfg.UnaryInterceptors)
	cc.cfg.StreamInterceptors = slices.Clone(cfg.StreamInterceptors)
	cc.cfg.Compressors = slices.Clone(cfg.Compressors)
	if cc.cfg.Authority == "" {
		cc.cfg.Authority = "localhost"
	}
	if cc.cfg.ConnectTimeout <= 0 {
		cc.cfg.ConnectTimeout = DefaultConnectTimeout
	}
	if cc.cfg.KeepaliveTimeout <= 0 {
		cc.cfg.KeepaliveTimeout = DefaultKeepaliveTimeout
	}
	cc.cfg.Logger, cc.tellLog = loglimit.Wrap(cfg.Logger)
	if cfg.TLS != nil {
		cc.tls = h2TLS(cfg.TLS)
		if cc.tls.ServerName == "" && !cc.tls.InsecureSkipVerify {
			cc.tls = cc.tls.Clone()
			cc.tls.ServerName = cc.cfg.Authority
		}
	}
	cc.maxSend = limit{limitOr(cfg.MaxSendMessageSize, unlimited()), "MaxSendMessageSize of the client's ClientConfig"}
	cc.inflated = inflated(cfg.MaxRecvMessageSize, clientRecvField)
	cc.engine = h2.Config{
		MaxMessage:       limitOr(cfg.MaxRecvMessageSize, unlimited()),
		MessageField:     clientRecvField,
		MaxHeaderList:    cfg.MaxHeaderListSize,
		TellHeaderList:   cfg.MaxHeaderListSize > 0,
		HandshakeTimeout: cc.cfg.ConnectTimeout,
		Crowded: func(limit, waiting int) {
			cc.cfg.Logger.Warn("calls wait for others to end: the server allows no more at a time", "allowed", limit, "waiting", waiting)
		},
	}
	cc.engine.Received, cc.engine.Sent = cfg.MessageMemory.accounts()
	if cc.engine.MaxHeaderList <= 0 {
		cc.engine.MaxHeaderList = DefaultClientMaxHeaderListSize
	}
	cc.userAgent = userAgent
	if cfg.UserAgent != "" {
		cc.userAgent = cfg.UserAgent + " " + userAgent
	}
	if len(cfg.Compressors) > 0 {
		cc.accept = encodings(cfg.Compressors)
	}
	cc.ctx, cc.cancel = context.WithCancel(context.Background())
	return cc
}

// clientRecvField names the limit of the messages that a client receives.
const clientRecvField = "MaxRecvMessageSize of the client's ClientConfig, or MaxCallRecvMsgSize of the call"

const userAgent = "grpc-tenon-go/1.0"

// h2TLS returns a config that offers "h2": cfg itself if it does already (a clone
// would not share its session tickets), otherwise a changed clone.
func h2TLS(cfg *tls.Config) *tls.Config {
	if slices.Contains(cfg.NextProtos, h2.ALPN) && cfg.DynamicRecordSizingDisabled {
		return cfg
	}
	cfg = cfg.Clone()
	cfg.NextProtos = []string{h2.ALPN}
	// Small first records cost a wake-up each and bring nothing on a local socket.
	cfg.DynamicRecordSizingDisabled = true
	return cfg
}

// checkALPN refuses a connection on which both ends have agreed on another protocol:
// RFC 9113 §3.3. A peer without ALPN is accepted.
func checkALPN(state tls.ConnectionState) error {
	if p := state.NegotiatedProtocol; p != "" && p != h2.ALPN {
		return fmt.Errorf("TLS handshake: the negotiated protocol is %.32q, not %q", p, h2.ALPN)
	}
	return nil
}

// Connect connects now, if there is no connection: it dials, performs the TLS
// handshake and waits for the server's SETTINGS. Its error is the cause itself, not a
// status.
func (cc *ClientConn) Connect(ctx context.Context) error {
	_, err := cc.transport(ctx)
	return err
}

// Close ends all calls and connections; further calls fail with CANCELLED. It waits
// until the goroutines of the connections have ended. Its error is always nil. It may
// be called more than once.
func (cc *ClientConn) Close() error {
	cc.mu.Lock()
	cc.closed = true
	cc.cur.Store(nil)
	for tr := range cc.all {
		tr.Close()
	}
	cc.mu.Unlock()
	cc.cancel()
	cc.background.Wait()
	cc.tellLog()
	return nil
}

// transport returns a connection that takes calls, dialling if there is none.
func (cc *ClientConn) transport(ctx context.Context) (*clientTransport, error) {
	if tr := cc.cur.Load(); tr != nil && tr.Usable() {
		return tr, nil
	}
	cc.mu.Lock()
	if cc.closed {
		cc.mu.Unlock()
		return nil, errClientClosed
	}
	if tr := cc.cur.Load(); tr != nil && tr.Usable() {
		cc.mu.Unlock()
		return tr, nil
	}
	d := cc.dialing
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		cc.dialing = d
		cc.background.Add(1)
		go cc.dial(d)
	}
	cc.mu.Unlock()
	select {
	case <-d.done:
		return d.tr, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// readyTransport is transport for a call that waits for a connection if wait is set.
func (cc *ClientConn) readyTransport(ctx context.Context, wait bool) (*clientTransport, error) {
	for pause := redialMin; ; pause = min(2*pause, redialMax) {
		tr, err := cc.transport(ctx)
		switch {
		case err == nil:
			return tr, nil
		case err == errClientClosed:
			return nil, err
		case ctx.Err() != nil:
			return nil, status.FromContextError(ctx.Err()).Err()
		case !wait:
			return nil, &notSentError{status.Errorf(codes.Unavailable, "connecting: %v", err)}
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
		case <-cc.ctx.Done():
		}
		t.Stop()
	}
}

// dial connects for all calls that wait for d.
func (cc *ClientConn) dial(d *dialing) {
	defer cc.background.Done()
	ctx, cancel := context.WithTimeout(cc.ctx, cc.cfg.ConnectTimeout)
	defer cancel()
	tr, err := cc.connect(ctx)
	cc.mu.Lock()
	cc.dialing = nil
	if err == nil && cc.closed {
		tr.Close()
		tr, err = nil, errClientClosed
	}
	if err == nil {
		cc.cur.Store(tr)
	} else if cc.closed {
		err = errClientClosed
	}
	d.tr, d.err = tr, err
	cc.mu.Unlock()
	close(d.done)
}

// connect makes one connection and waits until the server has answered.
func (cc *ClientConn) connect(ctx context.Context) (*clientTransport, error) {
	if cc.cfg.Dial == nil {
		return nil, errors.New("h2grpc: ClientConfig.Dial is not set")
	}
	raw, err := cc.cfg.Dial(ctx)
	if err != nil {
		return nil, &doingError{"dialling", err}
	}
	tr := &clientTransport{slots: newDecodeSlots(cc.cfg.Compressors), peer: peer.Peer{Addr: raw.RemoteAddr(), LocalAddr: raw.LocalAddr()}}
	nc := raw
	if cc.tls != nil {
		raw = h2.Raw(raw)
		conn := tls.Client(raw, cc.tls)
		if err := conn.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, &doingError{"TLS handshake", err}
		}
		state := conn.ConnectionState()
		if err := checkALPN(state); err != nil {
			conn.Close()
			return nil, err
		}
		tr.peer.TLS = &state
		nc = conn
	}
	tr.Conn = h2.NewConn(nc, raw, cc.engine)
	cc.mu.Lock()
	cc.all[tr] = struct{}{}
	cc.mu.Unlock()
	cc.background.Add(1)
	go func() {
		defer cc.background.Done()
		tr.Run()
		cc.mu.Lock()
		delete(cc.all, tr)
		cc.cur.CompareAndSwap(tr, nil)
		cc.mu.Unlock()
	}()
	select {
	case <-tr.Ready():
	case <-tr.Done():
		err := fmt.Errorf("HTTP/2 preface: %w", tr.endReason())
		if cc.tls == nil && errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w (does the server expect TLS?)", err)
		}
		return nil, err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			tr.Abort(h2.ErrCodeSettingsTimeout, "the server's SETTINGS did not come in time")
		} else {
			tr.Close()
		}
		return nil, fmt.Errorf("waiting for the server's HTTP/2 SETTINGS: %w", ctx.Err())
	}
	if cc.cfg.KeepaliveInterval > 0 {
		cc.background.Add(1)
		go func() {
			defer cc.background.Done()
			tr.keepalive(cc.cfg.KeepaliveInterval, cc.cfg.KeepaliveTimeout)
		}()
	}
	return tr, nil
}

func (tr *clientTransport) endReason() error {
	if err := tr.Err(); err != nil {
		return err
	}
	return h2.ErrClosed
}

// keepalive sends a PING every interval and ends the connection if one is not
// answered within timeout: gRPC's keepalive document.
func (tr *clientTransport) keepalive(interval, timeout time.Duration) {
	for {
		t := time.NewTimer(interval)
		select {
		case <-t.C:
		case <-tr.Done():
			t.Stop()
			return
		}
		acked := make(chan struct{})
		tr.Ping(func() { close(acked) })
		t.Reset(timeout)
		select {
		case <-acked:
			t.Stop()
		case <-tr.Done():
			t.Stop()
			return
		case <-t.C:
			tr.Abort(h2.ErrCodeNo, "a keepalive PING was not answered")
			return
		}
	}
}
